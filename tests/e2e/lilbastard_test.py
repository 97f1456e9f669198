#!/usr/bin/env python3
"""lilbastard from outside: python3 tests/e2e/lilbastard_test.py BUILD_DIR [WORD]...

The tests are the client and the server of each connection. None of them asserts how fast something
is: some say "not before", which holds on the slowest machine too.
"""

import errno
import hashlib
import os
import random
import re
import resource
import select
import signal
import socket
import tempfile
import time

import harness
from harness import (EchoServer, Listener, Program, Sender, check, connect, equal, is_open_and_quiet,
                     is_refused, read_exactly, read_to_end, read_to_end_or_reset, reset, run,
                     unacknowledged_bytes, unread_bytes)

LILBASTARD = "apps/lilbastard"
MAN_PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "lilbastard.1")
MIB = 1 << 20


def random_bytes(n, seed=1):
    return random.Random(seed).randbytes(n)


class Proxy(Program):
    """lilbastard in front of an upstream; .address is where it listens."""

    def __init__(self, *options, upstream, listen="127.0.0.1:0", limits=None):
        super().__init__(LILBASTARD, *options, listen, upstream, limits=limits)
        self.address = self.wait_line(r"^listening on (\S+)$").group(1)


class Pair:
    """One connection through the proxy, with both of its ends in our hands."""

    def __init__(self, proxy, upstream):
        self.proxy = proxy
        self.client = connect(proxy.address)
        self.server = upstream.accept()
        self._client_to_proxy = self.client.getpeername(), self.client.getsockname()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.close()

    def unread_bytes(self):
        """Bytes of the client that the proxy has not read, and one for an end."""
        return unread_bytes(*self._client_to_proxy)

    def settle(self):
        """Waits until the proxy does nothing more. Returns what it leaves unread of the client: it
        would be woken for that, if it wanted it.
        """
        before = None
        while True:
            unread = self.unread_bytes()
            if not self.proxy.is_asleep():
                before = None
            elif unread == before:
                return unread
            else:
                before = unread


def echo_through(proxy, data):
    """Sends data to an echo server, and returns what comes back."""
    with connect(proxy.address) as s:
        sender = Sender(s, data)
        got = read_to_end(s)
        sender.finish()
        return got


def same_bytes(got, expected, what):
    equal((len(got), hashlib.sha256(got).hexdigest()),
          (len(expected), hashlib.sha256(expected).hexdigest()), what)


# --- the command line -------------------------------------------------------------------------


def test_the_first_line_is_the_address_it_listens_on():
    with Listener() as upstream, Proxy(upstream=upstream.address) as proxy:
        check(re.fullmatch(r"listening on 127\.0\.0\.1:[1-9][0-9]*", proxy.lines[0]), proxy.lines[0])
        connect(proxy.address).close()


def test_help_is_printed_on_standard_output():
    for option in ("--help", "-h"):
        status, output, errors = run(LILBASTARD, option)
        equal((status, errors), (0, []), option)
        check("Usage: lilbastard" in output, output)


def test_version_is_printed_on_standard_output():
    status, output, errors = run(LILBASTARD, "--version")
    equal((status, errors), (0, []), "--version")
    check(re.fullmatch(r"lilbastard [0-9.]+\n", output), output)


def test_help_and_the_manual_page_name_the_same_options():
    _, output, _ = run(LILBASTARD, "--help")
    with open(MAN_PAGE, encoding="utf-8") as page:
        described = re.findall(r"^\.It .*Fl Fl ([a-z-]+)", page.read(), re.M)
    equal(sorted(described), sorted(re.findall(r"^  .{4}--([a-z-]+)", output, re.M)), "options")


