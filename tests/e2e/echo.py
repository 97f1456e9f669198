"""Echo clients as child processes: fed at a pace, their output hashed as it comes.

    with TurboServer() as server:
        result = echo(TURBO_CLIENT, server.address, data=data)
        result.must_be_whole(data)

A client's input comes from one thread and its output is taken by another, so that neither can hold up
the other. Nothing here says how fast anything is; LIMIT_S only ends what hangs.
"""

import hashlib
import os
import random
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field

import harness
from harness import Failed, Program, check, equal

PLAIN_CLIENT, PLAIN_SERVER = "examples/plain/client", "examples/plain/server"
TURBO_CLIENT, TURBO_SERVER = "examples/turbotunnel/client", "examples/turbotunnel/server"
LILBASTARD = "apps/lilbastard"

LIMIT_S = 1800 if harness.LONG else 60  # for one echo; never reached when all is well
PIECE = 1 << 16
MSS = 1376     # bytes of a segment of ours: packets of 1400 with a header of 24

random_bytes_of = {}


def random_bytes(n, seed=1):
    """The same bytes for the same arguments; kept, since making them takes longer than sending."""
    key = (n, seed)
    if key not in random_bytes_of:
        random_bytes_of[key] = random.Random(seed).randbytes(n)
    return random_bytes_of[key]


class Server(Program):
    """A program that says `listening on ADDRESS` first; .address is what it said."""

    def __init__(self, path, *args, listen="127.0.0.1:0", **how):
        super().__init__(path, *args, listen, **how)
        self.address = self.wait_line(r"").string
        match = re.fullmatch(r"listening on (\S+:[1-9][0-9]*)", self.address)
        check(match, f"the first line of {path} is {self.address!r}")
        self.address = match.group(1)


class TurboServer(Server):
    def __init__(self, *args, **how):
        super().__init__(TURBO_SERVER, *args, **how)


class PlainServer(Server):
    def __init__(self, *args, **how):
        super().__init__(PLAIN_SERVER, *args, **how)


class Proxy(Program):
    """lilbastard in front of an upstream; .address is where it listens."""

    def __init__(self, *options, upstream, listen="127.0.0.1:0"):
        super().__init__(LILBASTARD, *options, listen, upstream)
        self.address = self.wait_line(r"^listening on (\S+)$").group(1)

    def forwarded(self):
        """(terminations, bytes up, bytes down) of all connections that have ended. Stop it first."""
        terminations = up = down = 0
        for line in self.lines:
            match = re.search(r"after [0-9.]+ s, (\d+) bytes up, (\d+) bytes down", line)
            if match:
                terminations += " terminated (" in line
                up += int(match.group(1))
                down += int(match.group(2))
        return terminations, up, down


@dataclass
class Stats:
    """What the turbotunnel client counts (--verbose)."""

    connections: int
    silence_ms: int
    segments: int
    carrier: int  # segments sent again because a connection ended
    fast: int
    timeout: int
    duplicates: int

    @property
    def retransmissions(self):
        return self.carrier + self.fast + self.timeout


STATS_LINE = re.compile(
    r"connections used (\d+), longest silence (\d+) ms, segments sent (\d+), sent again (\d+) after a "
    r"connection ended, (\d+) fast, (\d+) by timeout; duplicates received (\d+)")


@dataclass
class Result:
    status: int
    received: int
    sha256: str
    lines: list
    seconds: float
    most_outstanding: int = 0  # bytes fed that had not come back: more cannot have been in flight
    stats: Stats = field(default=None)

    def must_be_whole(self, data):
        equal(self.status, 0, f"exit status; it said {self.lines}")
        equal((self.received, self.sha256), (len(data), hashlib.sha256(data).hexdigest()),
              "what came back")


def find_stats(lines):
    for line in lines:
        match = STATS_LINE.search(line)
        if match:
            return Stats(*map(int, match.groups()))
    return None


