"""What the end-to-end tests share: programs under test, sockets to talk to them, a small runner.

Python 3 standard library only. A test is a function that raises on failure. Nothing here sleeps to
let something happen: a test waits for a line, for bytes, for the end of a stream or for a process,
and DEADLINE_S only bounds how long a broken program can hold it up.

    import harness
    from harness import Program, Listener, check, equal

    def test_it_says_hello():
        with Program("apps/hello", "world") as hello:
            hello.wait_line(r"hello, world")
            equal(hello.wait(), 0, "exit status")

    if __name__ == "__main__":
        harness.main(globals())         # every test_* in the order of the file
"""

import concurrent.futures
import fcntl
import os
import queue
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import traceback

LONG = os.environ.get("TT_LONG", "0") not in ("", "0")  # scripts/check long: as much as one likes

DEADLINE_S = 30       # for one step of a test; never reached when all is well
TEST_DEADLINE_S = 3600 if LONG else 240  # for one test

build_dir = "build"   # main() sets it


class Failed(AssertionError):
    """A test found something wrong."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def equal(got, expected, what):
    if got != expected:
        raise Failed(f"{what}: got {shorten(got)}, expected {shorten(expected)}")


def shorten(value):
    """A value as a failure message shows it: the start of it, and how long it is."""
    text = repr(value)
    if len(text) <= 200:
        return text
    return f"{text[:200]}... ({len(value) if hasattr(value, '__len__') else len(text)} long)"


# --- programs ---------------------------------------------------------------------------------


class Program:
    """A program from the build directory, with its standard error taken apart into lines.

    limits: {resource.RLIMIT_...: value}, soft and hard, for the program alone.
    stdin, stdout: as for subprocess.Popen; given a pipe, .process.stdin and .stdout are it.
    Leaving the `with` block kills it if it still runs.
    """

    def __init__(self, path, *args, limits=None, stdin=subprocess.DEVNULL,
                 stdout=subprocess.DEVNULL, env=None):
        def set_limits():
            for what, value in (limits or {}).items():
                resource.setrlimit(what, (value, value))

        self.name = os.path.basename(path)
        self.lines = []  # all of them so far
        self._queue = queue.Queue()
        self._seen = 0   # lines that wait_line() has looked at
        self.process = subprocess.Popen(
            [os.path.join(build_dir, path), *map(str, args)], stdin=stdin, stdout=stdout,
            stderr=subprocess.PIPE, env=env, preexec_fn=set_limits if limits else None)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.process.stderr as pipe:
            for line in pipe:
                self._queue.put(line.decode(errors="replace").rstrip("\n"))
        self._queue.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                if pipe:
                    pipe.close()
            except BrokenPipeError:
                pass  # what nobody has read

    @property
    def pid(self):
        return self.process.pid

    def _take_line(self, deadline):
        """Moves one line into self.lines. False at the end of standard error."""
        try:
            line = self._queue.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise Failed(f"{self.name} printed no such line; it printed {self.lines}") from None
        if line is None:
            self._queue.put(None)  # whoever asks again gets the same answer
            return False
        self.lines.append(line)
        return True

    def wait_line(self, pattern):
        """Waits for a line that the regular expression is found in. Returns the match.

        Each call looks at the lines after the one that the call before found.
        """
        deadline = time.monotonic() + DEADLINE_S
        while True:
            while self._seen < len(self.lines):
                self._seen += 1
                match = re.search(pattern, self.lines[self._seen - 1])
                if match:
                    return match
            if not self._take_line(deadline):
                raise Failed(f"{self.name} ended without a line {pattern!r}: {self.lines}")

    def has_line(self, pattern):
        """Whether a line that the regular expression is found in has come by now."""
        while not self._queue.empty() and self._take_line(time.monotonic()):
            pass
        return any(re.search(pattern, line) for line in self.lines)

    def wait(self):
        """Waits for its end. Returns the exit status; self.lines is complete then."""
        try:
            status = self.process.wait(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end; it printed {self.lines}") from None
        deadline = time.monotonic() + DEADLINE_S
        while self._take_line(deadline):
            pass
        return status

    def stop(self, number=signal.SIGTERM):
        """Asks it to end, and returns the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def pause(self):
        """Stops it (SIGSTOP), so that several things can happen to it at once."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def is_busy(self):
        """Whether it uses the processor although nothing happens.

        It runs beside us while we use half a second of processor time ourselves, however long that
        takes. A program that spins gets about as much as we do, also on a loaded machine.
        """
        before_s = self._cpu_s()
        end_s = time.process_time() + 0.5
        while time.process_time() < end_s:
            pass
        return self._cpu_s() - before_s > 0.1

    def is_asleep(self):
        """Whether its main thread waits for something, neither running nor about to."""
        return self._stat()[0] == "S"

    def _cpu_s(self):
        fields = self._stat()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _stat(self):
        """The fields of /proc/PID/stat from the state on."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()


