#!/usr/bin/env python3
"""Control packets in the middle of Go's traffic: python3 tests/interop/control_test.py BUILD_DIR [WORD]...

A proxy between two peers puts a control packet behind every packet that it forwards, in turn every one
of tests/vectors/control that no native peer would take for an error. What counts is what the Go peer
says afterwards: errors of input, sessions accepted and segments repeated must be those of a run
without; and every byte arrives.
"""

import os
import re
import socket
import struct
import threading

import peers
from peers import GoServer, json_stats

import harness
from echo import TURBO_CLIENT, TurboServer, echo, random_bytes
from harness import Acceptor, check, connect, equal, read_exactly

VECTORS = os.path.join(peers.HERE, "..", "vectors", "control", "control.txt")
SESSION_ID_BYTES = 8
DATA_BYTES = 2 << 20
BYTES_PER_S = 4 << 20


def control_packets():
    """HELLO, PING, PONG, CLOSE, STATE, LIMIT, and types without a meaning yet."""
    with open(VECTORS, encoding="ascii") as file:
        cases = re.findall(r"^packet: *([0-9a-f]*)\n(?:rest: .*\n)?means: (\w+)", file.read(), re.MULTILINE)
    packets = [bytes.fromhex(packet) for packet, means in cases if means != "ends"]
    check(len({p[0] for p in packets if p}) >= 6, f"types of control packets in {VECTORS}: {packets}")
    return packets


class Injector(Acceptor):
    """Forwards packets and puts control packets behind them, to either side or to both."""

    def __init__(self, upstream, packets, up, down):
        self.upstream, self.packets, self.ways = upstream, packets, (up, down)
        self.injected = 0
        self.lock = threading.Lock()
        super().__init__()

    def serve(self, s):
        server = connect(self.upstream)
        for end in (s, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.sendall(read_exactly(s, SESSION_ID_BYTES))
        threading.Thread(target=self._forward, args=(server, s, self.ways[1]), daemon=True).start()
        self._forward(s, server, self.ways[0])

    def _forward(self, source, sink, inject):
        number = 0
        try:
            while True:
                head = read_exactly(source, 2)
                out = head + read_exactly(source, struct.unpack(">H", head)[0])
                if inject:
                    packet = self.packets[number % len(self.packets)]
                    number += 1
                    out += struct.pack(">H", len(packet)) + packet
                    with self.lock:
                        self.injected += 1
                sink.sendall(out)
        except (OSError, AssertionError):
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def run(client, server, up, down):
    """An echo through the injector. Returns (counters of the Go client or None, of the Go server or
    None, how many packets were put in)."""
    data = random_bytes(DATA_BYTES)
    go_options = ("-stats", "-tuned")
    words = (peers.go_client(), *go_options) if client == "go" else (TURBO_CLIENT,)
    with GoServer(*go_options) if server == "go" else TurboServer() as s:
        with Injector(s.address, control_packets(), up, down) as injector:
            result = echo(*words, injector.address, data=data, bytes_per_s=BYTES_PER_S)
        result.must_be_whole(data)
        equal(s.stop(), 0, f"exit status of the server, which said {s.lines}")
        return (json_stats(result.lines) if client == "go" else None,
                json_stats(s.lines) if server == "go" else None, injector.injected)


def must_not_notice(stats, plain, role):
    for name in ("InErrs", "KCPInErrors", "connections"):
        equal(stats[name], plain[name], f"{name} of the Go {role}, against a run without control packets")
    equal((stats["InErrs"], stats["KCPInErrors"]), (0, 0), f"errors of input at the Go {role}")
    if role == "server":
        equal((stats["sessions"], stats["streams_failed"]), (1, 0), "sessions accepted and streams failed")


def compare(client, server):
    """The same with and without, at the Go peers alone: what reaches ours would be obeyed."""
    to_server, to_client = server == "go", client == "go"
    with_them, without = run(client, server, to_server, to_client), run(client, server, False, False)
    check(with_them[2] >= 500, f"only {with_them[2]} control packets were put in")
    for stats, plain, role in zip(with_them[:2], without[:2], ("client", "server")):
        if stats:
            must_not_notice(stats, plain, role)
    return f"{with_them[2]} control packets put in, none noticed"


def test_go_client_and_go_server():
    return compare("go", "go")


def test_our_client_and_go_server():
    return compare("c", "go")


def test_go_client_and_our_server():
    return compare("go", "c")


def test_our_own_hello_and_pings_are_not_noticed_either():
    """Nothing is put in: ours says hello to whoever it is."""
    client = run("go", "c", False, False)[0]
    server = run("c", "go", False, False)[1]
    for stats, role in ((client, "client"), (server, "server")):
        must_not_notice(stats, stats, role)


if __name__ == "__main__":
    harness.main(globals(), jobs=2, prepare=peers.build)