class EchoClient(Program):
    """A client that is being fed. Ask for .result() once; until then it can be watched and harmed.

    data: what it gets, its input ending behind it, or staying open when keep_open is true.
    bytes_per_s: how fast it is fed at most; None: as fast as it takes it.
    hold_output: nothing is read from its output before release().
    """

    def __init__(self, path, *args, data, bytes_per_s=None, keep_open=False, hold_output=False, **how):
        super().__init__(path, *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **how)
        self._data, self._rate, self._keep_open = data, bytes_per_s, keep_open
        self.fed = self.received = self.most_outstanding = 0
        self._hash = hashlib.sha256()
        self._began = time.monotonic()
        self._changed = threading.Condition()
        self._released = threading.Event()
        self._enough = threading.Event()
        if not hold_output:
            self._released.set()
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._taker = threading.Thread(target=self._take, daemon=True)
        self._feeder.start()
        self._taker.start()

    def _pieces(self):
        size = PIECE if self._rate is None else max(1, min(PIECE, self._rate // 100))
        for at in range(0, len(self._data), size):
            yield self._data[at:at + size]

    def _feed(self):
        try:
            for piece in self._pieces():
                if self._rate is not None:
                    ahead_s = self.fed / self._rate - (time.monotonic() - self._began)
                    if ahead_s > 0:
                        time.sleep(ahead_s)
                if self._enough.is_set():
                    break
                with self._changed:
                    self.fed += len(piece)
                    self.most_outstanding = max(self.most_outstanding, self.fed - self.received)
                    self._changed.notify_all()
                self.process.stdin.write(piece)
                self.process.stdin.flush()
            if not self._keep_open:
                self.process.stdin.close()
        except (OSError, ValueError):
            pass  # it has ended; its exit status tells

    def _take(self):
        self._released.wait()
        while True:
            try:
                piece = os.read(self.process.stdout.fileno(), PIECE)
            except (OSError, ValueError):
                piece = b""
            with self._changed:
                self.received += len(piece)
                self._hash.update(piece)
                if not piece:
                    self._changed.notify_all()
                    return
                self._changed.notify_all()

    def release(self):
        self._released.set()

    def stop_feeding(self):
        """Its input ends where it is; .fed says where, once there is a result."""
        self._enough.set()

    def end_input(self):
        """For keep_open, when all has been fed."""
        self._feeder.join(LIMIT_S)
        self.process.stdin.close()

    def wait_until(self, condition, what):
        """Waits until condition(self), about .fed and .received, holds."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), LIMIT_S):
                raise Failed(f"{what} did not come about: {self.fed} bytes fed, {self.received} came "
                             f"back; it said {self.lines}")

    def is_fed_within(self, seconds):
        """Whether it takes something within that time."""
        with self._changed:
            fed = self.fed
            return self._changed.wait_for(lambda: self.fed != fed, seconds)

    def wait_received(self, n):
        self.wait_until(lambda c: c.received >= n, f"{n} bytes coming back")

    def result(self):
        """Waits for its end."""
        self._taker.join(LIMIT_S)
        if self._taker.is_alive():
            self.process.kill()
            raise Failed(f"it hangs: {self.fed} of {len(self._data)} bytes fed, {self.received} came "
                         f"back; it said {self.lines}")
        status = self.wait()
        return Result(status, self.received, self._hash.hexdigest(), self.lines,
                      time.monotonic() - self._began, self.most_outstanding, find_stats(self.lines))


def echo(path, *args, data, **how):
    """Runs an echo client to its end."""
    with EchoClient(path, *args, data=data, **how) as client:
        return client.result()


def one_line(lines, program="client"):
    """The one line that a failing program has to say, without its name."""
    equal(len(lines), 1, f"lines on standard error: {lines}")
    check(lines[0].startswith(program + ": "), lines[0])
    return lines[0][len(program) + 2:]


def rss_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.MULTILINE).group(1)) << 10


def is_watched(path):
    """Whether a sanitizer is built into the program."""
    with open(built(path), "rb") as binary:
        return re.search(rb"__[at]san_init", binary.read()) is not None


def memory_limit(path, limit_bytes):
    """The limit; for a program with a sanitizer a much higher one, since that keeps its own books."""
    return limit_bytes * 20 if is_watched(path) else limit_bytes


def built(path):
    return os.path.join(harness.build_dir, path)
