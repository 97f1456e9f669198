#!/usr/bin/env python3
"""The server's limits: each is reached; the newcomer is refused, and those inside do not notice.

    tests/e2e/tunnel_limits_test.py BUILD_DIR [WORD]...
"""

import contextlib
import os
import select
import socket
import tempfile
import threading
import time

import harness
from echo import Proxy, random_bytes, rss_bytes
from harness import (EchoServer, Listener, Sender, check, connect, equal, read_exactly, read_to_end,
                     read_to_end_or_reset)
from tunnel import Metrics, TunnelClient, TunnelServer, is_reset, keys

MIB = 1 << 20
REACHED = 'limit_reached_total{{limit="{}"}}'


class Insider:
    """A client with a connection through it that is never quiet: .well() fails if it noticed anything."""

    def __init__(self, client):
        self.socket = connect(client.addresses[0])
        self.rounds = 0
        self.problem = None
        self._leave = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        data = random_bytes(1 << 16)
        try:
            while not self._leave:
                self.socket.sendall(data)
                equal(read_exactly(self.socket, len(data)), data, "what came back")
                self.rounds += 1
        except (OSError, harness.Failed) as problem:
            self.problem = problem

    def well(self):
        """Goes on, now."""
        before = self.rounds
        end = time.monotonic() + harness.DEADLINE_S
        while self.rounds < before + 2 and not self.problem and time.monotonic() < end:
            time.sleep(0.01)
        check(self.rounds >= before + 2, f"who is inside has noticed: {self.problem}")

    def leave(self):
        self._leave = True
        self._thread.join(harness.DEADLINE_S)
        self.socket.close()
        check(self.problem is None, f"who is inside has noticed: {self.problem}")


@contextlib.contextmanager
def full(*options, client=(), insecure=False):
    """(server, its metrics, an insider)"""
    with EchoServer() as target, TunnelServer("--forward", target.address, "--metrics", "0", *options,
                                              insecure=insecure) as server:
        metrics = Metrics(server)
        with TunnelClient(server, "--listen", "0", *client, insecure=insecure) as inside:
            insider = Insider(inside)
            insider.well()
            yield server, metrics, insider
            insider.well()
            insider.leave()


def is_turned_away(s):
    """Whether the connection was ended at once."""
    return read_to_end_or_reset(s)[0] == b""


def echoed(address, data=b"hello"):
    s = connect(address)
    sender = Sender(s, data)
    equal(read_to_end(s), data, "what came back")
    sender.finish()
    s.close()


def echoed_at_last(address):
    """Once the client has a session again."""
    end = time.monotonic() + harness.DEADLINE_S
    while True:
        try:
            echoed(address)
            return
        except (OSError, harness.Failed):  # either thread may be told of a reset
            check(time.monotonic() < end, "it never has a session again")
            time.sleep(0.05)


def test_connections():
    with full("--max-connections", 4) as (server, metrics, insider):
        held = [connect(server.address) for _ in range(3)]
        metrics.wait_for("carriers", 4)
        for _ in range(200):
            check(is_turned_away(connect(server.address)), "it was let in")
        equal(metrics[REACHED.format("max_connections")], 200, "counted")
        equal(metrics["carriers"], 4, "connections")
        insider.well()
        for s in held:
            s.close()


def connect_from(source, address):
    host, port = address.split(":")
    s = socket.socket()
    s.settimeout(harness.DEADLINE_S)
    s.bind((source, 0))
    s.connect((host, int(port)))
    return s


def test_connections_of_one_address():
    with full("--max-connections-per-address", 4) as (server, metrics, insider):
        held = [connect(server.address) for _ in range(3)]
        metrics.wait_for("carriers", 4)
        for _ in range(200):
            check(is_turned_away(connect(server.address)), "it was let in")
        equal(metrics[REACHED.format("max_connections_per_address")], 200, "counted")
        others = [connect_from("127.0.0.2", server.address) for _ in range(4)]
        metrics.wait_for("carriers", 8)
        check(is_turned_away(connect_from("127.0.0.2", server.address)), "it was let in")
        insider.well()
        held.pop().close()  # a place is free, for that address alone
        end = time.monotonic() + harness.DEADLINE_S
        while metrics["carriers"] > 7 and time.monotonic() < end:
            time.sleep(0.01)
        held.append(connect(server.address))
        metrics.wait_for("carriers", 8)
        for s in held + others:
            s.close()


def test_behind_a_balancer_all_are_one_address():
    with full("--max-connections-per-address", 4, "--one-origin") as (server, metrics, _):
        held = [connect(server.address) for _ in range(20)]
        equal(metrics.wait_for("carriers", 21), 21, "connections")
        for s in held:
            s.close()


def test_the_default_of_connections_of_one_address():
    with full() as (server, metrics, _):
        held = [connect(server.address) for _ in range(255)]
        metrics.wait_for("carriers", 256)
        check(is_turned_away(connect(server.address)), "it was let in")
        for s in held:
            s.close()


def test_half_open_sessions():
    """Handshakes whose answers come to nothing, behind proxies that fall silent."""
    with EchoServer() as target, TunnelServer("--forward", target.address, "--metrics", "0", "--max-half-open",
                                              3) as server, contextlib.ExitStack() as stack:
        metrics = Metrics(server)
        inside = stack.enter_context(TunnelClient(server, "--listen", "0"))
        insider = Insider(inside)
        insider.well()
        equal(metrics['handshakes_total{result="session"}'], 1, "handshakes at first")
        for _ in range(3):
            proxy = stack.enter_context(Proxy("--after-bytes", "down:1", "--how", "freeze", upstream=server.address))
            stack.enter_context(TunnelClient("tcp://" + proxy.address, "--listen", "0"))
        metrics.wait_for('handshakes_total{result="session"}', 4)
        late = stack.enter_context(TunnelClient(server, "--listen", "0", "--metrics", "0"))
        metrics.wait_for(REACHED.format("max_half_open"), 1)
        insider.well()
        of_late = Metrics(late)
        check(of_late["server_full_total"] >= 1, "the newcomer was not told")
        equal(metrics["sessions"], 1, "sessions")
        metrics.wait_for("handshakes_expired_total", 3)  # 10 s, then places are free
        echoed(late.addresses[0])
        insider.leave()


