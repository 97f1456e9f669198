#!/usr/bin/env python3
"""--metrics: what is counted, that it moves when something happens, and who may ask for it.

    tests/e2e/tunnel_metrics_test.py BUILD_DIR [WORD]...
"""

import contextlib
import re
import shutil
import socket
import subprocess

import harness
from echo import Proxy, random_bytes
from harness import EchoServer, Listener, Sender, check, connect, equal, read_to_end, read_to_end_or_reset, run
from tunnel import TUNNEL, Metrics, TunnelClient, TunnelServer, ask, is_reset, server_keys, tunnel

MIB = 1 << 20
BOTH = ("--metrics", "0")


def echoed(address, data=b"hello"):
    s = connect(address)
    sender = Sender(s, data)
    equal(read_to_end(s), data, "what came back")
    sender.finish()
    s.close()


def is_refused(address):
    """Whether a connection there is reset."""
    try:
        return is_reset(connect(address))
    except ConnectionResetError:  # sooner than the connection was looked at
        return True


@contextlib.contextmanager
def watched(server_args=(), client_args=()):
    """(server, client, metrics of the one, of the other, the echo server)"""
    with EchoServer() as target:
        with tunnel(("--forward", target.address, *BOTH, *server_args), ("--listen", "0", *BOTH, *client_args)) as (server, client):
            yield server, client, Metrics(server), Metrics(client), target


def test_prometheus_finds_nothing_wrong():
    check(shutil.which("promtool"), "promtool is missing (package prometheus)")
    with watched() as (_, client, of_server, of_client, _):
        echoed(client.addresses[0])
        for metrics in (of_server, of_client):
            page = metrics.page()
            done = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
            equal((done.returncode, done.stdout), (0, ""), "what promtool says")
            names = re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)
            equal(len(names), len(set(names)), "names, each once")
            check(len(names) > 20, f"only {len(names)}")


def test_streams_and_bytes_are_counted():
    with Listener() as closed:
        pass
    with watched(("--allow", closed.address), ("-L", f"0:{closed.address}", "-L", "0:127.0.0.1:1")) as (
            _, client, of_server, of_client, _):
        before = of_server["bytes_total{direction=\"received\"}"]
        for _ in range(3):
            echoed(client.addresses[0], random_bytes(MIB))
        for address in client.addresses[1:]:
            check(is_refused(address), "it was not refused")
        for metrics in (of_server, of_client):
            equal(metrics['streams_total{result="connected"}'], 3, "connected")
            equal(metrics['streams_total{result="refused"}'], 1, "refused")
            equal(metrics['streams_total{result="not_allowed"}'], 1, "not allowed")
            equal(metrics["sessions"], 1, "sessions")
            equal(metrics["sessions_begun_total"], 1, "sessions begun")
            equal(metrics["carriers"], 1, "carriers")
            for way in ("sent", "received"):
                check(metrics[f'bytes_total{{direction="{way}"}}'] - before > 3 * MIB, way)
            check(metrics["resident_memory_bytes"] > MIB, "memory")
            equal(metrics["metrics_connections_refused_total"], 0, "turned away")
            check(metrics["loop_lateness_seconds_count"] >= 0, "lateness")
        s = connect(client.addresses[0])
        of_server.wait_for("streams", 1)
        of_client.wait_for("streams", 1)
        s.close()


def test_lost_connections_are_counted():
    with EchoServer() as target, TunnelServer("--forward", target.address, *BOTH) as server:
        with Proxy("-w", "0.2", upstream=server.address) as proxy:
            with TunnelClient("tcp://" + proxy.address, "--listen", "0", *BOTH) as client:
                of_server, of_client = Metrics(server), Metrics(client)
                while of_client["redials_total"] < 3 or of_server['retransmissions_total{cause="carrier_died"}'] + \
                        of_client['retransmissions_total{cause="carrier_died"}'] == 0:
                    echoed(client.addresses[0], random_bytes(8 * MIB))
                check(of_server["carriers_opened_total"] >= 4, "carriers at the server")
                check(of_server['carriers_ended_total{fate="by_peer"}'] >= 3, "carriers that ended")
                check(of_client["carriers_died_total"] >= 3, "carriers that died")
                check(of_client["redial_seconds_count"] >= 3, "redials that took a time")
                check(of_client["redial_seconds_sum"] > 0, "that time")
                equal(client.stop(), 0, "exit status")
                of_server.wait_for('sessions_ended_total{reason="closed"}', 1)
                equal(of_server["session_longest_gap_seconds_count"], 1, "sessions that are over")
                check(of_server['bytes_total{direction="sent"}'] > 8 * MIB, "bytes of a session that is over")
                equal(of_server["sessions"], 0, "sessions")


