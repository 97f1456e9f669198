#!/usr/bin/env python3
"""Our pair and the Go pair in all combinations: python3 tests/interop/matrix_test.py BUILD_DIR [WORD]...

Each cell echoes 4 MB of random data, paced, so that a proxy that ends connections every 0.3 s ends
several of them in the middle. What came back must be what was sent, both programs must end with
status 0, and nothing may have been sent again but what a dead connection may have lost.

What may be in flight when a connection ends is bounded from outside: a byte that came back is in
flight in neither direction, so at most the bytes that were fed and had not come back. The bounds
below are made of that, measured over the whole of the cell.
"""

import itertools

import peers
from peers import GoServer, json_stats

import harness
from echo import MSS, TURBO_CLIENT, Proxy, TurboServer, echo, random_bytes
from harness import check, equal

DATA_BYTES = 4 << 20
DEFAULTS_BYTES = 128 << 10  # through kcp-go's own parameters: a window of 32 segments, a tick of 0.1 s
BYTES_PER_S = 3 << 20
DEFAULTS_BYTES_PER_S = 96 << 10
LIFETIME_S = 0.3
TIMER_S = 0.2

# Headers of segments, frames and packets: 24 + 2 bytes in 1400, and acks for the other direction.
OVERHEAD = 1.10


def segments(n):
    return -(-n // MSS) + 1


class Cell:
    def __init__(self, client, server, smux, how, tuned=True):
        self.client, self.server, self.smux, self.how = client, server, smux, how
        self.tuned = ["-tuned"] if tuned else []
        self.data = random_bytes(DATA_BYTES if tuned else DEFAULTS_BYTES)

    def start_server(self):
        if self.server == "c":
            return TurboServer()
        return GoServer("-smux", self.smux, "-stats", *self.tuned)

    def run_client(self, address):
        # Direct, nothing need fall into the middle: as fast as it goes.
        pace = None if self.how == "direct" else BYTES_PER_S if self.tuned else DEFAULTS_BYTES_PER_S
        if self.client == "c":
            words = (TURBO_CLIENT, "--verbose", "--smux", self.smux)
        else:
            words = (peers.go_client(), "-stats", "-smux", self.smux, *self.tuned)
        return echo(*words, address, data=self.data, bytes_per_s=pace)

    def options(self):
        """Of lilbastard. `far`: round trips of 20 ms, so that there is always something in flight."""
        return ("--how", "rst", "--delay", 10) if self.how == "far" else ("--how", self.how)

    def run(self):
        with self.start_server() as server:
            if self.how == "direct":
                self.result, self.proxied = self.run_client(server.address), (0, 0, 0)
            else:
                with Proxy("-w", LIFETIME_S, *self.options(), upstream=server.address) as proxy:
                    self.result = self.run_client(proxy.address)
                    equal(proxy.stop(), 0, "exit status of lilbastard")
                    self.proxied = proxy.forwarded()
            equal(server.stop(), 0, f"exit status of the server, which said {server.lines}")
            self.server_lines = server.lines
        self.check_all()
        return self.note()

    def check_all(self):
        self.result.must_be_whole(self.data)
        terminations = self.proxied[0]
        if self.how == "direct":
            equal(self.connections(), 1, "connections")
        else:
            check(terminations >= 2, f"only {terminations} connections were ended in the middle")
            # The last one may be ended when all has come back, and needs no other then.
            check(self.connections() >= max(terminations, 2),
                  f"{self.connections()} connections, although {terminations} were ended")
            self.check_bytes()
        if self.client == "c":
            self.check_our_client()
        if self.server == "c":
            self.check_our_server()

    def may_be_sent_again(self):
        """Segments, by all terminations together. Between two of ours the timer of a connection that
        lives is at least 0.2 s, and is there for a machine that stands still for so long."""
        in_flight = segments(self.result.most_outstanding)
        if self.how == "direct":
            return int(self.result.seconds / TIMER_S) * in_flight
        return self.proxied[0] * in_flight

    def check_our_client(self):
        """What a living connection carries only the peer can lose, and ours does not."""
        s = self.result.stats
        check(s, f"no counters: {self.result.lines}")
        bound = self.may_be_sent_again()
        if self.server == "c":
            equal(s.fast, 0, "segments sent again because later ones had arrived")
        if self.server == "c" or self.how != "direct":
            check(s.retransmissions <= bound, f"{s}: more than the {bound} that were in flight")

    def check_our_server(self):
        """What it sent again although it had arrived; the rest cannot be seen from here."""
        if self.client == "c":
            duplicates = self.result.stats.duplicates
        else:
            duplicates = json_stats(self.result.lines)["RepeatSegs"]
        bound = self.may_be_sent_again()
        check(duplicates <= bound, f"the server sent {duplicates} again in vain, {bound} in flight")

    def check_bytes(self):
        """Both directions. Of ours alone: Go's end of a pair repeats what a timer of 30 ms says."""
        if (self.client, self.server) != ("c", "c"):
            return
        terminations, up, down = self.proxied
        bound = OVERHEAD * (len(self.data) + terminations * self.result.most_outstanding)
        check(up <= bound and down <= bound,
              f"{up} bytes up and {down} down, for {len(self.data)} and {terminations} ends with at "
              f"most {self.result.most_outstanding} in flight")

    def connections(self):
        if self.client == "c":
            return self.result.stats.connections
        return json_stats(self.result.lines)["connections"]

    def sent_again(self):
        if self.client == "c":
            s = self.result.stats
            text = (f"client again {s.carrier} dead + {s.fast} fast + {s.timeout} timer of "
                    f"{s.segments}, duplicates {s.duplicates}")
        else:
            g = json_stats(self.result.lines)
            text = f"client again {g['RetransSegs']} of {g['OutSegs']}, duplicates {g['RepeatSegs']}"
        if self.server == "go":
            g = json_stats(self.server_lines)
            text += f"; server again {g['RetransSegs']}, duplicates {g['RepeatSegs']}"
        return text

    def note(self):
        return (f"{self.result.seconds:.2f} s, {self.proxied[0]} ends, {self.sent_again()}; at most "
                f"{segments(self.result.most_outstanding)} segments in flight")


def add_test(cell, name):
    def test():
        return cell.run()
    test.__name__ = name
    globals()[name] = test


for c, s, v, h in itertools.product(("c", "go"), ("c", "go"), (1, 2), ("direct", "fin", "rst")):
    add_test(Cell(c, s, v, h), f"test_{c}_client_{s}_server_smux_{v}_{h}")

for c, s in itertools.product(("c", "go"), ("c", "go")):
    add_test(Cell(c, s, 2, "far"), f"test_{c}_client_{s}_server_far_away_rst")

# The worked example's own parameters, which nobody tuned: small windows, messages, slow ticks.
for c, s in (("c", "go"), ("go", "c")):
    for h in ("direct", "fin"):
        add_test(Cell(c, s, 2, h, tuned=False), f"test_{c}_client_{s}_server_untuned_{h}")

if __name__ == "__main__":
    harness.main(globals(), jobs=2, prepare=peers.build)
