"""The processes that are measured: started, asked, ended by their own ids, and never left behind.

Everything here runs on the main thread: the kernel ends a child with the thread that started it.
"""

import ctypes
import json
import os
import re
import select
import signal
import subprocess
import sys
import time

START_LIMIT_S = 20
STOP_LIMIT_S = 20

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)

running = []  # all that have not been waited for


class Failed(Exception):
    """A process did not do what it was started for."""


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A process. Its standard error goes into a file without a name, so that it can never block;
    its standard output too, if none is given.
    """

    def __init__(self, command, stdin=subprocess.DEVNULL, stdout=None):
        self.command = command
        self.name = os.path.basename(command[0])
        self.log = os.memfd_create("standard error")
        self.cpu_s = None
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=self.log if stdout is None else stdout, stderr=self.log,
            preexec_fn=die_with_parent, start_new_session=True)
        running.append(self)

    def said(self):
        """All of its standard error so far."""
        size = os.fstat(self.log).st_size
        return os.pread(self.log, size, 0).decode(errors="replace")

    def fail(self, what):
        last = self.said().strip().splitlines()[-1:]
        raise Failed(f"{' '.join(map(os.path.basename, self.command))}: {what}: {''.join(last)}")

    def wait_said(self, pattern, limit_s=START_LIMIT_S):
        """Waits for a line of standard error."""
        deadline = time.monotonic() + limit_s
        while True:
            found = re.search(pattern, self.said(), re.MULTILINE)
            if found:
                return found
            if self.ended() or time.monotonic() > deadline:
                self.fail(f"did not say {pattern!r}")
            time.sleep(0.002)

    def ended(self):
        """Whether it has ended; it can be waited for all the same."""
        return os.waitid(os.P_PID, self.process.pid,
                         os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def reap(self, limit_s):
        """Waits for its end, and notes its processor time."""
        deadline = time.monotonic() + limit_s
        with PidFile(self.process.pid) as pidfd:
            if not select.select([pidfd], [], [], max(0, deadline - time.monotonic()))[0]:
                self.fail(f"is not done after {limit_s:.0f} s")
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s = used.ru_utime + used.ru_stime
        self.forget()
        return self.process.returncode

    def forget(self):
        running.remove(self)
        os.close(self.log)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def kill(self):
        """Popen makes sure that its number is not another's by now."""
        self.process.kill()
        self.process.wait()
        self.forget()

    def cpu_so_far_s(self):
        """Of its threads that still run, in nanosecond steps: /proc/PID/stat has 10 ms."""
        total_ns = 0
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
                total_ns += int(file.read().split()[0])
        return total_ns / 1e9

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def wait_descriptors(self, count, limit_s):
        """Waits until it has no more than so many."""
        deadline = time.monotonic() + limit_s
        while self.descriptors() > count:
            if self.ended() or time.monotonic() > deadline:
                self.fail(f"did not close all but {count} descriptors")
            time.sleep(0.01)

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return 1024 * int(re.search(r"^VmRSS:\s+(\d+) kB", file.read(), re.MULTILINE)[1])


class PidFile:
    """A descriptor that becomes readable when the process ends."""

    def __init__(self, pid):
        self.fd = os.pidfd_open(pid)

    def __enter__(self):
        return self.fd

    def __exit__(self, *_):
        os.close(self.fd)


class Server(Child):
    """A program that says where it listens. Leaving the `with` block ends it in order."""

    def __init__(self, command):
        super().__init__(command)
        self.address = None
        self.asked = 0

    def __enter__(self):
        self.address = self.wait_said(r"^(?:\S+: )?listening on (\S+)$")[1]
        self.idle_cpu_s = self.cpu_so_far_s()
        return self

    def __exit__(self, kind, *_):
        if self not in running:
            return
        if kind:
            self.kill()
            return
        self.process.send_signal(signal.SIGTERM)
        self.reap(STOP_LIMIT_S)

    def state(self):
        """What it says of itself, having given unused memory back to the system."""
        self.asked += 1
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.wait_said(rf"^state {self.asked} (.*)$")[1])

    def used_cpu_s(self):
        """Since it was ready; after the `with` block."""
        return self.cpu_s - self.idle_cpu_s


def run(command, limit_s, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE):
    """Runs a program to its end. Returns it, with .output, .cpu_s and .seconds."""
    began = time.monotonic()
    child = Child(command, stdin, stdout)
    child.output = b""
    if stdout == subprocess.PIPE:
        child.output = read_all(child, began + limit_s)
    status = wait_status(child, began + limit_s)
    child.seconds = time.monotonic() - began
    if status != 0:
        raise Failed(f"{' '.join(map(os.path.basename, command))}: exit status {status}: "
                     f"{child.last_words}")
    return child


def wait_status(child, deadline):
    log = os.dup(child.log)  # reap() closes the child's own
    try:
        status = child.reap(max(1, deadline - time.monotonic()))
        child.last_words = os.pread(log, 500, 0).decode(errors="replace").strip()
        return status
    finally:
        os.close(log)


def read_all(child, deadline):
    output = b""
    pipe = child.process.stdout.fileno()
    while True:
        if not select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
            child.fail("is not done in time")
        piece = os.read(pipe, 65536)
        if not piece:
            return output
        output += piece


def run_json(command, limit_s):
    """Runs a program that prints one line of JSON."""
    return json.loads(run(command, limit_s).output)


def guarded(program, work):
    """Runs work() for a program's main(), whatever happens without leaving a process behind. Returns
    the exit status; what failed is said on standard error.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    try:
        work()
    except (Failed, subprocess.CalledProcessError) as failure:
        print(f"\n{program}: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted", file=sys.stderr)
        return 1
    finally:
        kill_all()
    return 0


def kill_all():
    for child in list(running):
        child.kill()
