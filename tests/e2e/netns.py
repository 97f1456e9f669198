"""Two network namespaces, a client's and a server's, with a bad link (badlink) between them.

    with BadLink("--delay", 20) as link:
        with link.server.inside():
            listener = Listener(link.server.ipv4)     # sockets and programs that are made inside
        with link.client.inside():
            s = connect(listener.address)             # stay there
        link.set("loss up 10", "rate 2M")
        link.change_address()
        print(link.stats()["up"]["lost"]["packets"])

Needs root, Linux with TUN devices, and ip; what is missing is said, and the test fails. Nothing is
left behind: not after a failure, nor an interruption; what a run that was killed outright has left,
the next one removes.
"""

import contextlib
import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys

from harness import Failed, Program, check, equal

BADLINK = "tests/e2e/badlink"
DEVICE = "badlink"  # what it calls its device in either namespace
FOLDER = "/run/netns"
NODE, NODE_NUMBER = "/dev/net/tun", os.makedev(10, 200)

IPV4, IPV6 = "10.77.0.", "fd77::"  # then the number of an address: 1 the client's, 2 the server's
CLIENT, SERVER = 1, 2

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

links = itertools.count(1)

# Who ends us in order wants the namespaces removed.
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))


def ip(*words, lines=()):
    """Runs ip, with lines for its -batch - perhaps."""
    done = subprocess.run(["ip", *words], input="\n".join(lines) + "\n", check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Failed(f"ip {' '.join(words)}: {done.stdout.strip()}")


def require():
    """Raises Failed if something is missing that no test here can do without."""
    check(os.geteuid() == 0, "network namespaces need root: run this test as root")
    check(shutil.which("ip"), "ip is not installed (Debian's iproute2): run scripts/bootstrap")
    if not os.path.exists(NODE):  # as in a small container
        os.makedirs(os.path.dirname(NODE), exist_ok=True)
        os.mknod(NODE, 0o666 | stat.S_IFCHR, NODE_NUMBER)


def remove_leftovers():
    """Removes the namespaces of runs that were killed: the name tells the process."""
    for name in os.listdir(FOLDER) if os.path.isdir(FOLDER) else ():
        match = re.fullmatch(r"badlink-(\d+)-\d+-(?:client|server)", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            with contextlib.suppress(Failed):  # another test may remove it at the same time
                ip("netns", "del", name)


@contextlib.contextmanager
def opened(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def enter(fd):
    """Moves this thread into a namespace."""
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "enter a network namespace")


class Namespace:
    """One end of the link, as a machine of its own; .ipv4 and .ipv6 are its addresses."""

    def __init__(self, name):
        self.name = name
        self.ipv4 = self.ipv6 = None
        ip("netns", "add", name)

    @contextlib.contextmanager
    def inside(self):
        """In the block this thread is in the namespace, and so is for its whole life what it makes:
        sockets, programs, threads."""
        with opened("/proc/thread-self/ns/net") as outside:
            with opened(os.path.join(FOLDER, self.name)) as here:
                enter(here)
            try:
                yield self
            finally:
                enter(outside)

    def set_up(self, number):
        """The device badlink gets its addresses, and routes to all others."""
        self.add_address(number)
        ip("-n", self.name, "-batch", "-", lines=[
            "link set lo up",
            f"link set {DEVICE} up",
            f"route add {IPV4}0/24 dev {DEVICE}",
            f"route add {IPV6}/64 dev {DEVICE}",
        ])

    def add_address(self, number):
        # Prefixes of their full length: no address goes because another one does.
        self.ipv4, self.ipv6 = f"{IPV4}{number}", f"{IPV6}{number:x}"
        self._address("add", self.ipv4, self.ipv6)

    def remove_address(self, ipv4, ipv6):
        self._address("del", ipv4, ipv6)

    def _address(self, action, ipv4, ipv6):
        no_probe = " nodad" if action == "add" else ""
        ip("-n", self.name, "-batch", "-", lines=[
            f"addr {action} {ipv4}/32 dev {DEVICE}",
            f"addr {action} {ipv6}/128 dev {DEVICE}{no_probe}",
        ])


class BadLink:
    """.client and .server are the namespaces; options are badlink's."""

    def __init__(self, *options):
        require()
        remove_leftovers()
        self._addresses = itertools.count(SERVER + 1)  # for change_address()
        self._open = contextlib.ExitStack()
        name = f"badlink-{os.getpid()}-{next(links)}"
        try:
            self.client = self._make(f"{name}-client")
            self.server = self._make(f"{name}-server")
            self.program = self._open.enter_context(
                Program(BADLINK, *options, self.client.name, self.server.name,
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            equal(self.answer(), "ready", "the first line of badlink")
            self.client.set_up(CLIENT)
            self.server.set_up(SERVER)
        except BaseException:
            self._open.close()
            raise

    def _make(self, name):
        self._open.callback(self._remove, name)  # first: an interruption may come any time
        return Namespace(name)

    @staticmethod
    def _remove(name):
        if os.path.exists(os.path.join(FOLDER, name)):
            ip("netns", "del", name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    def answer(self):
        """Waits for the next line of badlink."""
        line = self.program.process.stdout.readline().decode()
        if not line:
            raise Failed(f"badlink ended: {self.program.wait()}, {self.program.lines}")
        return line.rstrip("\n")

    def ask(self, line):
        """Sends badlink a line, and returns its answer. What was sent over the link before is treated
        as before; without delay and rate it has arrived by now."""
        self.program.process.stdin.write(line.encode() + b"\n")
        self.program.process.stdin.flush()
        return self.answer()

    def set(self, *lines):
        """Changes the link: `badlink --help` has what there is to say."""
        for line in lines:
            equal(self.ask(line), "ok", line)

    def stats(self):
        """The counters of tests/e2e/badlink/counters.h: ["up"]["lost"]["packets"], for example."""
        return json.loads(self.ask("stats"))

    def change_address(self):
        """The client gets new addresses, and its old ones are gone with all that they were in use
        for: as when a machine joins another network. Nobody is told, on neither side."""
        old = self.client.ipv4, self.client.ipv6
        self.client.add_address(next(self._addresses))
        self.client.remove_address(*old)
