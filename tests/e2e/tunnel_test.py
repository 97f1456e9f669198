#!/usr/bin/env python3
"""The tool, `turbotunnel server` and `turbotunnel client`, with real sockets on both sides.

    tests/e2e/tunnel_test.py BUILD_DIR [WORD]...
"""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

import harness
from echo import Proxy, random_bytes, rss_bytes
from harness import (Acceptor, EchoServer, Listener, Program, Sender, check, connect, equal, read_exactly, read_to_end,
                     read_to_end_or_reset, reset, run)
from tunnel import (TUNNEL, Stdio, TunnelClient, TunnelServer, client_keys, descriptors, has_ipv6, is_reset, joined,
                    server_keys, socks_connect, through, tunnel)

MIB = 1 << 20


def echoed(address, data=b"hello"):
    s = connect(address)
    sender = Sender(s, data)
    equal(read_to_end(s), data, "what came back")
    sender.finish()
    s.close()


# --- ways in ----------------------------------------------------------------------------------


def test_a_listener_leads_to_the_fixed_target():
    with EchoServer() as target:
        with tunnel(("--forward", target.address), ("--listen", "127.0.0.1:0")) as (_, client):
            echoed(client.addresses[0])
            echoed(client.addresses[0], random_bytes(8 * MIB))


def test_local_forwards_lead_where_they_say():
    with EchoServer() as one, EchoServer() as two:
        with tunnel(("--allow", one.address, "--allow", two.address),
                    ("-L", f"0:{one.address}", "-L", f"[::1]:0:{two.address}" if has_ipv6() else
                     f"127.0.0.1:0:{two.address}", "-L", f"0:localhost:{two.port}")) as (server, client):
            for address in client.addresses[:2]:
                echoed(address)
            # localhost is not in the rule, and its address only by a rule that names it: it is.
            echoed(client.addresses[2])
            equal(server.stop(), 0, "exit status")


def test_standard_input_leads_to_the_fixed_target():
    data = random_bytes(4 * MIB)
    with EchoServer() as target, TunnelServer("--forward", target.address) as server:
        with Stdio(server, "--stdio") as client:
            feeder = threading.Thread(target=lambda: (client.send(data), client.end()))
            feeder.start()
            equal(client.read(), data, "what came back")
            feeder.join()
            equal(client.wait(), 0, f"exit status: {client.lines}")


def test_standard_input_leads_where_it_says():
    with EchoServer() as target, TunnelServer("--allow", target.address) as server:
        with Stdio(server, "-W", target.address) as client:
            client.send(b"abc")
            equal(client.read(3), b"abc", "what came back")
            client.end()
            equal((client.read(), client.wait()), (b"", 0), f"the end: {client.lines}")


def test_standard_input_may_be_a_file_or_nothing():
    data = random_bytes(3 * MIB)
    with EchoServer() as target, TunnelServer("--forward", target.address) as server:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
            source.write(data)
            source.seek(0)
            with Program(TUNNEL, "client", *client_keys(), "--connect", server.url, "--stdio", stdin=source,
                         stdout=sink) as client:
                equal(client.wait(), 0, f"exit status: {client.lines}")
            sink.seek(0)
            equal(sink.read(), data, "what came back")
        with open(os.devnull, "rb") as nothing:
            with Program(TUNNEL, "client", *client_keys(), "--connect", server.url, "--stdio", stdin=nothing) as client:
                equal(client.wait(), 0, f"exit status: {client.lines}")


def test_standard_output_ends_when_the_far_side_ends():
    """An ssh that is told goodbye must not wait for its input to end."""
    with Listener() as target, TunnelServer("--forward", target.address) as server:
        with Stdio(server, "--stdio") as client:
            client.send(b"x")
            s = target.accept()
            read_exactly(s, 1)
            s.sendall(b"bye")
            s.close()
            equal(client.read(), b"bye", "what came")
            equal(client.wait(), 0, f"exit status: {client.lines}")


def test_standard_input_whose_target_is_refused_says_so():
    with Listener() as closed:
        pass
    with TunnelServer("--forward", closed.address) as server, Stdio(server, "--stdio") as client:
        equal((client.read(), client.wait()), (b"", 1), f"the end: {client.lines}")
        check(client.lines[-1] == "turbotunnel: connection refused", client.lines)


# --- SOCKS ------------------------------------------------------------------------------------


