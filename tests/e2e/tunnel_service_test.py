#!/usr/bin/env python3
"""The server as a service: what its manager is told, sockets that it is given, and whom it becomes.

    tests/e2e/tunnel_service_test.py BUILD_DIR [WORD]...
"""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time

import harness
from harness import EchoServer, Listener, Program, Sender, check, connect, equal, read_to_end, run
from tunnel import TUNNEL, Stdio, TunnelClient, TunnelServer, server_keys

NOBODY = 65534


def echoed(address, data=b"hello"):
    s = connect(address)
    sender = Sender(s, data)
    equal(read_to_end(s), data, "what came back")
    sender.finish()
    s.close()


def program_path():
    return os.path.abspath(os.path.join(harness.build_dir, TUNNEL))


# --- what is told -----------------------------------------------------------------------------


class Manager:
    """A notification socket: .told() is the next message."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(harness.DEADLINE_S)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.environment = {**os.environ, "NOTIFY_SOCKET": name}

    def told(self):
        return self.socket.recv(4096).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def test_its_manager_is_told_how_it_goes():
    with tempfile.TemporaryDirectory() as folder, EchoServer() as target:
        for name in (os.path.join(folder, "notify"), f"@turbotunnel-test-{os.getpid()}"):
            with Manager(name) as manager:
                with TunnelServer("--forward", target.address, env=manager.environment) as server:
                    equal(manager.told(), "READY=1", "at the beginning")
                    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                    server.process.send_signal(signal.SIGHUP)
                    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", manager.told())
                    check(match and int(match[1]) >= before, "it was not told of the reload")
                    equal(manager.told(), "READY=1", "behind the reload")
                    server.process.send_signal(signal.SIGTERM)
                    equal(manager.told(), "STOPPING=1", "at the end")
                    equal(server.wait(), 0, "exit status")


def test_a_manager_that_is_not_there_does_no_harm():
    for name in ("", "x", "@", "/nowhere/at/all", "/" + "x" * 200):
        with TunnelServer("--forward", "127.0.0.1:1", env={**os.environ, "NOTIFY_SOCKET": name}) as server:
            equal(server.stop(), 0, f"exit status with {name!r}")


def test_who_cannot_begin_is_not_ready():
    with tempfile.TemporaryDirectory() as folder, Manager(os.path.join(folder, "notify")) as manager:
        with Listener() as taken:
            with Program(TUNNEL, "server", *server_keys(), "--listen", "tcp://" + taken.address, "--forward", "h:1",
                         env=manager.environment) as server:
                equal(server.wait(), 1, "exit status")
        manager.socket.setblocking(False)
        try:
            check(not manager.told(), "it was told something")
        except BlockingIOError:
            pass


# --- sockets ----------------------------------------------------------------------------------


def test_it_listens_on_a_descriptor():
    with EchoServer() as target, Listener() as given:
        fd = given.socket.fileno()
        with subprocess.Popen([program_path(), "server", *server_keys(), "--listen", f"fd:{fd}", "--forward",
                               target.address], pass_fds=[fd], stderr=subprocess.PIPE) as server:
            line = server.stderr.readline().decode()
            equal(line, f"turbotunnel: listening on tcp://{given.address}\n", "what it said")
            with TunnelClient("tcp://" + given.address, "--listen", "0") as client:
                echoed(client.addresses[0])
            server.terminate()
            equal(server.wait(harness.DEADLINE_S), 0, "exit status")
        check(given.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), "our own was closed")


def test_a_descriptor_that_does_not_listen_is_refused():
    with socket.socket() as plain, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.bind(("127.0.0.1", 0))
        for fd in (plain.fileno(), datagram.fileno(), 0, 999, 99999999999):
            with subprocess.Popen([program_path(), "server", *server_keys(), "--listen", f"fd:{fd}", "--forward", "h:1"],
                                  pass_fds=[plain.fileno(), datagram.fileno()], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE) as server:
                said = server.stderr.read().decode()
                equal(server.wait(harness.DEADLINE_S), 1, f"exit status with {fd}: {said}")
                check(f"listen on fd:{fd}: " in said and "it must be a stream socket that listens" in said, said)
    for bad in ("fd:", "fd:x", "fd:-1", "fd:3x"):
        equal(run(TUNNEL, "server", *server_keys(), "--listen", bad, "--forward", "h:1")[0], 2, f"exit status with {bad}")
    equal(run(TUNNEL, "client", "--insecure", "--connect", "fd:3", "--stdio")[0], 2, "exit status of a client")


def free_port():
    with Listener() as listener:
        return listener.port


def test_systemd_gives_it_sockets():
    """systemd-socket-activate listens, and runs the server when somebody comes."""
    with EchoServer() as target, tempfile.TemporaryDirectory() as folder:
        ports = [free_port(), free_port()]
        path = os.path.join(folder, "socket")
        listen = [f"--listen=127.0.0.1:{port}" for port in ports] + [f"--listen={path}"]
        environment = [f"--setenv={name}={os.environ[name]}" for name in ("MALLOC_PERTURB_",)]
        with Program("/usr/bin/env", "systemd-socket-activate", *listen, *environment, program_path(), "server", *server_keys(),
                     "--forward", target.address) as server:
            for _ in range(3):
                server.wait_line("Listening on")
            with TunnelClient(f"tcp://127.0.0.1:{ports[0]}", "--listen", "0") as client:
                for address in (f"tcp://127.0.0.1:{ports[0]}", f"tcp://127.0.0.1:{ports[1]}", f"unix:{path}"):
                    server.wait_line(f"turbotunnel: listening on {re.escape(address)}$")
                echoed(client.addresses[0])
                for url in (f"tcp://127.0.0.1:{ports[1]}", f"unix:{path}"):
                    with Stdio(url, "--stdio") as stdio:
                        stdio.send(b"x")
                        stdio.end()
                        equal((stdio.read(), stdio.wait()), (b"x", 0), f"what came back from {url}")
                equal(server.stop(), 0, "exit status")
            check(os.path.exists(path), "it has removed a socket that is not its own")


def test_sockets_for_another_process_are_left_alone():
    for pid, count in (("1", "1"), ("", "1"), ("x", "1"), (None, "1")):
        environment = {**os.environ, "LISTEN_FDS": count}
        if pid is not None:
            environment["LISTEN_PID"] = pid
        with Program(TUNNEL, "server", *server_keys(), "--forward", "h:1", env=environment) as server:
            equal(server.wait(), 2, "exit status")
            check("--listen URL is missing" in server.lines[0], server.lines)


# --- another user -----------------------------------------------------------------------------


def status_of(program):
    with open(f"/proc/{program.pid}/status", encoding="ascii") as file:
        return {name: value.split() for name, _, value in (line.partition(":") for line in file)}


def low_port():
    for port in range(600, 1024):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    return None


def test_it_becomes_another_user_for_good():
    check(os.geteuid() == 0, "needs root")
    with EchoServer() as target, tempfile.NamedTemporaryFile("w") as config:
        os.chmod(config.name, 0o644)
        config.write(f"allow {target.address}\n")
        config.flush()
        url = f"tcp://127.0.0.1:{low_port()}"  # which root alone may bind
        with TunnelServer("--user", "nobody", "--forward", target.address, "--config", config.name, listen=url) as server, \
                TunnelClient(server, "--listen", "0") as client:
            echoed(client.addresses[0])
            status = status_of(server)
            for what, expected in (("Uid", [str(NOBODY)] * 4), ("Gid", [str(NOBODY)] * 4), ("Groups", []),
                                   ("CapPrm", ["0" * 16]), ("CapEff", ["0" * 16]), ("NoNewPrivs", ["1"])):
                equal(status[what], expected, what)
            for thread in os.listdir(f"/proc/{server.pid}/task"):
                with open(f"/proc/{server.pid}/task/{thread}/status", encoding="ascii") as file:
                    check(f"Uid:\t{NOBODY}\t{NOBODY}" in file.read(), "a thread is somebody else")
            equal(os.stat(f"/proc/{server.pid}/mem").st_uid, 0, "the owner of its memory: it could be dumped")
            config.write("allow 127.0.0.1:2\n")
            config.flush()
            server.process.send_signal(signal.SIGHUP)
            server.wait_line("lists read again: 2 rules of --allow")  # though it cannot read its key any more
            os.chmod(config.name, 0o600)
            server.process.send_signal(signal.SIGHUP)
            server.wait_line("the lists stay as they were: read .*: Permission denied")
            echoed(client.addresses[0])
            equal(server.stop(), 0, "exit status")


def test_it_keeps_no_group():
    check(os.geteuid() == 0, "needs root")
    with Program("/usr/bin/env", "setpriv", "--groups=4,27", program_path(), "server", *server_keys(), "--listen",
                 "tcp://127.0.0.1:0", "--forward", "h:1", "--user", "nobody") as server:
        server.wait_line("listening on")
        # It says so before it becomes somebody else; it listens to signals afterwards.
        end = time.monotonic() + harness.DEADLINE_S
        while status_of(server)["Uid"][0] == "0" and time.monotonic() < end:
            time.sleep(0.01)
        equal(status_of(server)["Groups"], [], "groups")
        equal(server.stop(), 0, "exit status")


def test_whom_it_cannot_become():
    check(os.geteuid() == 0, "needs root")
    arguments = [*server_keys(insecure=True), "--listen", "tcp://127.0.0.1:0", "--forward", "h:1", "--user"]
    for user, why in (("nobody-of-that-name", "there is no such user"), ("root", "that is root")):
        status, _, lines = run(TUNNEL, "server", *arguments, user)
        equal(status, 1, f"exit status: {lines}")
        check(f"become user {user}: {why}" in lines[-1], lines)
    with Program("/usr/bin/env", "setpriv", "--reuid=1", "--regid=1", "--clear-groups", program_path(), "server", *arguments,
                 "nobody") as server:
        equal(server.wait(), 1, "exit status")
        check("become user nobody: it is not permitted" in server.lines[-1], server.lines)
    # Whoever is that user already may say so.
    with Program("/usr/bin/env", "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", program_path(),
                 "server", *arguments, "nobody") as server:
        server.wait_line("listening on")
        equal(server.stop(), 0, "exit status")


if __name__ == "__main__":
    harness.main(globals(), jobs=2)
