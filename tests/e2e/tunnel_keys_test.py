#!/usr/bin/env python3
"""Keys: how they are made and kept, whom they let in, and what they hide.

    tests/e2e/tunnel_keys_test.py BUILD_DIR [WORD]...
"""

import os
import re
import resource
import signal
import stat
import subprocess
import tempfile
import threading

import harness
from echo import Proxy
from harness import EchoServer, Program, Sender, check, connect, equal, read_exactly, read_to_end, run
from tunnel import TUNNEL, Key, TunnelClient, TunnelServer, is_reset, keys, server_keys

MIB = 1 << 20
NO_ANSWER = "no answer: wrong --server-key, a clock off by hours, or not a turbotunnel server"


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def write_file(path, text, mode=0o600):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, mode)


# --- files ------------------------------------------------------------------------------------


def test_a_new_key_is_its_owners_alone():
    with tempfile.TemporaryDirectory() as folder:
        before = os.umask(0)  # the worst that a user may have
        try:
            key = Key(os.path.join(folder, "key"))
        finally:
            os.umask(before)
        equal(stat.S_IMODE(os.stat(key.path).st_mode), 0o600, "its mode")
        check(re.fullmatch(rb"[0-9a-f]{64}\n", read_file(key.path)), "it is not a line of 64 digits")
        check(re.fullmatch(r"[0-9a-f]{64}", key.public), key.public)
        check(read_file(key.path).decode().strip() != key.public, "the private key is shown")
        other = Key(os.path.join(folder, "other"))
        check(read_file(other.path) != read_file(key.path), "two keys are the same")


def test_a_key_is_never_written_over_a_file():
    with tempfile.TemporaryDirectory() as folder:
        for name, target in (("file", None), ("empty", None), ("link", "nowhere")):
            path = os.path.join(folder, name)
            if target:
                os.symlink(os.path.join(folder, target), path)
            else:
                write_file(path, "precious\n" * (name == "file"))
            status, output, lines = run(TUNNEL, "keygen", path)
            equal((status, output, len(lines)), (1, "", 1), name)
            check("File exists (a key is never written over a file)" in lines[0], lines)
        equal(read_file(os.path.join(folder, "file")), b"precious\n", "what was there")
        equal(sorted(os.listdir(folder)), ["empty", "file", "link"], "files")
        status, output, lines = run(TUNNEL, "keygen", os.path.join(folder, "no", "folder"))
        equal((status, output, len(lines)), (1, "", 1), "without a folder")


def test_pubkey_says_the_public_key():
    with tempfile.TemporaryFile() as private:
        for text, expected in ((read_file(keys.server.path), (0, keys.server.public + "\n", 0)),
                               (read_file(keys.server.path).strip(), (0, keys.server.public + "\n", 0)),
                               (b"", (1, "", 1)), (b"nonsense\n", (1, "", 1)),
                               (read_file(keys.server.path) + b"\n", (1, "", 1)), (b"0" * 300, (1, "", 1))):
            private.seek(0)
            private.truncate()
            private.write(text)
            private.seek(0)
            with Program(TUNNEL, "pubkey", stdin=private, stdout=subprocess.PIPE) as program:
                output = program.process.stdout.read().decode()
                equal((program.wait(), output, len(program.lines)), expected, f"for {text[:20]}")


def test_bad_usage_of_the_key_commands():
    for arguments in (["keygen"], ["keygen", "-x"], ["keygen", "a", "b"], ["pubkey", "a"]):
        status, output, lines = run(TUNNEL, *arguments)
        equal((status, output, len(lines)), (2, "", 1), f"{arguments}")
    for command in ("keygen", "pubkey"):
        status, output, _ = run(TUNNEL, command, "--help")
        check(status == 0 and f"Usage: turbotunnel {command}" in output, output)


def test_the_instance_is_made_once():
    with tempfile.TemporaryDirectory() as folder, EchoServer() as target:
        key = Key(os.path.join(folder, "key"))
        path = key.path + ".instance"
        check(not os.path.exists(path), "it is there too early")
        seen = []
        for _ in range(2):
            with TunnelServer("--forward", target.address, key=key) as server:
                seen.append(read_file(path))
                equal(server.stop(), 0, "exit status")
        equal(seen[0], seen[1], "after a restart")
        check(re.fullmatch(rb"[0-9a-f]{16}\n", seen[0]), seen[0])
        equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "its mode")
        for bad in ("", "0123", "0123456789abcdeg\n", "0123456789abcdef0\n", "0123456789abcdef\n\n"):
            write_file(path, bad)
            status, _, lines = run(TUNNEL, "server", *server_keys(key=key), "--listen", "tcp://127.0.0.1:0",
                                   "--forward", target.address)
            equal((status, len(lines)), (1, 1), f"with {bad!r}: {lines}")
            check(f"the server's instance, in {path}: it is not one line of 16 hexadecimal digits" in lines[0], lines)
            equal(read_file(path).decode(), bad, "what was there")