def test_socks_by_address_and_by_name():
    with EchoServer() as target:
        rules = ["--allow", f"127.0.0.1:{target.port}", "--allow", f"localhost:{target.port}"]
        with tunnel(rules, ("-D", "0")) as (_, client):
            for host, user in (("127.0.0.1", None), ("localhost", None), ("LOCALHOST", b"me"),
                               ("127.0.0.1", b"u" * 255)):
                s, code = socks_connect(client.addresses[0], host, target.port, user)
                equal(code, 0, f"the reply about {host}")
                sender = Sender(s, b"hello")
                equal(read_to_end(s), b"hello", "what came back")
                sender.finish()
                s.close()


def test_socks_by_an_ipv6_address():
    check(has_ipv6(), "this machine has no ::1")
    with EchoServer("::1") as target, tunnel(("--allow", f"[::1]:{target.port}"), ("-D", "0")) as (_, client):
        s, code = socks_connect(client.addresses[0], "::1", target.port)
        equal(code, 0, "the reply")
        s.sendall(b"six")
        equal(read_exactly(s, 3), b"six", "what came back")
        s.close()


def test_socks_says_why_not():
    with Listener() as closed:
        pass
    with EchoServer() as target:
        rules = ("--allow", f"127.0.0.1:{closed.port}", "--allow", "*:80", "--allow", f"nobody.invalid:{target.port}",
                 "--allow", f"0.0.0.0/0:{target.port}")
        with tunnel(rules, ("-D", "0")) as (_, client):
            for host, port, code in (("127.0.0.1", closed.port, 5), ("nobody.invalid", target.port, 4),
                                     ("127.0.0.1", target.port, 2), ("localhost", target.port, 2),
                                     ("127.1", target.port, 2), ("::ffff:127.0.0.1", target.port, 2),
                                     ("0.0.0.0", target.port, 2), ("127.0.0.1", 80, 2), ("192.0.2.1", 81, 2)):
                s, got = socks_connect(client.addresses[0], host, port)
                equal(got, code, f"the reply about {host} port {port}")
                equal(s.recv(1), b"", "the end")
                s.close()


def test_socks_takes_what_comes_before_its_reply():
    with EchoServer() as target:
        with tunnel(("--allow", target.address), ("-D", "0")) as (_, client):
            s = connect(client.addresses[0])
            s.sendall(b"\5\1\0\5\1\0\1\x7f\0\0\1" + target.port.to_bytes(2, "big") + b"early")
            equal(read_exactly(s, 2 + 10 + 5)[-5:], b"early", "what came back")
            s.close()


def test_socks_with_other_words():
    cases = ((b"\4\1\0\x50\x7f\0\0\1\0", b""), (b"GET / HTTP/1.1\r\n\r\n", b""), (b"\5\0", b"\5\xff"),
             (b"\5\1\1", b"\5\xff"), (b"\5\1\2" + b"\2", b"\5\2"),
             (b"\5\1\0\5\2\0\1\x7f\0\0\1\0\x50", b"\5\0\5\7\0\1" + bytes(6)),
             (b"\5\1\0\5\1\0\2\x7f\0\0\1\0\x50", b"\5\0\5\x08\0\1" + bytes(6)),
             (b"\5\1\0\5\1\0\3\0\0\x50", b"\5\0\5\4\0\1" + bytes(6)),
             (b"\5\1\0\5\1\0\3\1 \0\x50", b"\5\0\5\4\0\1" + bytes(6)))
    with tunnel(("--allow", "*:80"), ("-D", "0")) as (_, client):
        for asked, said in cases:
            s = connect(client.addresses[0])
            s.sendall(asked)
            equal(read_to_end_or_reset(s)[0], said, f"the reply to {asked}")
            s.close()


# --- a connection is a connection -------------------------------------------------------------


def test_either_direction_may_end_first():
    for near_first in (True, False):
        with joined() as (near, far):
            one, other = (near, far) if near_first else (far, near)
            one.sendall(b"last words")
            one.shutdown(socket.SHUT_WR)
            equal(read_to_end(other), b"last words", "what came")
            data = random_bytes(MIB)
            sender = Sender(other, data)
            equal(read_to_end(one), data, "what came the other way, behind that end")
            sender.finish()


def test_a_reset_at_one_end_is_a_reset_at_the_other():
    for near_first in (True, False):
        with joined() as (near, far):
            one, other = (near, far) if near_first else (far, near)
            for a, b in ((near, far), (far, near)):
                a.sendall(b"x")
                equal(read_exactly(b, 1), b"x", "what came")
            reset(one)
            check(is_reset(other), "it ended in order")