# Arguments, and what the one line on standard error must have in it.
BAD_USAGE = [
    ([], "LISTEN and UPSTREAM are missing"),
    (["127.0.0.1:0"], "UPSTREAM is missing"),
    (["127.0.0.1:0", "127.0.0.1:1", "more"], "unexpected argument more"),
    (["127.0.0.1", "127.0.0.1:1"], "LISTEN 127.0.0.1: no port"),
    (["127.0.0.1:", "127.0.0.1:1"], "LISTEN 127.0.0.1:: the port is not a number"),
    (["127.0.0.1:65536", "127.0.0.1:1"], "the port is not a number from 0 to 65535"),
    (["127.0.0.1:99999999999999999999", "127.0.0.1:1"], "the port is not a number"),
    (["127.0.0.1:-1", "127.0.0.1:1"], "the port is not a number"),
    (["127.0.0.1:80x", "127.0.0.1:1"], "the port is not a number"),
    ([":80", "127.0.0.1:1"], "LISTEN :80: no host"),
    (["::1:80", "127.0.0.1:1"], "needs brackets"),
    (["[::1]", "127.0.0.1:1"], "no port after the brackets"),
    (["[]:80", "127.0.0.1:1"], "LISTEN []:80: no host"),
    (["127.0.0.1:0", "127.0.0.1:0"], "UPSTREAM 127.0.0.1:0: port 0 is only for LISTEN"),
    (["127.0.0.1:0", "x" * 300 + ":1"], "the host name is too long"),
    (["--nonsense", "127.0.0.1:0", "127.0.0.1:1"], "unknown option --nonsense"),
    (["-x", "127.0.0.1:0", "127.0.0.1:1"], "unknown option -x"),
    (["-w"], "option --lifetime needs a value"),
    (["--help=1"], "option --help takes no value"),
    (["-w", "soon", "127.0.0.1:0", "127.0.0.1:1"], "option --lifetime soon: it is not a number"),
    (["-w", "0", "127.0.0.1:0", "127.0.0.1:1"], "it must be above 0"),
    (["-w", "-1", "127.0.0.1:0", "127.0.0.1:1"], "it is not a number"),
    (["-w", "nan", "127.0.0.1:0", "127.0.0.1:1"], "it is not a number"),
    (["-w", "1e300", "127.0.0.1:0", "127.0.0.1:1"], "at most 1000000000 seconds"),
    (["-w", "0.0001", "127.0.0.1:0", "127.0.0.1:1"], "at least a millisecond"),
    (["--how", "softly", "127.0.0.1:0", "127.0.0.1:1"], "none of fin, rst, freeze, ghost"),
    (["--after-bytes", "0", "127.0.0.1:0", "127.0.0.1:1"], "it must be at least 1"),
    (["--after-bytes", "left:5", "127.0.0.1:0", "127.0.0.1:1"], "it is not a whole number"),
    (["--after-bytes", "up:", "127.0.0.1:0", "127.0.0.1:1"], "it is not a whole number"),
    (["--after-bytes", "5T", "127.0.0.1:0", "127.0.0.1:1"], "it is not a whole number"),
    (["--after-bytes", "99999999999G", "127.0.0.1:0", "127.0.0.1:1"], "it is too large"),
    (["--refuse", "x", "127.0.0.1:0", "127.0.0.1:1"], "option --refuse x: it is not a number"),
    (["--delay", "5ms", "127.0.0.1:0", "127.0.0.1:1"], "option --delay 5ms: it is not a number"),
    (["--rate", "0", "127.0.0.1:0", "127.0.0.1:1"], "it must be at least 1"),
    (["--rate", "1.5", "127.0.0.1:0", "127.0.0.1:1"], "it is not a whole number"),
    (["--buffer", "2G", "127.0.0.1:0", "127.0.0.1:1"], "option --buffer 2G: it is too large"),
    (["--jitter", "101", "127.0.0.1:0", "127.0.0.1:1"], "it is not a number from 0 to 100"),
    (["--seed", "-3", "127.0.0.1:0", "127.0.0.1:1"], "it is not a whole number"),
    (["--dump", "", "127.0.0.1:0", "127.0.0.1:1"], "a file name cannot be empty"),
    (["--dump-max", "0", "127.0.0.1:0", "127.0.0.1:1"], "it must be at least 1"),
    (["--max-connections", "none", "127.0.0.1:0", "127.0.0.1:1"], "it is not a whole number"),
]


def test_bad_usage_is_one_line_on_standard_error():
    for arguments, expected in BAD_USAGE:
        status, output, errors = run(LILBASTARD, *arguments)
        equal((status, output, len(errors)), (2, "", 1), f"{arguments}: status, output, lines")
        check(errors[0].startswith("lilbastard: ") and expected in errors[0],
              f"{arguments}: {errors[0]!r} does not say {expected!r}")


def test_options_are_taken_in_every_form():
    for options in (["-w", "50"], ["-w50"], ["--lifetime", "50"], ["--lifetime=50"], ["--"],
                    ["--delay", "0", "--refuse", "0", "--jitter", "0"], ["--rate", "10M"]):
        with EchoServer() as upstream, Proxy(*options, upstream=upstream.address) as proxy:
            equal(echo_through(proxy, b"hello"), b"hello", f"echo with {options}")


def test_options_may_follow_the_addresses():
    with Listener() as upstream, Program(LILBASTARD, "127.0.0.1:0", upstream.address,
                                         "--after-bytes", "3") as proxy:
        proxy.address = proxy.wait_line(r"listening on (\S+)").group(1)
        with Pair(proxy, upstream) as pair:
            pair.client.sendall(b"abcdef")
            equal(read_to_end(pair.server), b"abc", "forwarded")


def test_a_port_in_use_is_one_line_with_the_reason():
    with Listener() as taken:
        status, _, errors = run(LILBASTARD, taken.address, "127.0.0.1:1")
        equal((status, len(errors)), (1, 1), "status, lines")
        check(f"cannot listen on {taken.address}: Address already in use" in errors[0], errors[0])


def test_an_address_of_another_machine_is_one_line_with_the_reason():
    status, _, errors = run(LILBASTARD, "192.0.2.1:0", "127.0.0.1:1")
    equal((status, len(errors)), (1, 1), "status, lines")
    check("cannot listen on 192.0.2.1:0: Cannot assign requested address" in errors[0], errors[0])


def test_a_name_that_does_not_resolve_is_one_line_with_the_reason():
    # A label of more than 63 characters cannot exist, so that no name server needs to be asked.
    name = "x" * 70
    for what, arguments in (("LISTEN", [name + ":0", "127.0.0.1:1"]),
                            ("UPSTREAM", ["127.0.0.1:0", name + ":1"])):
        status, _, errors = run(LILBASTARD, *arguments)
        equal((status, len(errors)), (1, 1), "status, lines")
        check(f"cannot resolve {what} {name}" in errors[0], errors[0])


def test_signals_end_it_in_order():
    for number in (signal.SIGINT, signal.SIGTERM):
        with Listener() as upstream, Proxy(upstream=upstream.address) as proxy:
            with Pair(proxy, upstream) as pair:
                equal(proxy.stop(number), 0, f"exit status after {number.name}")
                equal(read_to_end(pair.client), b"", "what the client sees")