def test_servers_that_start_at_once_have_one_instance():
    with tempfile.TemporaryDirectory() as folder, EchoServer() as target:
        for i in range(5):
            key = Key(os.path.join(folder, f"key{i}"))
            many = [Program(TUNNEL, "server", *server_keys(key=key), "--listen", "tcp://127.0.0.1:0", "--forward",
                            target.address) for _ in range(4)]
            try:
                for server in many:
                    server.wait_line("listening on")
            finally:
                for server in many:
                    server.process.kill()
                    server.process.wait()
        equal(sorted(os.listdir(folder)), sorted(f"key{i}{more}" for i in range(5) for more in ("", ".instance")), "files")


# --- who comes in -----------------------------------------------------------------------------


def echoed(address, data=b"hello"):
    s = connect(address)
    sender = Sender(s, data)
    equal(read_to_end(s), data, "what came back")
    sender.finish()
    s.close()


def test_a_wrong_server_key_is_said():
    """Takes 10 s: what a server that says nothing must be given."""
    with EchoServer() as target, TunnelServer("--forward", target.address) as server:
        with TunnelClient(server, "--listen", "0", server_key=keys.client.public) as client:
            s = connect(client.addresses[0])
            client.wait_line(NO_ANSWER)
            check(harness.is_open_and_quiet(s), "the connection was not kept")
            check(not any("connected to" in line for line in client.lines), client.lines)
            s.close()
        server.stop()
        check(not any(" begun" in line for line in server.lines), server.lines)


def test_a_client_is_listed_or_stays_outside():
    with EchoServer() as target, tempfile.TemporaryDirectory() as folder:
        stranger = Key(os.path.join(folder, "stranger"))
        clients = os.path.join(folder, "clients")
        write_file(clients, f"# who may come\n{keys.client.public} me\n", 0o644)
        with TunnelServer("--forward", target.address, "--authorized-clients", clients) as server:
            with TunnelClient(server, "--listen", "0", "--key", keys.client.path) as client:
                echoed(client.addresses[0])
                server.wait_line("session .* begun")
            for more in ((), ("--key", stranger.path)):  # 10 s each
                with TunnelClient(server, "--listen", "0", *more) as client:
                    client.wait_line(NO_ANSWER)
            equal(server.stop(), 0, "exit status")
            equal(sum(" begun" in line for line in server.lines), 1, f"sessions: {server.lines}")


def test_who_is_taken_off_the_list_is_turned_out():
    with EchoServer() as target, tempfile.TemporaryDirectory() as folder:
        other = Key(os.path.join(folder, "other"))
        clients = os.path.join(folder, "clients")
        write_file(clients, f"{keys.client.public}\n{other.public}\n")
        with TunnelServer("--forward", target.address, "--authorized-clients", clients) as server:
            with TunnelClient(server, "--listen", "0", "--key", keys.client.path) as leaver, \
                    TunnelClient(server, "--listen", "0", "--key", other.path) as stayer:
                sockets = []
                for client in (leaver, stayer):
                    sockets.append(connect(client.addresses[0]))
                    sockets[-1].sendall(b"x")
                    equal(read_exactly(sockets[-1], 1), b"x", "what came back")
                busy = connect(leaver.addresses[0])  # carriers that are full must not keep the news
                Sender(busy, bytes(256 * MIB))
                reader = threading.Thread(target=is_reset, args=(busy,), daemon=True)
                read_exactly(busy, 4 * MIB)
                reader.start()
                write_file(clients, f"{other.public}\n")
                server.process.send_signal(signal.SIGHUP)
                server.wait_line("lists read again: .* 1 clients' keys")
                server.wait_line("session .* ended: ")
                check(is_reset(sockets[0]), "it ended in order")
                sockets[1].sendall(b"y")
                equal(read_exactly(sockets[1], 1), b"y", "what came back to who may stay")
                reader.join(harness.DEADLINE_S)
                check(not reader.is_alive(), "a busy connection was not reset")
                for s in sockets:
                    s.close()
                # A list that cannot be read changes nothing.
                write_file(clients, "nonsense\n")
                server.process.send_signal(signal.SIGHUP)
                server.wait_line(f"the lists stay as they were: {clients}:1: it does not begin with a public key")
                echoed(stayer.addresses[0])


# --- what is hidden ---------------------------------------------------------------------------


def has_key(data, key):
    private = read_file(key.path).strip()
    return private in data.lower() or bytes.fromhex(private.decode()) in data