def fill(s):
    """Sends until nothing is taken for a while. Returns how much was."""
    s.setblocking(False)
    sent = 0
    try:
        while select.select([], [s], [], 0.5)[1]:
            try:
                sent += s.send(bytes(1 << 16))
            except BlockingIOError:
                pass
    finally:
        s.settimeout(harness.DEADLINE_S)
    return sent


def test_a_reset_is_told_though_nothing_is_taken():
    """Who resets a connection that is full is not kept until the other side reads."""
    for near_first in (True, False):
        with joined() as (near, far):
            one, other = (near, far) if near_first else (far, near)
            fill(one)
            reset(one)
            await_error(other)
            check(is_reset(other), "it ended in order")


def await_error(s):
    """Waits, without reading, until the connection is broken."""
    poll = select.poll()
    poll.register(s, 0)
    events = poll.poll(harness.DEADLINE_S * 1000)
    check(events and events[0][1] & select.POLLERR, "it was not told")


def test_a_target_that_refuses_resets_the_connection():
    with Listener() as closed:
        pass
    with tunnel(("--forward", closed.address), ("--listen", "0")) as (_, client):
        s = connect(client.addresses[0])
        check(is_reset(s), "it ended in order")
        s.close()
        client.wait_line("connection refused$")


def test_one_that_is_not_read_holds_up_nobody():
    with Listener() as target, EchoServer() as echo_server:
        with tunnel(("--forward", target.address, "--allow", echo_server.address),
                    ("--listen", "0", "-L", f"0:{echo_server.address}")) as (_, client):
            near = connect(client.addresses[0])
            far = target.accept()
            sent = fill(near), fill(far)
            check(min(sent) >= 4096, f"only {sent} bytes were taken")
            for _ in range(3):
                echoed(client.addresses[1], random_bytes(2 * MIB))
            for reader, writer, n in ((far, near, sent[0]), (near, far, sent[1])):
                equal(len(read_exactly(reader, n)), n, "what was held up")
            near.close()
            far.close()
    return f"{sent[0] >> 10} and {sent[1] >> 10} KiB waited"


# All that may wait for four readers: their streams' windows, what smux and the kernel hold.
MOST_FOR_FOUR = 128 * MIB


def test_slow_readers_cost_no_memory():
    with Listener() as target:
        with tunnel(("--forward", target.address), ("--listen", "0")) as (server, client):
            pairs = []
            for _ in range(4):
                near = connect(client.addresses[0])
                pairs.append((near, target.accept()))
            senders = [Sender(near, random_bytes(64 * MIB)) for near, _ in pairs]
            for _, far in pairs:  # at a snail's pace, so that windows grow as they may
                equal(len(read_exactly(far, 1 << 16)), 1 << 16, "what came")
            for _ in range(20):
                for _, far in pairs:
                    read_exactly(far, 1 << 14)
                time.sleep(0.02)  # a pace, nothing that is waited for
            most = max(rss_bytes(server.pid), rss_bytes(client.pid))
            check(most < MOST_FOR_FOUR, f"{most >> 20} MiB of memory in use")
            for near, far in pairs:
                near.close()
                far.close()
            for sender in senders:
                sender.join(harness.DEADLINE_S)
    return f"{most >> 20} MiB resident"


def settled_descriptors(program, most):
    """Waits until no more than so many are open."""
    end = time.monotonic() + harness.DEADLINE_S
    while descriptors(program) > most and time.monotonic() < end:
        time.sleep(0.01)
    return descriptors(program)


def steady_descriptors(program):
    """How many there are once that does not change for a while."""
    seen = []
    while len(seen) < 20 or len(set(seen[-20:])) > 1:
        seen.append(descriptors(program))
        time.sleep(0.01)
    return seen[-1]


def one_after_the_other(address, n, how):
    for i in range(n):
        s = connect(address)
        s.sendall(b"%d" % i)
        if how == "end":
            s.shutdown(socket.SHUT_WR)
            equal(read_to_end(s), b"%d" % i, "what came back")
            s.close()
        elif how == "close":
            s.close()
        else:
            reset(s)