def test_a_signal_ends_it_while_it_refuses_and_holds_silent_connections():
    with Listener() as upstream, Proxy("--after-bytes", 1, "--how", "freeze", "--refuse", 600,
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            pair.client.sendall(b"x")
            proxy.wait_line("refusing new connections")
            equal(proxy.stop(), 0, "exit status")


# --- forwarding -------------------------------------------------------------------------------


def test_bytes_arrive_unchanged_in_both_directions():
    data = random_bytes(32 * MIB)
    with EchoServer() as upstream, Proxy(upstream=upstream.address) as proxy:
        same_bytes(echo_through(proxy, data), data, "echo")


def test_many_connections_at_once_are_kept_apart():
    with EchoServer() as upstream, Proxy(upstream=upstream.address) as proxy:
        sockets = [connect(proxy.address) for _ in range(300)]
        for i, s in enumerate(sockets):
            s.sendall(random_bytes(2000, i))
        for i, s in enumerate(sockets):
            equal(read_exactly(s, 2000), random_bytes(2000, i), f"echo on connection {i}")
            s.close()


def test_a_client_that_ends_its_direction_still_receives():
    data = random_bytes(3 * MIB)
    with Listener() as upstream, Proxy(upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            sender = Sender(pair.client, data, then_end=True)
            same_bytes(read_to_end(pair.server), data, "up, to its end")
            sender.finish()
            check(is_open_and_quiet(pair.client), "the client's receiving direction has ended too")
            sender = Sender(pair.server, data, then_end=True)
            same_bytes(read_to_end(pair.client), data, "down, after the client's end")
            sender.finish()
            proxy.wait_line(r"#1 closed by both programs after .* s, 3145728 bytes up, 3145728 bytes")


def test_a_server_that_ends_its_direction_still_receives():
    data = random_bytes(3 * MIB)
    with Listener() as upstream, Proxy(upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            pair.server.sendall(b"first word")
            pair.server.shutdown(socket.SHUT_WR)
            equal(read_to_end(pair.client), b"first word", "down, to its end")
            sender = Sender(pair.client, data, then_end=True)
            same_bytes(read_to_end(pair.server), data, "up, after the server's end")
            sender.finish()


def test_what_was_sent_before_connecting_upstream_ends_in_order_arrives():
    # The client has sent and ended before the server is accepted.
    with Listener() as upstream, Proxy(upstream=upstream.address) as proxy:
        with connect(proxy.address) as client:
            client.sendall(b"early")
            client.shutdown(socket.SHUT_WR)
            server = upstream.accept()
            equal(read_to_end(server), b"early", "up")
            server.sendall(b"late")
            server.close()
            equal(read_to_end(client), b"late", "down")


def test_a_reset_is_passed_on_as_a_reset():
    for by in ("client", "server"):
        with Listener() as upstream, Proxy(upstream=upstream.address) as proxy:
            with Pair(proxy, upstream) as pair:
                one, other = ((pair.client, pair.server) if by == "client"
                              else (pair.server, pair.client))
                pair.client.sendall(b"x")
                equal(read_exactly(pair.server, 1), b"x", "the byte before")
                reset(one)
                equal(read_to_end_or_reset(other), (b"", True), f"after the {by}'s reset")
                proxy.wait_line(f"#1 reset by the {by} after .* 1 bytes up, 0 bytes down")


def test_a_reset_is_passed_on_while_nothing_can_be_read_or_written():
    # The upload is stuck (nobody reads), so no write can fail and nothing more is read.
    with Listener() as upstream, Proxy("--buffer", "16K", upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            fill(pair)
            reset(pair.client)
            proxy.wait_line("#1 reset by the client")  # and only now does the server read
            check(read_to_end_or_reset(pair.server)[1], "the server saw no reset")


def test_bytes_of_one_connection_never_appear_on_another():
    # Each connection is reset with bytes stuck in the proxy, which then reuses what held them.
    data = random_bytes(4 * MIB)
    with Listener() as upstream, Proxy(upstream=upstream.address) as proxy:
        for i in range(1, 6):
            with Pair(proxy, upstream) as stuck:
                sender = Sender(stuck.client, bytes(256 * MIB))
                read_exactly(stuck.server, 24 * MIB)  # then no more
                reset(stuck.server)
                proxy.wait_line(f"#{2 * i - 1} reset by the server")
                sender.join()
            with Pair(proxy, upstream) as pair:
                Sender(pair.client, data)
                same_bytes(read_to_end(pair.server), data, f"after {i} connections that were reset")


def test_an_answer_before_a_reset_arrives():
    # A server that answers and closes without having read it all: its kernel sends a reset. The
    # client must get the answer first, as it would without a proxy.
    with Listener() as upstream, Proxy(upstream=upstream.address) as proxy:
        for i in range(5):
            with Pair(proxy, upstream) as pair:
                pair.client.sendall(b"request" * 1000)
                read_exactly(pair.server, 1)
                proxy.pause()
                # The first thing that it finds is that this cannot be written any more.
                pair.client.sendall(b"rest of the request")
                pair.server.sendall(b"no, thanks")
                pair.server.close()
                proxy.go_on()
                equal(read_to_end_or_reset(pair.client)[0], b"no, thanks", f"answer {i}")


def test_an_upstream_that_refuses_is_reported_and_resets_the_client():
    with Listener() as gone:
        address = gone.address
    with Proxy(upstream=address) as proxy:
        try:
            with connect(proxy.address) as client:
                equal(read_to_end_or_reset(client), (b"", True), "what the client sees")
        except ConnectionResetError:
            pass  # so soon that the connect itself heard of it
        proxy.wait_line(f"#1 upstream connect failed: {address}: Connection refused")


def test_ipv6_works_on_both_sides():
    with EchoServer("::1") as upstream, Proxy(upstream=upstream.address, listen="[::1]:0") as proxy:
        check(re.fullmatch(r"listening on \[::1\]:[1-9][0-9]*", proxy.lines[0]), proxy.lines[0])
        equal(echo_through(proxy, b"six"), b"six", "echo")
        proxy.wait_line(r"#1 opened from \[::1\]:[0-9]+$")


def test_host_names_work_on_both_sides():
    # Where localhost has several addresses, the one that nobody listens on must not be the end.
    for host in {a[4][0] for a in socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)}:
        with EchoServer(host) as upstream, Proxy(upstream=f"localhost:{upstream.port}",
                                                 listen="localhost:0") as proxy:
            equal(echo_through(proxy, b"name"), b"name", f"echo by {host}")


# --- ending by age ----------------------------------------------------------------------------


def age_s(match):
    return float(match.group(1))


def test_a_connection_ends_when_it_is_as_old_as_told():
    with Listener() as upstream, Proxy("-w", "0.25", upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            pair.client.sendall(b"12345")
            equal(read_to_end(pair.server), b"12345", "up, then the end")
            equal(read_to_end(pair.client), b"", "down: only the end")
            line = proxy.wait_line(
                r"^#1 terminated \(fin\) after ([0-9.]+) s, 5 bytes up, 0 bytes down$")
            check(age_s(line) >= 0.25, f"it ended early: {line.group(0)}")


def test_each_connection_has_its_own_age():
    with Listener() as upstream, Proxy("-w", "0.2", upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as first:
            read_to_end(first.client)
            with Pair(proxy, upstream) as second:
                read_to_end(second.client)
            for number in (1, 2):
                line = proxy.wait_line(rf"#{number} terminated \(fin\) after ([0-9.]+) s")
                check(age_s(line) >= 0.2, f"it ended early: {line.group(0)}")


def test_fin_is_seen_as_an_end_even_by_those_who_are_sending():
    # Closing a socket that has unread bytes sends a reset, and a reset destroys what has not arrived
    # yet: here the end itself, since nobody reads until both directions are full.
    with Listener() as upstream, Proxy("-w", "0.5", upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            ends = (("client", pair.client), ("server", pair.server))
            senders = [Sender(s, bytes(12 * MIB), then_end=False) for _, s in ends]
            proxy.wait_line(r"#1 terminated \(fin\)")
            for name, s in ends:
                equal(read_to_end_or_reset(s)[1], False, f"a reset at the {name}")
            for sender in senders:
                sender.finish()


def test_a_program_that_ignores_the_end_is_not_waited_for():
    with Listener() as upstream, Proxy("--after-bytes", 1, "--max-connections", 1,
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as first:
            first.client.sendall(b"x")
            equal(read_to_end(first.client), b"", "the end")  # and the client stays
            with Pair(proxy, upstream) as second:
                second.client.sendall(b"y")
                equal(read_to_end(second.server), b"y", "on the connection after it")


def test_rst_is_seen_as_a_reset_on_both_sides():
    with Listener() as upstream, Proxy("-w", "0.2", "--how", "rst",
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            equal(read_to_end_or_reset(pair.client), (b"", True), "the client")
            equal(read_to_end_or_reset(pair.server), (b"", True), "the server")
            proxy.wait_line(r"#1 terminated \(rst\) after")


def test_a_connection_ends_by_age_while_it_waits_for_upstream():
    # A server whose queue of waiting connections is full answers no new ones.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = f"127.0.0.1:{full.getsockname()[1]}"
        fillers = []
        while True:
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(full.getsockname())
            fillers.append(s)
            if not select.select([], [s], [], 0.2)[1]:
                break
        with Proxy("-w", "0.2", upstream=address) as proxy, connect(proxy.address) as client:
            equal(read_to_end(client), b"", "what the client sees")
            proxy.wait_line(r"#1 terminated \(fin\)")
        for s in fillers:
            s.close()


# --- freeze and ghost -------------------------------------------------------------------------


def test_a_frozen_connection_stays_open_and_forwards_nothing():
    with Listener() as upstream, Proxy("--after-bytes", 5, "--how", "freeze",
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            pair.client.sendall(b"12345678")
            proxy.wait_line(r"#1 terminated \(freeze\) after .* 5 bytes up, 0 bytes down")
            equal(read_exactly(pair.server, 5), b"12345", "what was forwarded before")
            pair.client.sendall(b"into the void")
            pair.server.sendall(b"likewise")
            check(is_open_and_quiet(pair.client), "the client's side is not open and quiet")
            check(is_open_and_quiet(pair.server), "the server's side is not open and quiet")
            pair.client.close()
            # By now a leak would have had its chance: the end comes after whatever was forwarded.
            equal(read_to_end_or_reset(pair.server)[0], b"", "what came through the frozen one")
            proxy.wait_line("#1 left by the client after .* 5 bytes up, 0 bytes down")


def test_a_frozen_connection_ends_for_both_when_the_server_leaves():
    for leave in (socket.socket.close, reset):
        with Listener() as upstream, Proxy("-w", "0.1", "--how", "freeze",
                                           upstream=upstream.address) as proxy:
            with Pair(proxy, upstream) as pair:
                proxy.wait_line(r"terminated \(freeze\)")
                leave(pair.server)
                equal(read_to_end_or_reset(pair.client)[0], b"", "the client")
                proxy.wait_line("#1 left by the server")


def test_a_ghost_is_closed_for_the_client_and_open_for_the_server():
    with Listener() as upstream, Proxy("--after-bytes", "up:3", "--how", "ghost",
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            pair.client.sendall(b"abcdef")
            equal(read_to_end(pair.client), b"", "the client")
            proxy.wait_line(r"#1 terminated \(ghost\) after .* 3 bytes up, 0 bytes down")
            equal(read_exactly(pair.server, 3), b"abc", "forwarded before")
            pair.client.close()
            pair.server.sendall(b"is anybody there?")
            check(is_open_and_quiet(pair.server), "the server's side is not open and quiet")
            pair.server.close()
            proxy.wait_line("#1 left by the server")


def test_an_end_before_the_freeze_does_not_end_the_frozen_connection():
    with Listener() as upstream, Proxy("-w", "0.3", "--how", "freeze",
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            pair.client.shutdown(socket.SHUT_WR)
            equal(read_to_end(pair.server), b"", "the client's end")
            proxy.wait_line(r"#1 terminated \(freeze\)")
            connect(proxy.address).close()
            proxy.wait_line(r"#2 terminated \(freeze\)|#2 reset|#2 closed")
            check(is_open_and_quiet(pair.client), "the client's side is not open and quiet")
            pair.server.close()
            proxy.wait_line("#1 left by the server")


def test_silent_connections_do_not_count_but_are_bounded():
    with Listener() as upstream, Proxy("--after-bytes", 1, "--how", "freeze", "--max-connections", 2,
                                       upstream=upstream.address) as proxy:
        pairs = []
        for i in range(1, 4):  # the third is served although two are open
            pairs.append(Pair(proxy, upstream))
            pairs[-1].client.sendall(b"x")
            proxy.wait_line(rf"#{i} terminated \(freeze\)")
        proxy.wait_line("#1 dropped: 2 silent connections are open already")
        read_to_end_or_reset(pairs[0].server)
        for pair in pairs[1:]:
            equal(read_exactly(pair.server, 1), b"x", "the byte before")
            check(is_open_and_quiet(pair.server), "a younger one was dropped")
        for pair in pairs:
            pair.client.close()


# --- ending by bytes --------------------------------------------------------------------------


def test_exactly_so_many_bytes_go_up_then_the_end():
    data = random_bytes(4 * MIB)
    for n in (1, 2, 1000, 65536, 262144, 262145, 1000003):
        with Listener() as upstream, Proxy("--after-bytes", f"up:{n}",
                                           upstream=upstream.address) as proxy:
            with Pair(proxy, upstream) as pair:
                pair.server.sendall(b"down does not count")
                equal(read_exactly(pair.client, 19), b"down does not count", "down")
                Sender(pair.client, data)
                same_bytes(read_to_end(pair.server), data[:n], f"up:{n}")
                proxy.wait_line(rf"terminated \(fin\) after .* s, {n} bytes up, 19 bytes down")


def test_exactly_so_many_bytes_go_down_then_the_end():
    data = random_bytes(2 * MIB)
    for n, how in ((1, "fin"), (4096, "rst"), (1000003, "fin"), (70000, "ghost")):
        with Listener() as upstream, Proxy("--after-bytes", f"down:{n}", "--how", how,
                                           upstream=upstream.address) as proxy:
            with Pair(proxy, upstream) as pair:
                pair.client.sendall(b"up does not count" * 1000)
                read_exactly(pair.server, 17000)
                Sender(pair.server, data)
                got, was_reset = read_to_end_or_reset(pair.client)
                same_bytes(got, data[:n], f"down:{n} {how}")
                equal(was_reset, how == "rst", f"down:{n} {how}: reset")


def test_without_a_direction_both_count():
    n = 100001
    with EchoServer() as upstream, Proxy("--after-bytes", n, upstream=upstream.address) as proxy:
        with connect(proxy.address) as client:
            Sender(client, bytes(MIB))
            got = read_to_end(client)
        line = proxy.wait_line(r"terminated \(fin\) after .* s, (\d+) bytes up, (\d+) bytes down")
        equal(int(line.group(1)) + int(line.group(2)), n, "bytes up and down together")
        equal(int(line.group(2)), len(got), "bytes down, and what the client got")


def test_fewer_bytes_than_the_limit_do_not_end_it():
    with EchoServer() as upstream, Proxy("--after-bytes", "up:1001",
                                         upstream=upstream.address) as proxy:
        equal(len(echo_through(proxy, bytes(1000))), 1000, "echoed")
        proxy.wait_line("#1 closed by both programs")


# --- refusing ---------------------------------------------------------------------------------


def test_after_an_end_new_connections_are_refused():
    with Listener() as upstream, Proxy("--after-bytes", 1, "--refuse", 600,
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as other, Pair(proxy, upstream) as pair:
            pair.client.sendall(b"x")
            equal(read_to_end(pair.client), b"", "the end")
            for _ in range(3):  # at once: who saw the end is refused already
                check(is_refused(proxy.address), "a connection was accepted")
            proxy.wait_line(r"refusing new connections for 600\.000 s")
            other.server.sendall(b"y")
            equal(read_exactly(other.client, 1), b"y", "one that was open before")


def test_when_refusing_is_over_it_listens_on_the_same_address():
    for listen in ("127.0.0.1:0", "[::1]:0"):
        with Listener() as upstream, Proxy("--after-bytes", 1, "--refuse", "0.2", listen=listen,
                                           upstream=upstream.address) as proxy:
            for _ in range(3):
                with Pair(proxy, upstream) as pair:
                    pair.client.sendall(b"x")
                    equal(read_to_end(pair.server), b"x", "the byte, then the end")
                proxy.wait_line("refusing new connections for 0.200 s")
                proxy.wait_line("accepting new connections again")


def test_the_port_stays_taken_while_it_refuses():
    # Ended by a reset, so that no connection of the past occupies the port either.
    with Listener() as upstream, Proxy("--after-bytes", 1, "--how", "rst", "--refuse", 600,
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            pair.client.sendall(b"x")
            read_to_end_or_reset(pair.client)
            read_to_end_or_reset(pair.server)
        with socket.socket() as thief:
            try:
                thief.bind(("127.0.0.1", int(proxy.address.rsplit(":", 1)[1])))
                check(False, "the port was free")
            except OSError as error:
                equal(error.errno, errno.EADDRINUSE, "why the port cannot be had")


def test_an_end_by_a_program_refuses_nobody():
    with EchoServer() as upstream, Proxy("--refuse", 600, "-w", 600,
                                         upstream=upstream.address) as proxy:
        for _ in range(2):
            equal(echo_through(proxy, b"x"), b"x", "echo")
        proxy.wait_line("#2 closed by both programs")


# --- delay, rate, buffer, jitter --------------------------------------------------------------


def test_no_byte_arrives_before_its_delay():
    delay_ms = 120
    with Listener() as upstream, Proxy("--delay", delay_ms, upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            for one, other in ((pair.client, pair.server), (pair.server, pair.client)):
                sent_s = time.monotonic()
                one.sendall(b"ping")
                equal(read_exactly(other, 4), b"ping", "delayed")
                check(time.monotonic() - sent_s >= delay_ms / 1000, "a byte came early")


def test_no_byte_of_very_many_small_writes_comes_early():
    count, delay_s = 20000, 0.3
    sent_s, early = [], []
    with Listener() as upstream, Proxy("--delay", 300, upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            pair.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(count):
                sent_s.append(time.monotonic())
                pair.client.send(b"x")
            got = 0
            while got < count:
                n = len(pair.server.recv(65536))
                early += [i for i in range(got, got + n) if time.monotonic() < sent_s[i] + delay_s]
                got += n
    equal(early, [], "bytes that came early")


def test_the_end_is_delayed_too():
    with Listener() as upstream, Proxy("--delay", 120, upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            sent_s = time.monotonic()
            pair.client.shutdown(socket.SHUT_WR)
            equal(read_to_end(pair.server), b"", "the end")
            check(time.monotonic() - sent_s >= 0.12, "the end came early")


def test_a_delay_changes_no_bytes():
    data = random_bytes(24 * MIB)
    with EchoServer() as upstream, Proxy("--delay", 20, upstream=upstream.address) as proxy:
        same_bytes(echo_through(proxy, data), data, "echo")


def test_bytes_are_not_forwarded_faster_than_the_rate():
    rate, size = 1000000, 300000
    with Listener() as upstream, Proxy("--rate", rate, upstream=upstream.address) as proxy:
        for direction in ("up", "down"):
            with Pair(proxy, upstream) as pair:
                one, other = ((pair.client, pair.server) if direction == "up"
                              else (pair.server, pair.client))
                data = random_bytes(size)
                began_s = time.monotonic()
                sender = Sender(one, data)
                same_bytes(read_to_end(other), data, direction)
                took_s = time.monotonic() - began_s
                sender.finish()
                # What 20 ms let through may leave at once.
                check(took_s >= size / rate - 0.02, f"{direction}: it took only {took_s:.3f} s")


def test_a_very_low_rate_still_moves_every_byte():
    with Listener() as upstream, Proxy("--rate", 20, upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            Sender(pair.client, b"slowly")
            equal(read_to_end(pair.server), b"slowly", "up")


PATTERN = bytes(range(251))  # no power of two: a piece that is missing or moved cannot hide


def pattern_bytes(n):
    return (PATTERN * (n // len(PATTERN) + 1))[:n]


def fill(pair):
    """The client sends the pattern until the proxy, which has nowhere to put it, leaves some of it
    unread. Returns how many bytes were sent.
    """
    block = PATTERN * 40
    sent = 0
    while pair.settle() == 0:
        pair.client.sendall(block)
        sent += len(block)
    return sent


def test_a_slow_reader_is_felt_by_the_writer():
    # A kernel buffer of the proxy and one of ours lie in the way, beside the proxy's own.
    with Listener(receive_buffer=8192) as upstream, Proxy("--buffer", "64K",
                                                          upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            sent = fill(pair)
            check(sent < MIB, f"{sent} bytes were taken while nobody read")
            pair.client.shutdown(socket.SHUT_WR)
            same_bytes(read_to_end(pair.server), pattern_bytes(sent), "what was held")


def test_a_reader_that_pauses_gets_every_byte():
    with Listener(receive_buffer=8192) as upstream, Proxy(upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            sent = fill(pair)
            check(not proxy.is_busy(), "it is busy although nobody reads")
            pair.client.shutdown(socket.SHUT_WR)
            same_bytes(read_to_end(pair.server), pattern_bytes(sent), "what was held")


def test_a_reader_that_pauses_in_the_middle_of_bulk_gets_every_byte():
    data = random_bytes(48 * MIB)
    with Listener(receive_buffer=65536) as upstream, Proxy(upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            sender = Sender(pair.client, data)
            got = read_exactly(pair.server, 16 * MIB)
            check(not proxy.is_busy(), "it is busy although nobody reads")
            same_bytes(got + read_to_end(pair.server), data, "all of it")
            sender.finish()


def test_every_buffer_size_forwards_unchanged():
    for size in (1, 2, 7, 1000, 4096, 65537, "1M"):
        data = random_bytes(20000 if size in (1, 2, 7) else 3 * MIB)
        with EchoServer() as upstream, Proxy("--buffer", size, upstream=upstream.address) as proxy:
            same_bytes(echo_through(proxy, data), data, f"--buffer {size}")


def test_everything_at_once_changes_no_bytes():
    data = random_bytes(MIB)
    with EchoServer() as upstream, Proxy("--delay", 7, "--rate", "4M", "--buffer", 10007, "--jitter",
                                         50, "--seed", 3, upstream=upstream.address) as proxy:
        sockets = [connect(proxy.address) for _ in range(3)]
        senders = [Sender(s, data) for s in sockets]
        for s, sender in zip(sockets, senders):
            same_bytes(read_to_end(s), data, "echo")
            sender.finish()
            s.close()


def forwarded_until_the_end(*options, connections):
    """How many bytes each of some connections let up before it was ended."""
    counts = []
    with Listener() as upstream, Proxy(*options, upstream=upstream.address) as proxy:
        for _ in range(connections):
            with Pair(proxy, upstream) as pair:
                Sender(pair.client, bytes(100000))
                counts.append(len(read_to_end(pair.server)))
    return counts


def test_jitter_varies_within_its_percentage():
    counts = forwarded_until_the_end("--after-bytes", "up:10000", "--jitter", 20, connections=30)
    check(all(8000 <= n <= 12000 for n in counts), f"outside of 10000 +- 20 %: {counts}")
    check(len(set(counts)) > 20, f"hardly varied: {counts}")
    check(min(counts) < 9500 and max(counts) > 10500, f"not spread: {counts}")


def test_a_seed_makes_jitter_reproducible():
    options = ["--after-bytes", "up:10000", "--jitter", 50, "--seed"]
    first = forwarded_until_the_end(*options, 7, connections=5)
    equal(forwarded_until_the_end(*options, 7, connections=5), first, "the same seed")
    equal(forwarded_until_the_end("-w", 600, *options, 7, connections=5), first,
          "the same seed beside another option")
    check(forwarded_until_the_end(*options, 8, connections=5) != first, "another seed, same values")


def test_a_seed_that_was_not_given_is_printed():
    with EchoServer() as upstream, Proxy("--jitter", 5, upstream=upstream.address) as proxy:
        proxy.wait_line(r"^jitter seed [0-9]+$")


def test_jitter_varies_the_lifetime():
    # With this seed the first connection draws 0.07 s out of 0 to 1200. Without jitter it would be
    # 600 s, which is long after this test has failed.
    with Listener() as upstream, Proxy("-w", 600, "--jitter", 100, "--seed", 5649,
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            equal(read_to_end(pair.client), b"", "the client")
            check(age_s(proxy.wait_line(r"terminated \(fin\) after ([0-9.]+) s")) >= 0.065,
                  "it ended before its drawn time")


# --- the dump ---------------------------------------------------------------------------------


def read_dump(path):
    """{(connection, "up" or "down"): all its bytes}, as the manual page has the format."""
    with open(path, "rb") as file:
        dump = file.read()
    streams = {}
    while dump:
        head, dump = dump.split(b"\n", 1)
        number, direction, length = re.fullmatch(rb"#([0-9]+) (up|down) ([0-9]+)", head).groups()
        length = int(length)
        equal(dump[length:length + 1], b"\n", "what follows a record")
        key = int(number), direction.decode()
        streams[key] = streams.get(key, b"") + dump[:length]
        dump = dump[length + 1:]
    return streams


def test_the_dump_has_every_byte_of_both_directions():
    up, down = random_bytes(3 * MIB, seed=1), random_bytes(2 * MIB, seed=2)
    with tempfile.TemporaryDirectory() as folder, Listener() as upstream:
        path = os.path.join(folder, "dump")
        # A size that divides nothing: what is read wraps round in the ring at every place.
        with Proxy("--dump", path, "--buffer", 100003, upstream=upstream.address) as proxy:
            with Pair(proxy, upstream) as first, Pair(proxy, upstream) as second:
                senders = [Sender(first.client, up), Sender(first.server, down)]
                equal(read_exactly(first.server, len(up)), up, "up")
                equal(read_exactly(first.client, len(down)), down, "down")
                for sender in senders:
                    sender.finish()
                second.client.sendall(b"a marker")
                equal(read_exactly(second.server, 8), b"a marker", "up on the second")
            # It is still running: what was forwarded is in the file already.
            dumped = read_dump(path)
        equal(sorted(dumped), [(1, "down"), (1, "up"), (2, "up")], "streams")
        same_bytes(dumped[1, "up"], up, "up")
        same_bytes(dumped[1, "down"], down, "down")
        equal(dumped[2, "up"], b"a marker", "the second connection")
        with open(path, "rb") as file:
            check(b"a marker" in file.read(), "what grep would look for is not there")
        equal(os.stat(path).st_mode & 0o777, 0o600, "mode of the file")


def test_what_was_held_when_a_connection_ended_is_in_the_dump():
    with tempfile.TemporaryDirectory() as folder, Listener() as upstream:
        path = os.path.join(folder, "dump")
        with Proxy("--dump", path, "--after-bytes", 3, upstream=upstream.address) as proxy:
            with Pair(proxy, upstream) as pair:
                pair.client.sendall(b"abcdef")
                equal(read_to_end(pair.server), b"abc", "forwarded")
            equal(read_dump(path), {(1, "up"): b"abcdef"}, "dumped")


def test_the_dump_ends_at_its_limit_and_forwarding_goes_on():
    with tempfile.TemporaryDirectory() as folder, EchoServer() as upstream:
        path = os.path.join(folder, "dump")
        with Proxy("--dump", path, "--dump-max", "64K", upstream=upstream.address) as proxy:
            data = random_bytes(4 * MIB)
            same_bytes(echo_through(proxy, data), data, "echo")
            proxy.wait_line(r"^dump ended: it is as large as --dump-max allows$")
            check(os.stat(path).st_size <= 64 << 10, f"it has {os.stat(path).st_size} bytes")
            for (_, direction), part in read_dump(path).items():
                equal(part, data[:len(part)], direction)
            equal(proxy.stop(), 0, "exit status")
            equal(len([line for line in proxy.lines if "dump" in line]), 1, "lines about it")


def test_a_dump_that_cannot_be_written_ends_and_forwarding_goes_on():
    with EchoServer() as upstream, Proxy("--dump", "/dev/full", upstream=upstream.address) as proxy:
        equal(echo_through(proxy, b"hello"), b"hello", "echo")
        proxy.wait_line(r"^dump ended: No space left on device$")


def test_a_dump_that_cannot_be_opened_is_one_line_with_the_reason():
    status, _, errors = run(LILBASTARD, "--dump", "/nowhere/dump", "127.0.0.1:0", "127.0.0.1:1")
    equal((status, len(errors)), (1, 1), "status, lines")
    check("cannot write --dump /nowhere/dump: No such file or directory" in errors[0], errors[0])


# --- limits, and what idleness costs ----------------------------------------------------------


def test_a_connection_above_the_limit_waits_for_its_turn():
    with EchoServer() as upstream, Proxy("--max-connections", 2, upstream=upstream.address) as proxy:
        first, second, third = (connect(proxy.address) for _ in range(3))
        for s in (first, second):
            s.sendall(b"x")
            equal(read_exactly(s, 1), b"x", "echo below the limit")
        proxy.wait_line("limit of 2 connections reached")
        third.sendall(b"third")
        first.close()
        equal(read_exactly(third, 5), b"third", "echo once there is room")
        proxy.wait_line("#1 closed by both programs")
        proxy.wait_line("#3 opened")  # after that line, or it is not found
        for s in (second, third):
            s.close()


def test_it_waits_when_descriptors_run_out():
    for limit in (40, 41):  # connections need two each: once even, once odd
        with EchoServer() as upstream, Proxy(upstream=upstream.address,
                                             limits={resource.RLIMIT_NOFILE: limit}) as proxy:
            sockets = [connect(proxy.address) for _ in range(60)]
            proxy.wait_line("cannot accept: Too many open files.*ulimit -n")
            check(not proxy.is_busy(), "it is busy although it can do nothing")
            for i, s in enumerate(sockets):  # each gets its turn when those before have gone
                s.sendall(b"x")
                equal(read_exactly(s, 1), b"x", f"echo on connection {i} of {limit} descriptors")
                s.close()
            equal(echo_through(proxy, b"again"), b"again", "echo when the others have gone")
            proxy.stop()
            equal(sum("cannot accept" in line for line in proxy.lines), 1, "lines about it")


def test_it_notices_descriptors_that_others_gave_back():
    # Not one connection is open, so none can end and wake it.
    with EchoServer() as upstream, Proxy(upstream=upstream.address) as proxy:
        before = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (3, 3 + 100))
        with connect(proxy.address) as client:
            proxy.wait_line("cannot accept: Too many open files")
            resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (3 + 100, 3 + 100))
            client.sendall(b"x")
            equal(read_exactly(client, 1), b"x", "echo with descriptors to spare")
        check(before[0] > 3, "the limit was low before")


def test_idle_connections_cost_no_processor_time():
    with Listener() as upstream, Proxy("-w", 600, "--delay", 5, "--rate", 1000,
                                       upstream=upstream.address) as proxy:
        pairs = [Pair(proxy, upstream) for _ in range(50)]
        for pair in pairs:
            pair.client.sendall(b"x")
            equal(read_exactly(pair.server, 1), b"x", "a byte on each")
        check(not proxy.is_busy(), "it is busy although nothing happens")
        for pair in pairs:
            pair.client.close()


def test_an_end_that_cannot_be_passed_on_yet_costs_no_processor_time():
    # The client's end is there, behind bytes that the server does not take: its socket is ready for
    # ever, for something that cannot be done. Likewise when the server has ended its direction.
    for server_ends_first in (False, True):
        with Listener(receive_buffer=8192) as upstream, Proxy("--buffer", "256K",
                                                              upstream=upstream.address) as proxy:
            with Pair(proxy, upstream) as pair:
                if server_ends_first:
                    pair.server.shutdown(socket.SHUT_WR)
                    equal(read_to_end(pair.client), b"", "the server's end")
                sent = fill(pair)
                pair.client.shutdown(socket.SHUT_WR)
                while unacknowledged_bytes(pair.client) > 0:
                    pass  # the end has not come yet
                check(not proxy.is_busy(), f"it is busy (server ends first: {server_ends_first})")
                equal(len(read_to_end(pair.server)), sent, "bytes up to the end")


def test_urgent_data_costs_no_processor_time():
    with Listener() as upstream, Proxy("--after-bytes", 1, "--how", "freeze",
                                       upstream=upstream.address) as proxy:
        with Pair(proxy, upstream) as pair:
            pair.client.sendall(b"x")
            proxy.wait_line(r"terminated \(freeze\)")
            pair.client.send(b"!", socket.MSG_OOB)
            check(not proxy.is_busy(), "it is busy although nothing happens")


if __name__ == "__main__":
    harness.main(globals())
