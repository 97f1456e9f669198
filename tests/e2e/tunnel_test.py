#!/usr/bin/env python3
"""The tool, `turbotunnel server` and `turbotunnel client`, with real sockets on both sides.

    tests/e2e/tunnel_test.py BUILD_DIR [WORD]...
"""

import os
import re
import select
import socket
import tempfile
import threading
import time

import harness
from echo import Proxy, random_bytes, rss_bytes
from harness import (Acceptor, EchoServer, Listener, Program, Sender, check, connect, equal, read_exactly, read_to_end,
                     read_to_end_or_reset, reset, run)
from tunnel import (TUNNEL, Stdio, TunnelClient, TunnelServer, descriptors, has_ipv6, is_reset, socks_connect, tunnel)

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
            with Program(TUNNEL, "client", "--insecure", "--connect", server.url, "--stdio", stdin=source,
                         stdout=sink) as client:
                equal(client.wait(), 0, f"exit status: {client.lines}")
            sink.seek(0)
            equal(sink.read(), data, "what came back")
        with open(os.devnull, "rb") as nothing:
            with Program(TUNNEL, "client", "--insecure", "--connect", server.url, "--stdio", stdin=nothing) as client:
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


if __name__ == "__main__":
    harness.main(globals(), jobs=2)