def test_thousands_in_a_row_leave_nothing_behind():
    with EchoServer() as target:
        with tunnel(("--forward", target.address), ("--listen", "0")) as (server, client):
            address = client.addresses[0]
            programs = (server, client)
            echoed(address)
            idle = [steady_descriptors(p) for p in programs]
            for how in ("end", "close", "reset"):
                one_after_the_other(address, 100, how)
            before = [(settled_descriptors(p, n), rss_bytes(p.pid)) for p, n in zip(programs, idle)]
            for how, n in (("end", 1000), ("close", 500), ("reset", 500)):
                one_after_the_other(address, n, how)
            after = [(settled_descriptors(p, b[0]), rss_bytes(p.pid)) for p, b in zip(programs, before)]
            for (fds, _), most in zip(before + after, idle * 2):
                check(fds <= most + 1, f"{fds} descriptors, and {most} when idle")  # a carrier may come and go
            for (_, rss), (_, rss_after) in zip(before, after):
                check(rss_after < rss + 4 * MIB, f"{(rss_after - rss) >> 10} KiB more memory")
    return ", ".join(f"{(a[1] - b[1]) >> 10} KiB more" for a, b in zip(after, before))


def test_many_at_once():
    with EchoServer() as target:
        with tunnel(("--forward", target.address), ("--listen", "0")) as (_, client):
            sockets = [connect(client.addresses[0]) for _ in range(300)]
            for i, s in enumerate(sockets):
                s.sendall(b"%d" % i)
                s.shutdown(socket.SHUT_WR)
            for i, s in enumerate(sockets):
                equal(read_to_end(s), b"%d" % i, "what came back")
                s.close()


# --- -R -----------------------------------------------------------------------------------------


def remote_port(client):
    return int(client.wait_line(r"the server listens on port (\d+) for -R").group(1))


def test_the_server_listens_for_the_client():
    with EchoServer() as target:
        with tunnel(("--allow-remote", "*"), ("-R", f"0:{target.address}"), listeners=0) as (server, client):
            port = remote_port(client)
            echoed(f"127.0.0.1:{port}")
            echoed(f"127.0.0.1:{port}", random_bytes(4 * MIB))
            s = connect(f"127.0.0.1:{port}")
            reset(s)
            equal(client.stop(), 0, "exit status")
            server.wait_line("session .* ended")
            check(harness.is_refused(f"127.0.0.1:{port}"), "it listens for a client that has gone")


def test_where_the_server_may_listen_is_a_rule():
    with EchoServer() as target:
        port = free_port()
        cases = (((), f"{port}"), (("--allow-remote", f"{port}"), f"*:{port}"),
                 (("--allow-remote", f"{port}"), f"{port + 1}"), (("--allow-remote", "0.0.0.0:*"), f"{port}"))
        for rules, asked in cases:
            with tunnel(("--forward", target.address) + rules, ("-R", f"{asked}:{target.address}"), listeners=0) as (
                    _, client):
                client.wait_line("-R .*: the server does not allow it$")
                check(harness.is_refused(f"127.0.0.1:{port}"), "it listens")


def free_port():
    with Listener() as listener:
        return listener.port


def test_a_port_in_use_is_asked_for_again():
    with EchoServer() as target, Listener() as holder:
        rule = ("--allow-remote", str(holder.port))
        with tunnel(rule, ("-R", f"{holder.port}:{target.address}"), listeners=0) as (_, client):
            client.wait_line(r"the server cannot listen there \(is it in use\?\); asking again in 5 s")
            holder.close()
            equal(remote_port(client), holder.port, "the port")
            echoed(f"127.0.0.1:{holder.port}")


def test_what_a_remote_leads_to_may_refuse():
    with Listener() as closed:
        pass
    with tunnel(("--allow-remote", "*"), ("-R", f"0:{closed.address}"), listeners=0) as (_, client):
        s = connect(f"127.0.0.1:{remote_port(client)}")
        check(is_reset(s), "it ended in order")
        s.close()


# --- sessions that are lost ---------------------------------------------------------------------


def test_a_lost_session_resets_its_connections_and_is_made_anew():
    with EchoServer() as target:
        remote = ("-R", f"0:{target.address}")
        with TunnelServer("--forward", target.address, "--allow-remote", "*") as server:
            with TunnelClient(server, "--listen", "0", *remote) as client:
                first_port = remote_port(client)
                s = connect(client.addresses[0])
                s.sendall(b"x")
                equal(read_exactly(s, 1), b"x", "what came back")
                with Stdio(server, "--stdio") as stdio:
                    stdio.send(b"y")
                    equal(stdio.read(1), b"y", "what came back")
                    server.process.kill()
                    server.wait()
                    with TunnelServer("--forward", target.address, "--allow-remote", "*",
                                      listen="tcp://" + server.address):
                        equal((stdio.read(), stdio.wait()), (b"", 1), f"the end: {stdio.lines}")
                        equal(sum("session lost: " in line for line in stdio.lines), 1, str(stdio.lines))
                        check(is_reset(s), "it ended in order")
                        client.wait_line("session lost: .*; making a new one$")
                        echoed(client.addresses[0])
                        echoed(f"127.0.0.1:{remote_port(client)}")
                equal(client.stop(), 0, "exit status")
                equal(sum("session lost: " in line for line in client.lines), 1, str(client.lines))
    return f"-R was at {first_port}"