def run(path, *args):
    """Runs a program to its end: (exit status, standard output, lines of standard error)."""
    with Program(path, *args, stdout=subprocess.PIPE) as program:
        output = program.process.stdout.read().decode()
        return program.wait(), output, program.lines


# --- sockets ----------------------------------------------------------------------------------


class Listener:
    """A listening socket on a port of the kernel's choice: the other side of what is tested."""

    def __init__(self, host="127.0.0.1", receive_buffer=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.bind((host, 0))
        self.socket.listen(512)
        self.socket.settimeout(DEADLINE_S)
        self.host, self.port = host, self.socket.getsockname()[1]
        self._accepted = []

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def accept(self):
        s, _ = self.socket.accept()
        s.settimeout(DEADLINE_S)
        self._accepted.append(s)
        return s

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        for s in self._accepted:
            s.close()


class Acceptor(Listener):
    """A listening socket that accepts until it is closed; serve(connection) has a thread for each."""

    def __init__(self, host="127.0.0.1"):
        super().__init__(host)
        self.socket.settimeout(None)
        threading.Thread(target=self._accept_all, daemon=True).start()

    def _accept_all(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        raise NotImplementedError

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes the accept
        super().close()


class EchoServer(Acceptor):
    """Sends back what it gets, on any number of connections, each half closed in its turn."""

    def serve(self, s):
        with s:
            try:
                while True:
                    data = s.recv(1 << 16)
                    if not data:
                        break
                    s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass


def connect(address):
    """Connects to "HOST:PORT" or "[HOST]:PORT"."""
    host, port = address.rsplit(":", 1)
    host = host.strip("[]")
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(DEADLINE_S)
    try:
        s.connect((host, int(port)))
    except OSError:
        s.close()
        raise
    return s


def read_exactly(s, n):
    data = bytearray()
    while len(data) < n:
        piece = s.recv(min(n - len(data), 1 << 20))
        if not piece:
            raise Failed(f"the stream ended after {len(data)} of {n} bytes")
        data += piece
    return bytes(data)


def read_to_end(s):
    """Reads until the stream ends in order. A reset raises ConnectionResetError."""
    data = bytearray()
    while True:
        piece = s.recv(1 << 20)
        if not piece:
            return bytes(data)
        data += piece


def read_to_end_or_reset(s):
    """Reads until the stream ends: (bytes, whether it ended by a reset)."""
    data = bytearray()
    while True:
        try:
            piece = s.recv(1 << 20)
        except ConnectionResetError:
            return bytes(data), True
        if not piece:
            return bytes(data), False
        data += piece


def unacknowledged_bytes(s):
    """What the other side's kernel has not acknowledged yet; an end counts as one byte."""
    return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]


def unread_bytes(reader, writer):
    """What has come over an IPv4 connection, into the kernel, and was not read yet; an end counts as
    one byte. The ends are given by their addresses, as of getsockname().
    """
    def kernel_name(address):
        return f"{struct.unpack('=I', socket.inet_aton(address[0]))[0]:08X}:{address[1]:04X}"

    ends = [kernel_name(reader), kernel_name(writer)]
    while True:  # a list that changes while it is read may lack a connection
        with open("/proc/net/tcp", encoding="ascii") as connections:
            for fields in map(str.split, connections):
                if fields[1:3] == ends:
                    return int(fields[4].split(":")[1], 16)


def is_open_and_quiet(s):
    """Whether a read would wait now: no bytes are there, and neither end nor reset."""
    poll = select.poll()
    poll.register(s, select.POLLIN | select.POLLRDHUP)
    return poll.poll(0) == []


def reset(s):
    """Closes a socket with a reset."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Sender(threading.Thread):
    """Sends bytes from a thread of its own. join() it; .error is what stopped it, or None."""

    def __init__(self, s, data, then_end=True):
        super().__init__(daemon=True)
        self._socket, self._data, self._then_end = s, data, then_end
        self.error = None
        self.start()

    def run(self):
        try:
            self._socket.sendall(self._data)
            if self._then_end:
                self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = error

    def finish(self):
        """Waits until all is sent; fails if it could not be."""
        self.join(DEADLINE_S)
        check(not self.is_alive(), "the sender is stuck")
        check(self.error is None, f"sending failed: {self.error}")


def is_refused(address):
    """Whether nobody listens there."""
    try:
        connect(address).close()
    except ConnectionRefusedError:
        return True
    return False


# --- the runner -------------------------------------------------------------------------------


def _timed_out(_number, _frame):
    raise Failed(f"not done after {TEST_DEADLINE_S} s")


def _run_one(test, alarmed=True):
    """Returns (what went wrong or None, the test's note or None)."""
    if alarmed:
        signal.alarm(TEST_DEADLINE_S)
    try:
        return None, test()
    except Failed as failure:
        return str(failure), None
    except Exception:  # pylint: disable=broad-except
        return traceback.format_exc(), None
    finally:
        if alarmed:
            signal.alarm(0)


def _report(test, problem, note):
    sentence = test.__name__.removeprefix("test_").replace("_", " ")
    if problem is None:
        print(f"ok      {sentence}" + (f": {note}" if note else ""), flush=True)
    else:
        print(f"FAILED  {sentence}", flush=True)
        print("        " + problem.rstrip().replace("\n", "\n        "), flush=True)


def _run_all(tests, jobs):
    """Runs them, and returns how many failed. Only one at a time has TEST_DEADLINE_S over it: in
    threads the deadlines of the single steps must do."""
    failed = 0
    if jobs == 1:
        for test in tests:
            problem, note = _run_one(test)
            _report(test, problem, note)
            failed += problem is not None
        return failed
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = [(test, pool.submit(_run_one, test, False)) for test in tests]
        for test, future in running:
            problem, note = future.result()
            _report(test, problem, note)
            failed += problem is not None
    return failed


def main(names, argv=None, jobs=1, prepare=None, last=None):
    """Runs every test_* of a module's globals(): BUILD_DIR [WORD]..., with only those tests whose
    name has one of the words in it. Exits with status 1 if one failed, or if there was none to run.
    A test may return a note, which is shown. jobs: how many run at a time. prepare() comes first.
    last: one more test, about what all the others found; it is left out when some of them are.
    """
    global build_dir
    argv = sys.argv if argv is None else argv
    if len(argv) < 2 or not os.path.isdir(argv[1]):
        sys.exit(f"usage: {argv[0]} BUILD_DIR [WORD]...   (BUILD_DIR is where meson built)")
    build_dir = argv[1]
    signal.signal(signal.SIGALRM, _timed_out)
    tests = [test for name, test in names.items() if name.startswith("test_")
             and (len(argv) == 2 or any(word in name for word in argv[2:]))]
    if prepare:
        prepare()
    failed = _run_all(tests, jobs)
    if last and len(argv) == 2:
        tests.append(last)
        failed += _run_all([last], 1)
    print(f"{len(tests) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not tests else 0)
