#!/usr/bin/env python3
"""turbotunnel check: what it says of a server, and of what stands on the way there.

    tests/e2e/tunnel_check_test.py BUILD_DIR [WORD]...
"""

import re
import signal
import struct
import subprocess
import tempfile

import harness
from echo import Proxy
from harness import Listener, Program, check, equal, run
from tunnel import TUNNEL, TunnelServer, client_keys, keys
from wire import ACK, FIN, PSH, PUSH, SYN, RawClient, frame

FEW = ("--bytes", "256K", "--seconds", "3")


def look(url, *options, **how):
    """(exit status, {what: what was said})"""
    status, output, lines = run(TUNNEL, "check", *client_keys(**how), "--connect", url, *options)
    equal(lines, [], "what it said on standard error")
    return status, {line[:14].strip(): line[14:] for line in output.splitlines()}


def server():
    return TunnelServer("--forward", "127.0.0.1:1", "-v")


def through(*proxy, options=FEW):
    with server() as far, Proxy(*proxy, upstream=far.address) as way:
        return look("tcp://" + way.address, *options)


def test_all_is_well():
    with server() as far:
        status, said = look(far.url, *FEW)
        equal(status, 0, f"exit status: {said}")
        equal(sorted(said), ["age", "bytes down", "bytes up", "clock", "connections", "not measured", "reachable",
                             "round trip", "server key"], "what was said")
        check(said["reachable"].startswith(f"yes: {far.address}, after "), said["reachable"])
        equal(said["server key"], "right", "the key")
        check(re.fullmatch(r"the server's is 0\.\d s (ahead of|behind) ours", said["clock"]), said["clock"])
        check(re.fullmatch(r"[0-9.]+ ms", said["round trip"]), said["round trip"])
        equal(said["connections"], "none of 1 ended or fell silent", "connections")
        for way in ("bytes up", "bytes down"):
            most = re.fullmatch(r"no limit found: one connection came to ([0-9.]+) kB", said[way])
            check(most and float(most[1]) > 262, said[way])
        check(said["not measured"].startswith("more than 262144 bytes, more than 3 s, idle"), said["not measured"])
        far.wait_line("probe of 262144 bytes up, 64 down$")
        far.wait_line("probe of 64 bytes up, 262144 down$")


def test_without_keys():
    with TunnelServer("--forward", "127.0.0.1:1", insecure=True) as far:
        status, output, lines = run(TUNNEL, "check", "--insecure", "--connect", far.url, *FEW)
        equal((status, len(lines)), (0, 1), f"exit status: {output} {lines}")
        check("server key" not in output, output)


def test_nobody_is_there():
    with Listener() as closed:
        pass
    status, said = look("tcp://" + closed.address)
    equal((status, said), (1, {"reachable": f"NO: {closed.address}: {said['reachable'].split(': ', 2)[2]}"}), "what it said")
    check("refused" in said["reachable"], said)


def test_a_wrong_key_is_said():
    """Takes 10 s: what a server that says nothing must be given."""
    with server() as far:
        status, said = look(far.url, server_key=keys.client.public)
        equal((status, sorted(said)), (1, ["clock", "reachable", "server key"]), f"what it said: {said}")
        check(said["server key"].startswith("NO ANSWER: wrong --server-key"), said)
        check(re.match(r"here it is \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", said["clock"]), said)


def test_the_clients_key_is_looked_at():
    with tempfile.NamedTemporaryFile("w") as clients:
        clients.write(keys.client.public)
        clients.flush()
        with TunnelServer("--forward", "127.0.0.1:1", "--authorized-clients", clients.name) as far:
            status, said = look(far.url, *FEW, "--key", keys.client.path)
            equal((status, said["client key"]), (0, "accepted"), f"{said}")
            status, said = look(far.url, *FEW, "--key", keys.server.path)
            check(status == 1 and "a --key that is not listed there" in said["server key"], said)


def limit_of(text, unit):
    found = re.fullmatch(rf"LIMIT: those that end come to ([0-9.e+]+) {unit} at most; "
                         rf"sessions keep below ([0-9.e+]+) {unit}", text)
    check(found, f"no limit: {text}")
    return float(found[1]), float(found[2])