def test_a_client_waits_for_a_server_that_comes_later():
    port = free_port()
    with EchoServer() as target, TunnelClient(f"tcp://127.0.0.1:{port}", "--listen", "0") as client:
        s = connect(client.addresses[0])
        s.sendall(b"early")
        client.wait_line("Connection refused")
        with TunnelServer("--forward", target.address, listen=f"tcp://127.0.0.1:{port}"):
            equal(read_exactly(s, 5), b"early", "what came back")
            s.close()


def test_the_next_server_is_tried_when_one_is_not_there():
    port = free_port()
    with EchoServer() as target, TunnelServer("--forward", target.address) as server:
        with TunnelClient(f"tcp://127.0.0.1:{port}", "--connect", server.url, "--listen", "0") as client:
            client.wait_line(f"connected to {server.address}")
            echoed(client.addresses[0])


def test_a_session_goes_on_over_another_address_of_its_server():
    data = random_bytes(2 * MIB)
    with EchoServer() as target, TunnelServer("--forward", target.address) as server:
        one, two = Proxy(upstream=server.address), Proxy(upstream=server.address)
        with two, TunnelClient(f"tcp://{one.address}", "--connect", f"tcp://{two.address}", "--listen", "0") as client:
            with one:
                client.wait_line(f"connected to {one.address}")
                s = connect(client.addresses[0])
                s.sendall(data)
                equal(read_exactly(s, MIB), data[:MIB], "the first half")
            equal(read_exactly(s, MIB), data[MIB:], "the second half, over the other proxy")
            s.close()


def test_without_keys_it_is_said_loudly():
    with EchoServer() as target:
        with tunnel(("--forward", target.address), ("--listen", "0"), insecure=True) as (server, client):
            echoed(client.addresses[0], random_bytes(4 * MIB))
            for program in (server, client):
                check(program.lines[0].startswith("turbotunnel: WARNING: --insecure: nothing is encrypted"),
                      program.lines)


def test_who_does_not_answer_is_told_of():
    with Listener() as silent, TunnelClient("tcp://" + silent.address, "--listen", "0", insecure=True) as client:
        s = silent.accept()
        client.wait_line("no answer: wrong --server-key, a clock off by hours, or not a turbotunnel server")
        s.close()


# --- signals, options, messages -----------------------------------------------------------------


def test_a_server_that_ends_lets_its_streams_go_on():
    for number in (signal.SIGTERM, signal.SIGINT):
        with EchoServer() as target, TunnelServer("--forward", target.address, "--drain", "20") as server:
            with TunnelClient(server, "--listen", "0") as client:
                s = connect(client.addresses[0])
                s.sendall(b"before")
                equal(read_exactly(s, 6), b"before", "what came back")
                server.process.send_signal(number)
                server.wait_line("no new connections; streams may go on for 20 s")
                late = connect(client.addresses[0])
                check(is_reset(late), "a new stream was served")
                late.close()
                check(harness.is_refused(server.address), "it still listens")
                data = random_bytes(2 * MIB)
                sender = Sender(s, data)
                equal(read_to_end(s), data, "what came back meanwhile")
                sender.finish()
                s.close()
                equal(server.wait(), 0, "exit status")


def test_a_server_does_not_wait_for_ever():
    with EchoServer() as target:
        for again in (False, True):
            with tunnel(("--forward", target.address, "--drain", "1000" if again else "0.2"), ("--listen", "0")) as (
                    server, client):
                s = connect(client.addresses[0])
                s.sendall(b"x")
                equal(read_exactly(s, 1), b"x", "what came back")
                server.process.send_signal(signal.SIGTERM)
                server.wait_line("no new connections")
                if again:
                    server.process.send_signal(signal.SIGTERM)
                equal(server.wait(), 1 if again else 0, "exit status")
                s.close()


def test_a_server_without_streams_ends_at_once():
    with EchoServer() as target, tunnel(("--forward", target.address), ("--listen", "0")) as (server, client):
        echoed(client.addresses[0])
        equal(server.stop(), 0, "exit status")


