#!/usr/bin/env python3
"""A server under attack: python3 tests/e2e/bad_input_test.py BUILD_DIR [WORD]...

Raw sockets say to the turbotunnel server what no client says. Beside each attack a good client echoes
all the time, and must get back every byte; afterwards a new one must be served, the server must not
have grown, and must end in order when it is asked to.
"""

import hashlib
import itertools
import os
import random
import resource
import socket
import struct

import harness
from echo import TURBO_CLIENT, TURBO_SERVER, EchoClient, TurboServer, echo, is_watched, memory_limit
from echo import random_bytes, rss_bytes
from harness import Failed, check, connect, equal, read_to_end, read_to_end_or_reset, reset
from wire import (ACK, FIN, MSS, NOP, PSH, PUSH, SYN, UPD, WASK, WINS, RawClient, frame, packet, segment,
                  upd)

MIB = 1 << 20
MOST_MEMORY = 50_000_000
CONNECTIONS = 3000
HANDSHAKE_S = 10  # the server's time limit for the first 8 bytes

U8 = (0, 1, 127, 128, 255)
U16 = (0, 1, 32767, 32768, 65535)
U32 = (0, 1, 31, 32, 127, 128, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff)


class Siege:
    """A server with a good client on it, through the whole of an attack; .address is the server's."""

    GOOD_DATA = 24 * MIB

    def __init__(self, limits=None):
        self.server = TurboServer(limits=limits)
        self.address = self.server.address
        self.exhausted = False  # it may complain, and turn new clients away
        self.good = EchoClient(TURBO_CLIENT, self.address, data=random_bytes(self.GOOD_DATA), bytes_per_s=MIB)

    def __enter__(self):
        self.good.wait_received(1)
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.check_all()
        finally:
            self.good.__exit__()
            self.server.__exit__()

    def check_all(self):
        memory = rss_bytes(self.server.pid)
        before = self.good.received
        self.good.wait_received(before + 1)
        self.good.stop_feeding()
        result = self.good.result()
        sent = random_bytes(self.GOOD_DATA)[:self.good.fed]
        equal((result.status, result.received, result.sha256),
              (0, len(sent), hashlib.sha256(sent).hexdigest()), f"the good client, {result.lines}")
        if not self.exhausted:
            echo(TURBO_CLIENT, self.address, data=b"afterwards").must_be_whole(b"afterwards")
        limit = memory_limit(TURBO_SERVER, MOST_MEMORY)
        check(memory < limit, f"the server's memory is {memory} bytes")
        equal(self.server.stop(), 0, f"exit status of the server: {self.server.lines}")
        if not self.exhausted:
            equal(len(self.server.lines), 1, f"lines on its standard error: {self.server.lines}")

    def say(self, data):
        """All of data on a connection, and then its end; waits until the server has read that."""
        with connect(self.address) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it may be closed to us at any time
            read_to_end_or_reset(s)


def test_the_raw_client_can_behave():
    """If it could not, all that follows would be dropped for some dull reason."""
    for version in (1, 2):
        with Siege() as siege, RawClient(siege.address) as client:
            client.push(frame(SYN, version=version) + frame(PSH, data=b"hello", version=version))
            client.receive_until(b"hello")
            client.push(frame(PSH, data=b"again" * 1000 + b"the end", version=version))
            check(client.receive_until(b"the end").count(b"again") == 1000, "echo of more")


def test_fewer_than_eight_bytes():
    with Siege() as siege:
        for n in range(8):
            for _ in range(20):
                siege.say(bytes(n))
                s = connect(siege.address)
                s.sendall(bytes(n))
                reset(s)
                connect(siege.address).close()


def test_a_session_id_alone():
    with Siege() as siege:
        for session_id in (bytes(8), b"\xff" * 8, b"12345678"):
            for _ in range(20):
                siege.say(session_id)