def test_no_private_key_is_where_others_look():
    with EchoServer() as target, tempfile.TemporaryDirectory() as folder:
        clients = os.path.join(folder, "clients")
        write_file(clients, f"{keys.client.public}\n")
        server_options = ("--forward", target.address, "-v", "--authorized-clients", clients)
        with TunnelServer(*server_options) as server, \
                TunnelClient(server, "--listen", "0", "-v", "--key", keys.client.path) as client:
            echoed(client.addresses[0])
            for program in (server, client):
                program.process.send_signal(signal.SIGUSR1)
                program.process.send_signal(signal.SIGHUP)
                program.wait_line("lists read again")
            for program, key in ((server, keys.server), (client, keys.client)):
                for name in ("cmdline", "environ"):
                    check(not has_key(read_file(f"/proc/{program.pid}/{name}"), key), f"it is in {name}")
                program.stop()
                check(not has_key("\n".join(program.lines).encode(), key), "it is in the log")


def limits_of_core(program):
    for line in read_file(f"/proc/{program.pid}/limits").decode().splitlines():
        if line.startswith("Max core file size"):
            return line.split()[4:6]
    return None


def test_a_crash_leaves_no_core():
    """The kernel gives /proc/PID of who may not be dumped to root."""
    check(os.geteuid() == 0, "needs root")
    unlimited = {resource.RLIMIT_CORE: resource.RLIM_INFINITY}
    with EchoServer() as target:
        for more, owner, limits in (((), 0, ["0", "0"]), (("--allow-core-dumps",), 65534, ["unlimited"] * 2)):
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all",
                       os.path.abspath(os.path.join(harness.build_dir, TUNNEL)), "server", "--insecure", "--listen",
                       "tcp://127.0.0.1:0", "--forward", target.address, *more]
            with Program("/usr/bin/env", *command, limits=unlimited) as server:
                server.wait_line("listening on")
                equal(os.stat(f"/proc/{server.pid}/mem").st_uid, owner, f"the owner of its memory, with {more}")
                equal(limits_of_core(server), limits, f"the limit, with {more}")


# --- the wire ---------------------------------------------------------------------------------

MARKER = b"<this is what nobody may see 32>"
PAYLOAD = 60 * MIB


def marked_payload():
    """Text of random words with the marker in it every few hundred bytes."""
    noise = os.urandom(1 << 16).hex().encode()
    block = bytearray()
    for at in range(0, len(noise), 256):
        block += noise[at:at + 256] + MARKER
    return bytes(block * (PAYLOAD // len(block) + 1))[:PAYLOAD]


def find_markers(path):
    """How often it is in what went up and what came down, as far as a record holds it whole."""
    found = {"up": 0, "down": 0}
    sizes = {"up": 0, "down": 0}
    tail = {}
    with open(path, "rb") as dump:
        while head := dump.readline():
            number, way, length = head.split()
            way = way.decode()
            data = dump.read(int(length))
            dump.read(1)
            before = tail.get((number, way), b"")
            found[way] += (before + data).count(MARKER)
            sizes[way] += len(data)
            tail[number, way] = (before + data)[-(len(MARKER) - 1):]
    return found, sizes


def both_ways(insecure, payload):
    """The payload through a tunnel and back, through lilbastard: what is on the wire."""
    with tempfile.TemporaryDirectory() as folder, EchoServer() as target:
        dump = os.path.join(folder, "dump")
        with TunnelServer("--forward", target.address, insecure=insecure) as server, \
                Proxy("--dump", dump, "-w", 1, upstream=server.address) as proxy, \
                TunnelClient("tcp://" + proxy.address, "--listen", "0", insecure=insecure) as client:
            s = connect(client.addresses[0])
            sender = Sender(s, payload)
            check(read_to_end(s) == payload, "something else came back")
            sender.finish()
            s.close()
            for program in (client, server):
                program.stop()
            proxy.stop()
        return find_markers(dump)


def test_nothing_of_what_is_sent_shows_on_the_wire():
    payload = marked_payload()
    markers = payload.count(MARKER)
    found, sizes = both_ways(True, payload[:4 * MIB])
    check(min(found.values()) > markers * 4 * MIB // PAYLOAD // 2, f"the test finds {found}: it would find nothing")
    found, sizes = both_ways(False, payload)
    check(min(sizes.values()) >= PAYLOAD, f"only {sizes} bytes were looked at")
    equal(found, {"up": 0, "down": 0}, "markers on the wire")
    return f"{markers} markers, {sizes['up'] >> 20} MiB up and {sizes['down'] >> 20} MiB down looked at"


if __name__ == "__main__":
    harness.main(globals(), jobs=2)