def test_a_client_that_lingers_ends_at_once_when_told_again():
    with EchoServer() as target, tunnel(("--forward", target.address), ("--listen", "0")) as (server, client):
        s = connect(client.addresses[0])
        s.sendall(b"x")
        equal(read_exactly(s, 1), b"x", "what came back")
        server.pause()  # nothing is acknowledged any more
        client.process.send_signal(signal.SIGTERM)
        check(is_reset(s), "it ended in order")
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM):
            client.process.send_signal(number)
        equal(client.wait(), 1, "exit status")
        server.go_on()


def test_lists_are_read_again():
    with EchoServer() as one, EchoServer() as two, tempfile.NamedTemporaryFile("w") as config:
        def write(*lines):
            config.seek(0)
            config.truncate()
            config.write("\n".join(lines))
            config.flush()

        def replies():
            answers = []
            for target in (one, two):
                s, code = socks_connect(client.addresses[0], "127.0.0.1", target.port)
                answers.append(code)
                s.close()
            return answers

        write("# rules", f"allow {one.address}")
        with tunnel(("--config", config.name), ("-D", "0")) as (server, client):
            equal(replies(), [0, 2], "replies at first")
            write(f"  allow   {two.address}  ", "", "# that was it")
            server.process.send_signal(signal.SIGHUP)
            server.wait_line("lists read again: 1 rules of --allow")
            equal(replies(), [2, 0], "replies with new rules")
            write("allow nonsense")
            server.process.send_signal(signal.SIGHUP)
            server.wait_line(f"the lists stay as they were: {config.name}:1: option allow: ")
            equal(replies(), [2, 0], "replies with rules that make no sense")


def test_sessions_in_words():
    with EchoServer() as target, tunnel(("--forward", target.address), ("--listen", "0")) as (server, client):
        s = connect(client.addresses[0])
        s.sendall(b"x")
        equal(read_exactly(s, 1), b"x", "what came back")
        for program in (server, client):
            program.process.send_signal(signal.SIGUSR1)
            program.wait_line(r"session [0-9a-f]{16}: 1 carrier, 1 stream, round trip [0-9.]+ ms, sent \d+ B, "
                              r"received \d+ B, recoveries 0, longest gap [0-9.]+ s$")
        check(any("1 carriers now, 1 ever" in line for line in server.lines), str(server.lines))
        s.close()


def test_messages_as_json():
    with EchoServer() as target, tunnel(("--forward", target.address, "--json-log"), ("--listen", "0", "--json-log"),
                                        ) as (server, client):
        client.wait_line("connected to")
        for program in (server, client):
            for line in program.lines:
                message = json.loads(line)
                equal(sorted(message), ["event", "level", "message", "time"], line)
        equal({json.loads(line)["event"] for line in client.lines}, {"listening", "connected"}, "events")


def test_quiet_is_quiet():
    with EchoServer() as target, TunnelServer("--forward", target.address) as server:
        with Program(TUNNEL, "client", *client_keys(), "--quiet", "--connect", server.url, "--stdio",
                     stdout=subprocess.PIPE) as client:
            equal(client.wait(), 0, "exit status")
            equal(client.lines, [], "what it said")


def test_a_terminal_shows_a_line_that_lives():
    with EchoServer() as target, TunnelServer("--forward", target.address) as server:
        ours, theirs = pty.openpty()
        with subprocess.Popen([os.path.join(harness.build_dir, TUNNEL), "client", *client_keys(), "--connect",
                               server.url, "--listen", "0"], stdin=subprocess.DEVNULL, stderr=theirs) as client:
            os.close(theirs)
            seen = b""
            while not re.search(rb"\r\x1b\[Ksession [0-9a-f]{16}: 1 carrier, 0 streams, round trip", seen):
                check(select.select([ours], [], [], harness.DEADLINE_S)[0], f"only {seen}")
                seen += os.read(ours, 4096)
            client.terminate()
            equal(client.wait(), 0, "exit status")
        os.close(ours)


