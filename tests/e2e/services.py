"""Real servers, from Debian's packages, on loopback: OpenSSH, nginx, PostgreSQL, Redis, git daemon.

    with Services() as services:
        services.ssh.port, services.http.port, ...

Each is started here, in the foreground, with a configuration, keys and data of its own in one
temporary folder; nothing of the system's services is used or changed. Needs root, for PostgreSQL must
not run as root and so has to become someone else.
"""

import contextlib
import glob
import http.server
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import harness
from harness import Failed, check

MB = 1_000_000

# What must be there, and the Debian package that has it.
PROGRAMS = {"ssh": "openssh-client", "scp": "openssh-client", "sftp": "openssh-client", "ssh-keygen": "openssh-client",
            "sshd": "openssh-server", "curl": "curl", "nginx": "nginx", "redis-server": "redis-server",
            "redis-benchmark": "redis-tools", "git": "git"}  # fmt: skip
POSTGRESQL = "/usr/lib/postgresql/*/bin"

EVENT_EVERY_S = 0.1
EVENT_BYTES = 1500  # more than 64 KiB in five seconds


def environment(folder):
    """For all programs: nothing of whoever runs the tests, but the path."""
    return {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "HOME": folder, "LC_ALL": "C", "TZ": "UTC",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}  # fmt: skip


def must_be_there():
    """Says all that is missing at once."""
    path = environment("/")["PATH"]
    missing = {package for name, package in PROGRAMS.items() if not shutil.which(name, path=path)}
    if not glob.glob(POSTGRESQL + "/initdb"):
        missing.add("postgresql")
    check(not missing, f"not installed: {' '.join(sorted(missing))}: run scripts/bootstrap")
    check(os.geteuid() == 0, "these tests need root: PostgreSQL is run as the user postgres")


def postgresql(name):
    """The newest that is installed."""
    found = glob.glob(f"{POSTGRESQL}/{name}")
    return max(found, key=lambda path: int(path.split("/")[4]))


class Port:
    """A free port, held until a server listens there.

    Both it and the server set SO_REUSEADDR, so that the server may bind what is bound here already,
    and the kernel gives it to nobody who does not ask for it by number.
    """

    def __init__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.number = self.socket.getsockname()[1]