def test_failed_dials_are_counted():
    with Listener() as closed:
        pass
    with TunnelClient("tcp://" + closed.address, "--listen", "0", *BOTH) as client:
        metrics = Metrics(client)
        metrics.wait_for("dials_failed_total", 2)
        equal((metrics["sessions"], metrics["carriers"]), (0, 0), "sessions and carriers")


def test_strangers_are_counted():
    with TunnelServer("--forward", "127.0.0.1:1", *BOTH) as server:
        metrics = Metrics(server)
        with connect(server.address) as s:
            equal(metrics.wait_for("carriers_unproven", 1), 1, "unproven")
            s.sendall(b"12345678" + b"\0\1\1" + b"\0\2\0\0")
            metrics.wait_for("carriers_muted_total", 1)
        with connect(server.address) as s:
            s.sendall(b"87654321" + b"\0\x90\1" + bytes(143))
            metrics.wait_for('handshakes_total{result="not_opened"}', 1)


# --- HTTP -------------------------------------------------------------------------------------


def status(answer):
    return answer.split(b"\r\n")[0]


def test_what_is_not_asked_for_rightly_is_refused():
    with TunnelServer("--forward", "127.0.0.1:1", *BOTH) as server:
        address = Metrics(server).address
        check(address.startswith("127.0.0.1:"), f"it listens on {address}, for all")
        for request, expected in ((b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
                                  (b"POST /metrics HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" + bytes(70000),
                                   b"405 Method Not Allowed"),
                                  (b"\0\r\n\r\n", b"400 Bad Request"),
                                  (b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 10000, b"431 Request Header Fields Too Large")):
            answer = ask(address, request)
            equal(status(answer), b"HTTP/1.1 " + expected, f"to {request[:30]}")
            check((b"\r\nAllow: GET\r\n" in answer) == expected.startswith(b"405"), answer)
            check(b"\r\nConnection: close\r\n" in answer, answer)
        equal(ask(address, b"GET /metrics HT"), b"", "what is said to half a request")


def test_who_says_nothing_is_ended():
    """Takes 5 s: the time that one has."""
    with TunnelServer("--forward", "127.0.0.1:1", *BOTH) as server:
        address = Metrics(server).address
        sockets = [connect(address) for _ in range(16)]
        sockets[0].sendall(b"GET /metrics HTTP/1.1\r\n")
        for _ in range(3):  # one more is one too many
            equal(read_to_end_or_reset(connect(address))[0], b"", "what the seventeenth is told")
        for s in sockets:
            equal(read_to_end_or_reset(s)[0], b"", "what who says nothing is told")
        answer = ask(address, b"GET /metrics HTTP/1.1\r\n\r\n")
        equal(status(answer), b"HTTP/1.1 200 OK", "to who comes later")
        check(b"\nturbotunnel_metrics_connections_refused_total 3\n" in answer, "they were not counted")
        check(not server.is_busy(), "it is busy with nothing")


def test_a_reader_who_does_not_read_holds_up_nobody():
    with TunnelServer("--forward", "127.0.0.1:1", *BOTH) as server:
        metrics = Metrics(server)
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        host, port = metrics.address.split(":")
        s.connect((host, int(port)))
        s.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        for _ in range(20):
            metrics.page()
        s.close()
        equal(server.stop(), 0, "exit status")


def test_where_nobody_may_listen_is_an_error():
    with Listener() as taken:
        status_, _, lines = run(TUNNEL, "server", *server_keys(), "--listen", "tcp://127.0.0.1:0", "--forward", "h:1",
                                "--metrics", taken.address)
        equal(status_, 1, f"exit status: {lines}")
        check("metrics: listen on" in lines[-1] and "Address already in use" in lines[-1], lines)


if __name__ == "__main__":
    harness.main(globals(), jobs=2)