BAD = (
    [], ["nonsense"], ["--nonsense"], ["server"], ["client"], ["server", "--nonsense"], ["server", "extra"],
    ["client", "--forward", "h:1"], ["server", "--connect", "tcp://h:1"],
    ["server", "--listen", "tcp://127.0.0.1:0"], ["server", "--forward", "h:1"],
    ["server", "--listen"], ["server", "--listen", "h:1", "--forward", "h:1"],
    ["server", "--listen", "tls://h:1", "--forward", "h:1"], ["server", "--listen", "unix:", "--forward", "h:1"],
    ["server", "--listen", "tcp://h:1", "--forward", "h"], ["server", "--listen", "tcp://h:1", "--forward", "h:0"],
    ["server", "--listen", "tcp://h:1", "--allow", "h"], ["server", "--listen", "tcp://h:1", "--allow-remote", "h:1"],
    ["client", "--connect", "tcp://h:1"], ["client", "--stdio"], ["client", "--connect", "tcp://h:1", "--stdio=yes"],
    ["client", "--connect", "tcp://h:1", "--stdio", "--listen", "1"],
    ["client", "--connect", "tcp://h:1", "--stdio", "-W", "h:1"], ["client", "--connect", "tcp://h:1", "-L", "1:h"],
    ["client", "--connect", "tcp://h:1", "-L"], ["client", "--connect", "tcp://h:1", "-R", "name:1:h:2"],
    ["client", "--connect", "tcp://h:1", "-D", "70000"], ["client", "--connect", "tcp://h:1", "-W", "h"],
    ["client", "--connect", "tcp://h:1", "--listen", "x"],
    ["server", "--config", "/nowhere/at/all"], ["server", "--config", "/"],
    *(["server", "--listen", "tcp://h:1", "--forward", "h:1", "--insecure", "--check-config", *more]
      for more in (["--drain", "x"], ["--drain", "0"], ["--drain", "nan"], ["--drain", "1e9"], ["--max-sessions", "0"],
                   ["--max-sessions", "-1"], ["--max-sessions", "1K"], ["--max-buffer", "1T"], ["--max-buffer", ""])),
    ["server", "--listen", "tcp://127.0.0.1:0", "--forward", "h:1"],  # neither keys nor --insecure
    ["client", "--connect", "tcp://h:1", "--stdio"],
    ["client", "--connect", "tcp://h:1", "--stdio", "--server-key", "0" * 63],
    ["client", "--connect", "tcp://h:1", "--stdio", "--server-key", "0" * 64, "--insecure"],
    ["server", "--listen", "tcp://127.0.0.1:0", "--forward", "h:1", "--key", "/a", "--insecure"],
)  # fmt: skip


def test_bad_usage_is_said_in_one_line():
    for arguments in BAD:
        status, output, lines = run(TUNNEL, *arguments)
        equal((status, output, len(lines)), (2, "", 1), f"{arguments}: {lines}")
        check(lines[0].startswith("turbotunnel: "), lines[0])


def test_good_usage_is_checked():
    good = ["server", "--listen", "tcp://127.0.0.1:0", "--listen", "unix:/a", "--forward=h:1", "--insecure", "--allow",
            "*:80", "--max-buffer", "1M"]
    equal(run(TUNNEL, *good, "--check-config"), (0, "", []), "of the command line")
    with tempfile.NamedTemporaryFile("w") as config:
        config.write("listen tcp://127.0.0.1:0\nlisten unix:/a\nforward h:1\ninsecure\nallow *:80\ndrain 5\n")
        config.flush()
        equal(run(TUNNEL, "server", "--config", config.name, "--check-config"), (0, "", []), "of the file")
        for line, why in (("drain", "it needs a value"), ("insecure yes", "it takes no value"),
                          ("nonsense 5", "there is no such option"), ("drain x", "it is not a number of seconds"),
                          ("config /a", "one file does not name another"), ("connect tcp://h:1", "no such option")):
            with tempfile.NamedTemporaryFile("w") as bad:
                bad.write(f"# first\n{line}\n")
                bad.flush()
                status, _, lines = run(TUNNEL, "server", "--config", bad.name)
                equal(status, 2, f"exit status with {line}")
                check(f"{bad.name}:2: option {line.split()[0]}: " in lines[0] and why in lines[0], lines[0])


def test_key_files_are_checked():
    with tempfile.TemporaryDirectory() as folder:
        key, clients = os.path.join(folder, "key"), os.path.join(folder, "clients")
        arguments = ["server", "--listen", "tcp://127.0.0.1:0", "--forward", "h:1", "--check-config", "--key", key,
                     "--authorized-clients", clients]
        for content, mode, public, status in (("1" * 64, 0o600, "2" * 64, 0), ("1" * 64, 0o644, "2" * 64, 1),
                                              ("1" * 63, 0o600, "2" * 64, 1), ("1" * 64, 0o600, "2" * 63, 1)):
            for path, text in ((key, content), (clients, public)):
                with open(path, "w", encoding="ascii") as file:
                    file.write(text + "\n")
            os.chmod(key, mode)
            got, _, lines = run(TUNNEL, *arguments)
            equal((got, len(lines)), (status, int(status != 0)), f"{content} {mode:o} {public}: {lines}")
            check("1" * 63 not in "".join(lines), "it shows the key")
        os.remove(key)
        equal(run(TUNNEL, *arguments)[0], 1, "exit status without the file")