class Service:
    """A server in the foreground. .port, .address are where it listens."""

    def __init__(self, name, folder, command, stop=signal.SIGTERM, **how):
        """command(port) gives the words; it is there when it can be connected to."""
        port = Port()
        self.name, self.port = name, port.number
        self.address = f"127.0.0.1:{self.port}"
        self.log = os.path.join(folder, name + ".log")
        self._stop = stop
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command(self.port), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd="/", env=environment(folder), **how)
        self._wait_until_it_listens()
        port.socket.close()

    def _wait_until_it_listens(self):
        """No server tells us: it is asked, until it answers or has ended."""
        deadline = time.monotonic() + harness.DEADLINE_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                pass
            try:
                self.process.wait(0.05)
                break
            except subprocess.TimeoutExpired:
                pass
        self.end()
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise Failed(f"{self.name} does not listen: {log.read()[-2000:]}")

    def end(self):
        self.process.send_signal(self._stop)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def run(command, folder, **how):
    """What prepares something, and must go well."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=environment(folder), timeout=120, check=False, **how)
    check(done.returncode == 0, f"{' '.join(command)}: {done.stdout.decode(errors='replace')[-2000:]}")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def random_file(path, n, seed):
    with open(path, "wb") as file:
        file.write(random.Random(seed).randbytes(n))
    return path


# --- each of them -----------------------------------------------------------------------------


class Ssh(Service):
    """.options lead a client here, wherever the connection goes."""

    def __init__(self, folder):
        key, host_key = os.path.join(folder, "id"), os.path.join(folder, "host_key")
        for name in (key, host_key):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name], folder)
        with open(host_key + ".pub", encoding="ascii") as file:
            known = write(os.path.join(folder, "known_hosts"), "target " + file.read())
        config = write(os.path.join(folder, "sshd_config"), "\n".join((
            f"HostKey {host_key}", f"AuthorizedKeysFile {key}.pub", "PidFile none", "StrictModes no", "UsePAM no",
            "PasswordAuthentication no", "PermitRootLogin prohibit-password", "MaxStartups 100", "UseDNS no",
            "PrintLastLog no", "PrintMotd no", "Subsystem sftp internal-sftp", "")))  # fmt: skip
        self.options = ["-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                        "-o", f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=none",
                        "-o", "HostKeyAlias=target", "-o", "StrictHostKeyChecking=yes"]  # fmt: skip
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd insists; else its service makes that
        super().__init__("sshd", folder, lambda port: [
            shutil.which("sshd", path=environment("/")["PATH"]), "-D", "-e", "-f", config,
            "-o", "ListenAddress=127.0.0.1", "-o", f"Port={port}"])  # fmt: skip


class Http(Service):
    """nginx: what is in .files is at /; what is PUT to /up/ comes into .uploads."""

    SMALL_FILES = 200
    SMALL_BYTES = 100_000
    SLOW_S = 4  # /slow/ has the same as /small/, and takes more than 3 s for each

    def __init__(self, folder):
        self.files = os.path.join(folder, "www")
        self.uploads = os.path.join(self.files, "up")
        os.makedirs(self.uploads)
        os.makedirs(os.path.join(self.files, "small"))
        for i in range(self.SMALL_FILES):
            random_file(self.small(i), self.SMALL_BYTES, i)
        own = os.path.join(folder, "nginx")
        os.mkdir(own)
        paths = "".join(f"{name}_temp_path {own}/{name};" for name in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))

        def command(port):
            write(os.path.join(own, "conf"), f"""
                daemon off; pid {own}/pid; user root; worker_processes 1; error_log stderr;
                events {{ worker_connections 1000; }}
                http {{
                    access_log off; {paths}
                    server {{
                        listen 127.0.0.1:{port}; root {self.files}; client_max_body_size 0;
                        location /up/ {{ dav_methods PUT; }}
                        location /slow/ {{ alias {self.files}/small/; limit_rate 30k; }}
                    }}
                }}
                """)
            return ["nginx", "-e", "stderr", "-p", own, "-c", own + "/conf"]

        super().__init__("nginx", folder, command)

    def small(self, i):
        return os.path.join(self.files, "small", str(i))


class Postgresql(Service):
    """Trusts everyone; its superuser is postgres."""

    def __init__(self, folder):
        data = os.path.join(folder, "postgresql")
        os.mkdir(data)
        postgres = pwd.getpwnam("postgres")
        os.chown(data, postgres.pw_uid, postgres.pw_gid)
        who = {"user": postgres.pw_uid, "group": postgres.pw_gid, "extra_groups": []}
        run([postgresql("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"], folder,
            cwd="/", **who)
        # SIGINT: it ends without waiting for its clients.
        super().__init__("postgres", folder, lambda port: [
            postgresql("postgres"), "-D", data, "-p", str(port), "-k", "", "-c", "listen_addresses=127.0.0.1",
            "-c", "fsync=off", "-c", "max_connections=100"], stop=signal.SIGINT, **who)  # fmt: skip

    def create_database(self, name, folder):
        run([postgresql("psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres", "-c",
             f"CREATE DATABASE {name}"], folder)  # fmt: skip


class Redis(Service):
    def __init__(self, folder):
        super().__init__("redis", folder, lambda port: [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", folder])  # fmt: skip


class Git(Service):
    """One repository, /repository, with .head."""

    COMMITS = 20
    COMMIT_BYTES = 1_250_000

    def __init__(self, folder):
        base = os.path.join(folder, "git")
        work = os.path.join(base, "repository")
        os.makedirs(work)
        me = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "core.compression=0"]
        run(["git", "init", "-q", "-b", "main", work], folder)
        for i in range(self.COMMITS):
            random_file(os.path.join(work, f"file-{i}"), self.COMMIT_BYTES, i)
            run(["git", *me, "-C", work, "add", "."], folder)
            run(["git", *me, "-C", work, "commit", "-q", "-m", f"file {i}"], folder)
        self.head = subprocess.check_output(["git", "-C", work, "rev-parse", "HEAD"], env=environment(folder))
        super().__init__("git", folder, lambda port: [
            "git", "daemon", "--export-all", f"--base-path={base}", "--listen=127.0.0.1", f"--port={port}",
            "--reuseaddr", "--max-connections=0"])  # fmt: skip


class Events:
    """Server-sent events: /N gives N of them, one every EVENT_EVERY_S."""

    def __init__(self):
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), EventHandler)
        self.port = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class EventHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        next_s = time.monotonic()
        try:
            for i in range(int(self.path[1:])):
                self.wfile.write(event(i))
                next_s += EVENT_EVERY_S
                time.sleep(max(0, next_s - time.monotonic()))
        except OSError:
            pass  # it has gone

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def event(i):
    text = f"id: {i}\ndata: "
    return (text + random.Random(i).randbytes(EVENT_BYTES // 2).hex() + "\n\n").encode()


# --- all of them ------------------------------------------------------------------------------


class Services(contextlib.ExitStack):
    """.folder is for all that the tests write; it goes at the end."""

    def __enter__(self):
        super().__enter__()
        must_be_there()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self):
        self.folder = self.enter_context(tempfile.TemporaryDirectory(prefix="turbotunnel-programs-"))
        os.chmod(self.folder, 0o755)  # postgres has to get to its own
        self.ssh = self.enter_context(Ssh(self.folder))
        self.http = self.enter_context(Http(self.folder))
        self.postgresql = self.enter_context(Postgresql(self.folder))
        self.redis = self.enter_context(Redis(self.folder))
        self.git = self.enter_context(Git(self.folder))
        self.events = self.enter_context(Events())