def test_a_limit_of_bytes_is_found():
    for how in ("rst", "freeze"):
        status, said = through("--after-bytes", 20000, "--how", how)
        equal(status, 0, f"exit status: {said}")
        for way in ("bytes up", "bytes down"):
            # What is learned is tried at twice as much after a while: it may be above what any came to.
            most, learned = limit_of(said[way], "kB")
            check(5 < learned <= 20 and 5 < most <= 20, f"{how}, {way}: {said[way]}")
        check(not said["age"].startswith("LIMIT"), f"{how}: {said}")


def test_a_limit_of_age_is_found():
    status, said = through("-w", 3, options=("--bytes", "256K", "--seconds", "12"))
    equal(status, 0, f"exit status: {said}")
    most, learned = limit_of(said["age"], "s")
    check(1 < learned <= 5 and 2 < most < 5, said["age"])


def test_connections_that_are_too_short_for_a_limit_are_told_of():
    status, said = through("-w", 0.5)
    equal(status, 0, f"exit status: {said}")
    check(re.fullmatch(r"[1-9]\d* of [1-9]\d* ended or fell silent, though nobody here meant it, when 0\.\d+ to 0\.\d+ "
                       r"s old", said["connections"]), said["connections"])


def probe(up, down):
    return struct.pack(">BBII", 5, 8, up, down)


def test_a_probe_is_bounded():
    """By hand, to a legacy peer, to whom a reset is an end: an answer comes only when it is taken."""
    most = 1 << 24
    with TunnelServer("--forward", "127.0.0.1:1", insecure=True) as far:
        for first, answered in ((probe(0, 5), True), (probe(most + 1, 0), False), (probe(0, most + 1), False),
                                (probe(0xffffffff, 0xffffffff), False), (probe(most, most), True)):
            with RawClient(far.address) as client:
                client.push(frame(SYN) + frame(PSH, data=first))
                got = client.receive_until(b"\0\0\0\0\0") if first == probe(0, 5) else next_frame(client)
                check((PSH in commands(got)) == answered, f"{first}: {got}")
        with RawClient(far.address) as client:  # two at once
            client.push(frame(SYN) + frame(PSH, data=probe(1, 0)))
            check(PSH in commands(next_frame(client)), "the first was not answered")
            client.push(frame(SYN, sid=5) + frame(PSH, sid=5, data=probe(1, 0)))
            got = next_frame(client)
            check(PSH not in commands(got), f"the second was answered: {got}")
            equal(far.stop(), 0, "exit status")


def commands(got):
    """Of the smux frames in these bytes."""
    found = set()
    while len(got) >= 8:
        found.add(got[1])
        got = got[8 + struct.unpack_from("<H", got, 2)[0]:]
    return found


def next_frame(client):
    """Bytes of the smux connection, as they come next: a PSH or a FIN, and what is before it."""
    got = b""
    while not commands(got) & {PSH, FIN}:
        data = client.receive_packet()
        while len(data) >= 24:
            conv, cmd, _, _, ts, sn, _, length = struct.unpack_from("<IBBHIIII", data)
            body, data = data[24:24 + length], data[24 + length:]
            if cmd == PUSH and sn == client.una:
                got += body
                client.una += 1
                client.send_segment(cmd=ACK, sn=sn, ts=ts, una=client.una)
    return got


def test_it_ends_when_told():
    with server() as far:
        with Program(TUNNEL, "check", *client_keys(), "--connect", far.url, stdout=subprocess.PIPE) as program:
            program.process.stdout.readline()
            equal(program.stop(signal.SIGINT), 1, "exit status")


def test_bad_usage():
    for arguments in ([], ["--connect", "tcp://h:1"], ["--server-key", "0" * 64],
                      ["--connect", "tcp://h:1", "--insecure", "--connect", "tcp://h:2"],
                      ["--connect", "tcp://h:1", "--insecure", "--bytes", "17M"],
                      ["--connect", "tcp://h:1", "--insecure", "--seconds", "3601"],
                      ["--connect", "tcp://h:1", "--insecure", "--listen", "1"]):
        status, output, lines = run(TUNNEL, "check", *arguments)
        equal((status, output, len(lines)), (2, "", 1), f"{arguments}: {lines}")


if __name__ == "__main__":
    harness.main(globals(), jobs=2)