def test_the_good_clients_session_id_without_its_packets():
    """Anybody who knows the ID may connect, and gets what the session sends; when he has gone, all of
    it is sent again to whom it belongs."""
    with TurboServer() as server:
        with EchoClient(TURBO_CLIENT, "--verbose", server.address, data=random_bytes(4 * MIB),
                        bytes_per_s=4 * MIB) as good:
            session = bytes.fromhex(good.wait_line(r"session ([0-9a-f]{16}): connected").group(1))
            while good.fed < 4 * MIB:
                with connect(server.address) as s:
                    s.sendall(session + packet(b"") + packet(os.urandom(100)))
                good.wait_received(good.received + 1)
            good.result().must_be_whole(random_bytes(4 * MIB))


def test_garbage_after_the_session_id():
    dice = random.Random(5)
    with Siege() as siege:
        for size in [dice.randrange(1, 300) for _ in range(300)] + [1 << n for n in range(9, 24)]:
            siege.say(dice.randbytes(8 + size))


def test_packets_of_every_length():
    """65,536 lengths, 2 GB: once of zeroes, and once as what could begin a session, if it were whole."""
    zeroes = bytes(65535)
    with Siege() as siege:
        # Many on one connection, and a new one now and then.
        for start in range(0, 65536, 4096):
            with RawClient(siege.address) as client:
                for length in range(start, start + 4096):
                    client.socket.sendall(struct.pack(">H", length) + zeroes[:length])
                client.socket.shutdown(socket.SHUT_WR)
                read_to_end(client.socket)


def test_segments_of_every_length():
    """As before, but each is a PUSH that begins a session, and is as long as it says."""
    body = random_bytes(65535)
    with Siege() as siege:
        for start in range(0, 65512, 2048):
            with RawClient(siege.address) as client:
                for length in range(start, min(start + 2048, 65512), 7):
                    client.send_segment(sn=length % 40, data=body[:length])
                client.socket.shutdown(socket.SHUT_WR)
                read_to_end_or_reset(client.socket)


