"""The wire format by hand, for clients that do what no client should.

A carrier is 8 bytes of session ID and then packets, each behind a u16 length in network byte order. A
packet is KCP segments; what KCP delivers is smux frames. Both count in little-endian.
"""

import os
import select
import struct

from harness import connect, read_exactly

PUSH, ACK, WASK, WINS = 81, 82, 83, 84
SYN, FIN, PSH, NOP, UPD = range(5)
MSS = 1376


def packet(data):
    return struct.pack(">H", len(data)) + data


def segment(conv, cmd=PUSH, frg=0, wnd=128, ts=0, sn=0, una=0, data=b"", length=None):
    """length: what the header says, if not the truth."""
    return struct.pack("<IBBHIIII", conv, cmd, frg, wnd, ts, sn, una,
                       len(data) if length is None else length) + data


def frame(cmd, sid=3, data=b"", version=2, length=None):
    return struct.pack("<BBHI", version, cmd, len(data) if length is None else length, sid) + data


def upd(sid=3, consumed=0, window=1 << 20):
    return frame(UPD, sid, struct.pack("<II", consumed, window))


class RawClient:
    """One connection of one session; knows how to behave, but need not."""

    def __init__(self, address, session_id=None, conv=None):
        self.session_id = os.urandom(8) if session_id is None else session_id
        self.conv = struct.unpack("<I", os.urandom(4))[0] if conv is None else conv
        self.sn = 0
        self.una = 0
        self.socket = connect(address)
        self.socket.sendall(self.session_id)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send_packet(self, data):
        self.socket.sendall(packet(data))

    def send_segment(self, **fields):
        self.send_packet(segment(self.conv, **fields))

    def begin(self, data):
        """The first bytes of the smux connection, repeated until the server answers: as long as many
        sessions wait to be accepted it takes no new ones."""
        answer = select.poll()
        answer.register(self.socket, select.POLLIN)
        self.push(data)
        while not answer.poll(1000):
            self.sn = 0
            self.push(data)

    def push(self, data):
        """Bytes of the smux connection, in segments in order."""
        out = b""
        for at in range(0, max(len(data), 1), MSS):
            out += packet(segment(self.conv, sn=self.sn, una=self.una, wnd=4096, data=data[at:at + MSS]))
            self.sn += 1
        self.socket.sendall(out)

    def receive_packet(self):
        length = struct.unpack(">H", read_exactly(self.socket, 2))[0]
        return read_exactly(self.socket, length)

    def receive_until(self, end):
        """Bytes of the smux connection, acknowledged, until they end so."""
        got = b""
        while not got.endswith(end):
            data = self.receive_packet()
            while len(data) >= 24:
                conv, cmd, _, _, ts, sn, _, length = struct.unpack_from("<IBBHIIII", data)
                body, data = data[24:24 + length], data[24 + length:]
                if conv == self.conv and cmd == PUSH and sn == self.una:
                    got += body
                    self.una += 1
                    self.send_segment(cmd=ACK, sn=sn, ts=ts, una=self.una)
        return got
