"""The tool as child processes: a server, a client, and what connects to them.

    with EchoServer() as target, TunnelServer("--forward", target.address) as server:
        with TunnelClient(server, "--listen", "127.0.0.1:0") as client:
            s = connect(client.addresses[0])

Sessions are sealed, with keys that are made once for the run; insecure=True is without.
"""

import atexit
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

import harness
from echo import Proxy
from harness import Failed, Listener, Program, check, connect, equal, read_exactly, read_to_end, run

TUNNEL = "apps/turbotunnel"

# glibc fills what it gives out: what is used without being set is found here, not in the field.
os.environ.setdefault("MALLOC_PERTURB_", "165")
LISTENING = r'listening on (?:tcp://)?([^\s"]+)'


class Key:
    """A private key in a file, and its public one."""

    def __init__(self, path):
        self.path = path
        status, output, lines = run(TUNNEL, "keygen", path)
        equal((status, lines), (0, []), "keygen")
        self.public = output.strip()


class Keys:
    """Of the servers, and of clients, in this run: made when they are first asked for."""

    def __init__(self):
        self._lock = threading.Lock()
        self._made = {}

    def _get(self, name):
        with self._lock:
            if not self._made:
                self._folder = tempfile.mkdtemp()
                atexit.register(shutil.rmtree, self._folder)
            if name not in self._made:
                self._made[name] = Key(os.path.join(self._folder, name))
            return self._made[name]

    @property
    def server(self):
        return self._get("server")

    @property
    def client(self):
        return self._get("client")


keys = Keys()


# Who is not root must be let in to count descriptors.
OPEN = () if os.geteuid() == 0 else ("--allow-core-dumps",)


def server_keys(insecure=False, key=None):
    """Options of a server."""
    return OPEN + (("--insecure",) if insecure else ("--key", (key or keys.server).path))


def client_keys(insecure=False, server_key=None):
    """Options of its client."""
    return OPEN + (("--insecure",) if insecure else ("--server-key", server_key or keys.server.public))


class TunnelServer(Program):
    """.url is where it listens first."""

    def __init__(self, *args, listen="tcp://127.0.0.1:0", insecure=False, key=None, **how):
        super().__init__(TUNNEL, "server", *server_keys(insecure, key), "--listen", listen, *args, **how)
        self.url = self.wait_line(r'listening on ([^\s"]+)').group(1)

    @property
    def address(self):
        return self.url.removeprefix("tcp://")


class TunnelClient(Program):
    """.addresses are where it listens, in the order of its options."""

    def __init__(self, server, *args, listeners=None, insecure=False, server_key=None, **how):
        url = server if isinstance(server, str) else server.url
        super().__init__(TUNNEL, "client", *client_keys(insecure, server_key), "--connect", url, *args, **how)
        if listeners is None:
            listeners = sum(arg in ("--listen", "-L", "-D", "--socks") for arg in args)
        self.addresses = [self.wait_line(LISTENING).group(1) for _ in range(listeners)]


class Stdio(Program):
    """A client on pipes: .send, .end, .read."""

    def __init__(self, server, *args):
        url = server if isinstance(server, str) else server.url
        super().__init__(TUNNEL, "client", *client_keys(), "--connect", url, *args,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()

    def read(self, n=-1):
        return self.process.stdout.read(n)


# What stands between client and server in this thread: nothing, or a proxy that ends connections.
way = threading.local()


@contextlib.contextmanager
def through(*options):
    """Tunnels made in here by this thread go through lilbastard."""
    way.options = options
    try:
        yield
    finally:
        way.options = None


@contextlib.contextmanager
def tunnel(server_args, client_args, insecure=False, **how):
    """A server and its client."""
    options = getattr(way, "options", None)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(TunnelServer(*server_args, insecure=insecure))
        url = server.url
        if options:
            url = "tcp://" + stack.enter_context(Proxy(*options, upstream=server.address)).address
        yield server, stack.enter_context(TunnelClient(url, *client_args, insecure=insecure, **how))


@contextlib.contextmanager
def joined(receive_buffer=None):
    """The two ends of one connection through a tunnel: (the program's, the target's)."""
    with Listener(receive_buffer=receive_buffer) as target:
        with tunnel(("--forward", target.address), ("--listen", "0")) as (_, client):
            near = connect(client.addresses[0])
            far = target.accept()
            yield near, far
            near.close()
            far.close()


# --- SOCKS5 -----------------------------------------------------------------------------------


def socks_address(host, port):
    for family, kind in ((socket.AF_INET, 1), (socket.AF_INET6, 4)):
        try:
            return bytes([kind]) + socket.inet_pton(family, host) + struct.pack("!H", port)
        except OSError:
            continue
    name = host.encode()
    return bytes([3, len(name)]) + name + struct.pack("!H", port)


def socks_connect(address, host, port, user=None):
    """Returns (the socket, the reply's code)."""
    s = connect(address)
    if user is None:
        s.sendall(b"\5\1\0")
        equal(read_exactly(s, 2), b"\5\0", "the method")
    else:
        s.sendall(b"\5\1\2")
        equal(read_exactly(s, 2), b"\5\2", "the method")
        s.sendall(bytes([1, len(user)]) + user + b"\6secret")
        equal(read_exactly(s, 2), b"\1\0", "what is said to a user name")
    s.sendall(b"\5\1\0" + socks_address(host, port))
    reply = read_exactly(s, 10)
    equal((reply[0], reply[2:4]), (5, b"\0\1"), "the form of the reply")
    return s, reply[1]


def descriptors(program):
    return len(os.listdir(f"/proc/{program.pid}/fd"))


def is_reset(s):
    """Waits for the end: whether it was a reset."""
    try:
        while s.recv(1 << 16):
            pass
        return False
    except ConnectionResetError:
        return True


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False



# --- metrics ----------------------------------------------------------------------------------


def ask(address, request):
    """All that is answered."""
    with connect(address) as s:
        s.sendall(request)
        s.shutdown(socket.SHUT_WR)
        return read_to_end(s)


class Metrics:
    """What a program with --metrics 0 counts: .page() as text, and by name and labels:

    metrics["sessions"], metrics['streams_total{result="connected"}']
    """

    def __init__(self, program):
        self.address = program.wait_line(r"metrics at http://(\S+)/metrics").group(1)

    def page(self):
        head, page = ask(self.address, b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n").split(b"\r\n\r\n", 1)
        equal(head.split(b"\r\n")[0], b"HTTP/1.1 200 OK", "the status")
        return page.decode()

    def __getitem__(self, name):
        for line in self.page().splitlines():
            if line.startswith(f"turbotunnel_{name} "):
                return float(line.rsplit(" ", 1)[1])
        raise Failed(f"no metric {name}")

    def wait_for(self, name, least):
        """Waits until it is so much."""
        end = time.monotonic() + harness.DEADLINE_S
        while self[name] < least:
            check(time.monotonic() < end, f"{name} stays at {self[name]}, expected {least}")
            time.sleep(0.01)
        return self[name]