def test_sessions():
    with full("--max-sessions", 2) as (server, metrics, insider), contextlib.ExitStack() as stack:
        second = stack.enter_context(TunnelClient(server, "--listen", "0"))
        echoed(second.addresses[0])
        third = stack.enter_context(TunnelClient(server, "--listen", "0", "--metrics", "0"))
        metrics.wait_for(REACHED.format("max_sessions"), 1)
        insider.well()
        equal(metrics["sessions"], 2, "sessions")
        check(Metrics(third).wait_for("server_full_total", 1) >= 1, "the newcomer was not told")
        echoed(second.addresses[0])
        equal(second.stop(), 0, "exit status")  # a place is free
        echoed(third.addresses[0])


def test_sessions_of_one_client():
    mine = ("--key", keys.client.path)
    with full("--max-sessions-per-client", 2, client=mine) as (server, metrics, insider), contextlib.ExitStack() as stack:
        second = stack.enter_context(TunnelClient(server, "--listen", "0", *mine))
        echoed(second.addresses[0])
        for more in (("--key", keys.server.path), (), (), ()):  # others, and those that nobody knows
            other = stack.enter_context(TunnelClient(server, "--listen", "0", *more))
            echoed(other.addresses[0])
        third = stack.enter_context(TunnelClient(server, "--listen", "0", *mine))
        server.wait_line(r"session .* refused: its client has 2 \(--max-sessions-per-client\)")
        third.wait_line("session lost")
        equal(metrics["sessions"], 6, "sessions")
        check(metrics[REACHED.format("max_sessions_per_client")] >= 1, "it was not counted")
        insider.well()
        # One without a connection, whose client was killed, goes for a newer one.
        second.process.kill()
        second.wait()
        echoed_at_last(third.addresses[0])
        equal(metrics["sessions_of_client_ended_total"], 1, "ended for a newer one")
        insider.well()


def test_new_sessions_of_one_address():
    with full("--new-sessions-per-second", 1) as (server, metrics, insider), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(TunnelClient(server, "--listen", "0")) for _ in range(6)]
        metrics.wait_for(REACHED.format("new_sessions_per_second"), 1)
        insider.well()
        del clients


def test_streams_of_a_session():
    with Listener() as target, TunnelServer("--forward", target.address, "--metrics", "0", "--max-streams", 3) as server, \
            TunnelClient(server, "--listen", "0") as client:
        metrics = Metrics(server)
        pairs = []
        for _ in range(3):
            near = connect(client.addresses[0])
            pairs.append((near, target.accept()))
        for _ in range(50):
            check(is_refused(client.addresses[0]), "it was let in")
        equal(metrics[REACHED.format("max_streams")], 50, "counted")
        equal(metrics['streams_total{result="limit"}'], 50, "counted with the others")
        for near, far in pairs:
            near.sendall(b"x")
            equal(read_exactly(far, 1), b"x", "what came of who is inside")
        for s in pairs.pop():
            s.close()
        end = time.monotonic() + harness.DEADLINE_S
        while is_refused_or_served(client.addresses[0], target) and time.monotonic() < end:
            time.sleep(0.01)
        equal(metrics["sessions"], 1, "sessions")
        for pair in pairs:
            for s in pair:
                s.close()


def is_refused(address):
    try:
        return is_reset(connect(address))
    except ConnectionResetError:
        return True


def is_refused_or_served(address, target):
    """Refused: True. Served, as the target sees it: False."""
    try:
        s = connect(address)
    except ConnectionResetError:
        return True
    s.sendall(b"x")
    while True:
        if select.select([target.socket], [], [], 0)[0]:
            read_exactly(target.accept(), 1)
            s.close()
            return False
        if select.select([s], [], [], 0.01)[0]:
            s.close()
            return True


def test_bytes_held():
    """Readers that do not read: what is held for them is bounded, and goes when they do."""
    with Listener() as target, TunnelServer("--forward", target.address, "--metrics", "0", "--max-buffer", "4M") as server, \
            TunnelClient(server, "--listen", "0") as client:
        metrics = Metrics(server)
        pairs, senders = [], []
        for _ in range(32):
            near = connect(client.addresses[0])
            pairs.append((near, target.accept()))
        for near, _ in pairs:
            senders.append(Sender(near, bytes(2 * MIB)))
        metrics.wait_for("buffer_refusals_total", 1)
        check(metrics["buffer_bytes"] <= 4 * MIB, "more is held than is allowed")
        most = rss_bytes(server.pid)
        check(most < 40 * MIB, f"{most >> 20} MiB of memory in use")
        readers = [threading.Thread(target=read_to_end, args=(far,), daemon=True) for _, far in pairs]
        for reader in readers:
            reader.start()
        for sender, reader in zip(senders, readers):
            sender.finish()
            reader.join(harness.DEADLINE_S)
            check(not reader.is_alive(), "a stream does not go on")
        check(metrics["buffer_bytes"] <= 4 * MIB, "more is held than is allowed")
        for pair in pairs:
            for s in pair:
                s.close()
    return f"{most >> 20} MiB resident"


if __name__ == "__main__":
    harness.main(globals(), jobs=2)