def test_the_command_line_wins_over_the_file():
    with EchoServer() as target, tempfile.NamedTemporaryFile("w") as config:
        config.write(f"listen tcp://127.0.0.1:0\nforward 127.0.0.1:1\nforward 127.0.0.1:2\n")
        config.flush()
        with Program(TUNNEL, "server", *server_keys(), "--config", config.name, "--forward", target.address) as server:
            url = server.wait_line(r"listening on (\S+)").group(1)
            with TunnelClient(url, "--listen", "0") as client:
                echoed(client.addresses[0])


def test_help_and_version():
    for arguments, words in ((["--help"], ("server", "client")), (["server", "--help"], ("--forward", "--allow")),
                             (["client", "-h"], ("--connect", "--socks"))):
        status, output, lines = run(TUNNEL, *arguments)
        equal((status, lines), (0, []), f"{arguments}")
        check("Usage: turbotunnel" in output and all(word in output for word in words), output)
        check(all(len(line) <= 110 for line in output.splitlines()), "a line is too long")
    status, output, lines = run(TUNNEL, "--version")
    equal((status, lines), (0, []), "--version")
    check(re.fullmatch(r"turbotunnel \d+\.\d+\.\d+\n", output), output)


# --- the same on a network that is against us -------------------------------------------------


def through_terminations(test):
    def run_it():
        with through("-w", 0.3):
            return test()

    return run_it


for tested in (test_a_listener_leads_to_the_fixed_target, test_local_forwards_lead_where_they_say,
               test_socks_by_address_and_by_name, test_socks_says_why_not, test_either_direction_may_end_first,
               test_a_reset_at_one_end_is_a_reset_at_the_other, test_a_reset_is_told_though_nothing_is_taken,
               test_a_target_that_refuses_resets_the_connection, test_one_that_is_not_read_holds_up_nobody,
               test_slow_readers_cost_no_memory, test_thousands_in_a_row_leave_nothing_behind,
               test_many_at_once, test_the_server_listens_for_the_client, test_lists_are_read_again):  # fmt: skip
    again = through_terminations(tested)
    again.__name__ = tested.__name__ + "_through_terminations"
    globals()[again.__name__] = again


# --- sockets in the file system ---------------------------------------------------------------


def connect_path(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(harness.DEADLINE_S)
    s.connect(path)
    return s


class PathEcho(EchoServer):
    """An EchoServer at a path."""

    def __init__(self, path):  # pylint: disable=super-init-not-called
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(64)
        self._accepted = []
        threading.Thread(target=self._accept_all, daemon=True).start()


def test_everything_may_be_a_path():
    with tempfile.TemporaryDirectory() as folder:
        target, carrier, local = (os.path.join(folder, name) for name in ("target", "carrier", "local"))
        with PathEcho(target), TunnelServer("--forward", "unix:" + target, listen="unix:" + carrier) as server:
            equal(server.url, "unix:" + carrier, "what it says")
            with TunnelClient(server, "--listen", "unix:" + local) as client:
                equal(client.addresses, ["unix:" + local], "what it says")
                data = random_bytes(4 * MIB)
                for _ in range(2):
                    s = connect_path(local)
                    sender = Sender(s, data)
                    equal(read_to_end(s), data, "what came back")
                    sender.finish()
                    s.close()
                equal((client.stop(), server.stop()), (0, 0), "exit status")
            check(not os.path.exists(local) and not os.path.exists(carrier), "a socket is left behind")


def test_a_path_is_taken_over_from_the_dead_alone():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "carrier")
        with TunnelServer("--allow", "*:80", listen="unix:" + path) as first:
            status, _, lines = run(TUNNEL, "server", *server_keys(), "--allow", "*:80", "--listen", "unix:" + path)
            equal(status, 1, "exit status of the second")
            check("Address already in use (another program listens there" in lines[-1], lines)
            first.process.kill()
            first.wait()
            check(os.path.exists(path), "the dead left nothing behind: nothing is tested")
            with TunnelServer("--allow", "*:80", listen="unix:" + path) as second:
                equal(second.stop(), 0, "exit status")
        with open(path, "w", encoding="ascii"):
            pass
        status, _, lines = run(TUNNEL, "server", *server_keys(), "--allow", "*:80", "--listen", "unix:" + path)
        equal(status, 1, "exit status where a file is")
        check(os.path.exists(path), "it has removed a file")


if __name__ == "__main__":
    harness.main(globals(), jobs=2)