def test_lengths_that_are_cut_off():
    with Siege() as siege:
        for length in (1, 2, 23, 24, 25, 1399, 1400, 1401, 1500, 4095, 4096, 4097, 65535):
            for have in {0, 1, length // 2, length - 1}:
                siege.say(os.urandom(8) + struct.pack(">H", length) + bytes(have))
            siege.say(os.urandom(8) + struct.pack(">H", length)[:1])


def test_ten_thousand_empty_packets():
    with Siege() as siege:
        siege.say(os.urandom(8) + packet(b"") * 10_000)
        siege.say(os.urandom(8) + packet(b"") * 1_000_000)
        with RawClient(siege.address) as client:  # on a session that exists
            client.push(frame(SYN))
            client.socket.sendall(packet(b"") * 10_000)
            client.push(frame(PSH, data=b"still here"))
            client.receive_until(b"still here")


def test_packets_too_short_for_a_segment():
    with Siege() as siege, RawClient(siege.address) as client:
        client.push(frame(SYN))
        for length in range(24):
            for byte in range(0, 256, 5):
                # Up to 11 bytes are control packets: these are of types that are ignored.
                if length in (0, *range(12, 24)) or byte == 0 or 7 <= byte < 0x80:
                    client.send_packet(bytes([byte]) * length)
        client.push(frame(PSH, data=b"still here"))
        client.receive_until(b"still here")


def hostile_segments():
    """Headers of all extremes crossed, with the truth mixed in."""
    for cmd, frg, wnd, sn, una in itertools.product((0, 80, PUSH, ACK, WASK, WINS, 85, 255), U8, U16, U32, U32):
        yield {"cmd": cmd, "frg": frg, "wnd": wnd, "sn": sn, "una": una}


def test_segments_with_every_field_hostile():
    dice = random.Random(6)
    cases = list(hostile_segments())
    dice.shuffle(cases)
    with Siege() as siege:
        for start in range(0, len(cases), 100):
            with RawClient(siege.address) as client:
                # Half of them on a session that is there, the others may begin one.
                if start % 200:
                    client.begin(frame(SYN) + frame(PSH, data=b"x"))
                out = b""
                for fields in cases[start:start + 100]:
                    data = dice.randbytes(dice.choice((0, 1, 8, MSS)))
                    length = dice.choice((len(data), len(data), len(data) - 1, *U32)) % (1 << 32)
                    out += packet(segment(client.conv, ts=dice.choice(U32), data=data, length=length, **fields))
                try:
                    client.socket.sendall(out)
                    client.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                read_to_end_or_reset(client.socket)
    return f"{len(cases)} segments"


def test_segments_of_another_conversation():
    """They must neither reach nor replace the session that lives under the same ID."""
    with Siege() as siege, RawClient(siege.address) as client:
        client.push(frame(SYN))
        for sn in (1, 31, 32, 0xffffffff):
            for cmd in (PUSH, ACK, WASK, WINS):
                client.send_packet(segment(client.conv ^ 1, cmd=cmd, sn=sn, una=sn, data=b"x"))
        client.push(frame(PSH, data=b"still here"))
        client.receive_until(b"still here")


def hostile_frames():
    """(name, bytes of a smux connection), each for a session of its own."""
    for version, cmd in itertools.product((0, 1, 2, 3, 255), (*range(8), 127, 255)):
        for length in (0, 1, 7, 8, 9, 65535):
            yield frame(SYN) + frame(cmd, version=version, data=bytes(length))
    for sid in U32:
        for cmd in range(5):
            yield frame(SYN) + frame(cmd, sid=sid, data=bytes(8)) + frame(FIN, sid=sid) * 3
        yield frame(SYN, sid=sid) * 2
        yield frame(SYN, sid=sid) + frame(FIN, sid=sid) + frame(PSH, sid=sid, data=b"x" * 100)
        yield frame(SYN, sid=sid) + frame(FIN, sid=sid) + frame(SYN, sid=sid)
    for consumed, window in itertools.product(U32, U32):
        yield frame(SYN) + frame(PSH, data=b"x" * 3000) + upd(consumed=consumed, window=window) * 2
    for length in (0, 1, 1375, 1376, 65535):
        yield frame(SYN) + frame(PSH, data=b"y" * length) * 5
        yield frame(SYN) + frame(PSH, data=b"", length=length)
        yield frame(PSH, data=b"y" * length)
    yield b"".join(frame(SYN, sid=2 * i + 1) + frame(FIN, sid=2 * i + 1) for i in range(5000))
    yield b"".join(frame(SYN, sid=i, version=1 + i % 2) for i in range(100))
    yield frame(NOP) * 10_000
    yield frame(UPD) * 10
    yield bytes(100_000)
    yield b"\xff" * 100_000


def test_smux_frames_with_every_field_hostile():
    n = 0
    with Siege() as siege:
        for data in hostile_frames():
            n += 1
            with RawClient(siege.address) as client:
                try:
                    client.push(data)
                    client.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                read_to_end_or_reset(client.socket)
    return f"{n} sessions"


def test_more_streams_than_allowed():
    """4096 is the limit of a session; the session that breaks it ends, or the streams beyond do."""
    with Siege() as siege, RawClient(siege.address) as client:
        client.push(b"".join(frame(SYN, sid=2 * i + 3) for i in range(5000)))
        client.socket.shutdown(socket.SHUT_WR)
        read_to_end_or_reset(client.socket)


def test_more_streams_than_there_can_be_threads():
    """Who asks for too much is turned away; the server does not end for it."""
    if is_watched(TURBO_SERVER):  # a sanitizer needs all addresses there are: other threads run out
        limits, streams = None, 1000
    else:
        limits, streams = {resource.RLIMIT_AS: 600 * MIB}, 300
    with Siege(limits) as siege, RawClient(siege.address) as client:
        client.push(b"".join(frame(SYN, sid=2 * i + 3) for i in range(streams)))
        if limits:
            siege.server.wait_line(r"^server: start a thread: Resource temporarily unavailable")
            siege.exhausted = True
        client.socket.shutdown(socket.SHUT_WR)
        read_to_end_or_reset(client.socket)


def test_a_client_that_sends_and_never_reads():
    with Siege() as siege, RawClient(siege.address) as client:
        client.push(frame(SYN))
        try:
            client.socket.settimeout(0.5)
            for _ in range(1000):
                client.push(frame(PSH, data=b"z" * 60_000))
        except (TimeoutError, OSError):
            pass  # at last it takes no more, which is right


def test_a_connection_that_says_too_little_is_closed_in_time():
    with Siege() as siege:
        sockets = [connect(siege.address) for _ in range(8)]
        for n, s in enumerate(sockets):
            s.sendall(bytes(n))
        for s in sockets:
            equal(read_to_end(s), b"", "what a connection without an ID gets")
            s.close()


# --- three thousand ---------------------------------------------------------------------------


def attackers(address):
    """The ways to be one of 3,000 connections that stay; each returns what to hold on to."""
    dice = random.Random(8)

    def partial_id():
        s = connect(address)
        s.sendall(bytes(dice.randrange(1, 8)))
        return s

    def raw(act):
        client = RawClient(address)
        act(client)
        return client

    def out_of_order(client):
        client.begin(frame(NOP))
        client.socket.sendall(b"".join(packet(segment(client.conv, sn=sn, data=bytes(MSS)))
                                       for sn in range(2, 33)))

    return [
        lambda: connect(address),
        partial_id,
        lambda: RawClient(address),
        lambda: raw(lambda c: c.socket.sendall(dice.randbytes(5000))),
        lambda: raw(lambda c: c.socket.sendall(b"\xff\xff" + bytes(60_000))),
        lambda: raw(lambda c: c.socket.sendall(packet(b"") * 10_000)),
        lambda: raw(lambda c: c.socket.sendall(packet(bytes(dice.randrange(1, 65536))))),
        lambda: raw(lambda c: c.send_segment(cmd=dice.randrange(256), sn=dice.choice(U32), una=dice.choice(U32),
                                             length=dice.choice(U32), data=b"x")),
        lambda: raw(out_of_order),
        lambda: raw(lambda c: c.begin(frame(NOP))),
        lambda: raw(lambda c: c.begin(frame(SYN) + frame(PSH, data=b"x" * 2000))),
        lambda: raw(lambda c: c.begin(b"".join(frame(SYN, sid=2 * i + 1) for i in range(2)))),
        lambda: raw(lambda c: c.push(frame(dice.randrange(256), version=dice.randrange(4), data=b"y" * 500))),
    ]


def raise_descriptor_limit(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise Failed(f"{wanted} descriptors are needed and {hard} allowed: ulimit -n {wanted}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def close_all(held):
    for one in held:
        (one.socket if isinstance(one, RawClient) else one).close()


def test_three_thousand_at_once_cost_less_than_50_megabytes():
    raise_descriptor_limit(CONNECTIONS + 200)
    held = []
    try:
        with Siege() as siege:
            ways = attackers(siege.address)
            for i in range(CONNECTIONS):
                held.append(ways[i % len(ways)]())
            # All of them were read when one that came last is served.
            echo(TURBO_CLIENT, siege.address, data=b"served").must_be_whole(b"served")
            memory = rss_bytes(siege.server.pid)
            limit = memory_limit(TURBO_SERVER, MOST_MEMORY)
            check(memory < limit, f"{memory} bytes with {CONNECTIONS} connections")
            threads = len(os.listdir(f"/proc/{siege.server.pid}/task"))
    finally:
        close_all(held)
    return f"{memory / 1e6:.1f} MB, {threads} threads"


if __name__ == "__main__":
    harness.main(globals(), jobs=2)
