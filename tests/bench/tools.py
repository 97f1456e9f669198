"""The program turbotunnel beside other tunnels: a bulk stream of plain TCP through two processes of each.

    peer client -> the tunnel's client -> (sealed, but for socat) -> its server -> peer server

The CPU seconds are those of the tunnel's processes alone: of all that were started for it, and theirs.
"""

import contextlib
import os
import shutil
import signal
import tempfile

import children
import measures
from children import Child, Server
from pairs import PLAIN, free_port

OURS, SSH, SOCAT, STUNNEL, KCPTUN = "turbotunnel", "ssh -L", "two socats", "stunnel", "kcptun"
MODES = {"down": "source", "up": "sink"}
SHARE_OF_RUN = 0.6     # of a run of other chapters: there are many to be made
FIRST_GUESS_MB_PER_S = 100
LIMIT_S = 60
LOOPBACK = "127.0.0.1"


def program(name):
    """Its path, absolute, as sshd wants it."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise children.Failed(f"{name} is not installed: run scripts/bootstrap")
    return path


def write(path, text):
    with open(path, "w", encoding="ascii", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
        file.write(text)
    return path


# --- processes ----------------------------------------------------------------------------------

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def stat_fields(pid):
    """Behind the name, which may have blanks in it: the first is the state, number 3 of proc(5)."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def descendants(pid):
    """It, and all that it and they have started and not waited for."""
    found, of = [], {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            of.setdefault(int(stat_fields(other)[1]), []).append(int(other))
    todo = [pid]
    while todo:
        found.append(todo.pop())
        todo += of.get(found[-1], [])
    return found


def family_cpu_s(pid):
    """Of a process, its descendants, and those of its threads and theirs that have ended."""
    ticks = 0
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, stat_fields(one)[11:15]))  # the last two: of children that were waited for
    return ticks * TICK_S


# --- tunnels ------------------------------------------------------------------------------------

class Tunnel:
    """A context: in it a client listens at .entry, and leads to target. `processes` are its own."""

    def __init__(self, start, build, target):
        self.start, self.build, self.target = start, build, target
        self.processes = []

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        try:
            self.folder = self.stack.enter_context(tempfile.TemporaryDirectory())
            self.entry = self.start(self)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        for child in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)  # also those that it has forked
            child.kill()
        self.stack.close()

    def run(self, *command, says):
        """Starts a process of it, and waits until it says what it should. Returns the match."""
        child = Child([program(command[0]), *command[1:]])
        self.processes.append(child)
        return child.wait_said(says)

    def path(self, name):
        return os.path.join(self.folder, name)

    def cpu_s(self):
        return sum(family_cpu_s(child.process.pid) for child in self.processes)


def start_turbotunnel(tunnel):
    tool = os.path.join(os.path.abspath(tunnel.build), "apps/turbotunnel")
    public = children.run([tool, "keygen", tunnel.path("key")], LIMIT_S).output.decode().strip()
    url = tunnel.run(tool, "server", "--key", tunnel.path("key"), "--listen", f"tcp://{LOOPBACK}:0",
                     "--forward", tunnel.target, says=r"listening on (tcp://\S+)")[1]
    return tunnel.run(tool, "client", "--server-key", public, "--connect", url, "--listen",
                      f"{LOOPBACK}:0", says=r"listening on (\S+)")[1]


SSHD_CONFIG = """\
ListenAddress {host}:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
"""


def start_ssh(tunnel):
    """A server of its own, with keys of its own, for whoever runs this. All else is as Debian has it."""
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd insists; its service would make it
    for name in ("host", "user"):
        children.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", tunnel.path(name)], LIMIT_S)
    port, entry = free_port(), f"{LOOPBACK}:{free_port()}"
    config = write(tunnel.path("config"), SSHD_CONFIG.format(host=LOOPBACK, port=port, folder=tunnel.folder))
    tunnel.run("sshd", "-D", "-e", "-f", config, says="^Server listening on")
    tunnel.run("ssh", "-F", "none", "-v", "-N", "-i", tunnel.path("user"), "-p", str(port),
               "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
               "-o", "UserKnownHostsFile=/dev/null", "-o", "ExitOnForwardFailure=yes",
               "-L", f"{entry}:{tunnel.target}", LOOPBACK, says="Entering interactive session")
    return entry


def start_socat(tunnel):
    """Not sealed. 64 KiB at a time: socat's own 8 KiB would be slower."""
    address = tunnel.target
    for _ in range(2):
        address = tunnel.run("socat", "-d", "-d", "-b", "65536", f"TCP-LISTEN:0,bind={LOOPBACK},fork",
                             f"TCP:{address}", says=r"listening on AF=2 (\S+)")[1]
    return address


STUNNEL_CONFIG = """\
foreground = yes
pid =
debug = notice
[bulk]
client = {client}
accept = {accept}
connect = {connect}
PSKsecrets = {secrets}
"""


def start_stunnel(tunnel):
    secrets = write(tunnel.path("secrets"), f"bench:{'0123456789abcdef' * 4}\n")
    between, entry = (f"{LOOPBACK}:{free_port()}" for _ in range(2))
    for client, accept, connect in (("no", between, tunnel.target), ("yes", entry, between)):
        config = write(tunnel.path("client-" + client), STUNNEL_CONFIG.format(
            client=client, accept=accept, connect=connect, secrets=secrets))
        tunnel.run("stunnel4", config, says="Configuration successful")
    return entry


def start_kcptun(tunnel):
    """Without compression: what is sent is all alike."""
    between, entry = (f"{LOOPBACK}:{free_port()}" for _ in range(2))
    tunnel.run("kcptun-server", "--listen", between, "--target", tunnel.target, "--nocomp",
               says="listening on")
    tunnel.run("kcptun-client", "--localaddr", entry, "--remoteaddr", between, "--nocomp",
               says="listening on")
    return entry


STARTS = {OURS: start_turbotunnel, SSH: start_ssh, SOCAT: start_socat, STUNNEL: start_stunnel,
          KCPTUN: start_kcptun}

# When one direction of a stream ends it ends the other as well: how much came can never be answered.
ENDS_BOTH = (KCPTUN,)


class Through:
    """A pair (pairs.py) for one direction: plain TCP's client, and a server that runs."""

    def __init__(self, name, client, entry, tunnel=None):
        self.name, self.guess_mb_per_s = name, FIRST_GUESS_MB_PER_S
        self.client, self.entry, self.tunnel = client, entry, tunnel

    def transfer(self, size):
        before_s = self.tunnel.cpu_s() if self.tunnel else 0
        got = children.run_json(self.client(self.entry, size), LIMIT_S)
        # Less than a tick cannot be seen, and a ratio to nothing is none.
        used_s = max(TICK_S, self.tunnel.cpu_s() - before_s) if self.tunnel else 0
        return {**got, "tunnel_s_per_gb": used_s / (got["bytes"] / 1e9)}


def through_all(bench, mode, server, stack):
    """{name: Through}, with all tunnels ready."""
    def client(entry, size):
        return bench.pairs[PLAIN].client(mode, entry, bytes=size)

    ways = {PLAIN: Through(PLAIN, client, server.address)}
    for name, start in STARTS.items():
        if mode == "sink" and name in ENDS_BOTH:
            continue
        bench.progress(f"tunnels: {name} starts")
        tunnel = stack.enter_context(Tunnel(start, bench.build, server.address))
        ways[name] = Through(name, client, tunnel.entry, tunnel)
    return ways


def measure_one(bench, direction):
    mode = MODES[direction]
    with Server(bench.pairs[PLAIN].server(mode)) as server, contextlib.ExitStack() as stack:
        ways = through_all(bench, mode, server, stack)
        inner = bench.among(ways, measures.scaled(bench.plan, SHARE_OF_RUN))
        results = measures.sized(inner, f"tunnels, {direction}", ways,
                                 lambda way, size: way.transfer(size), bench.plan.side_rounds)
    bench.hurried |= inner.hurried
    return results


def measure(bench):
    """{direction: {tunnel's name: [numbers of each round]}}"""
    return {direction: measure_one(bench, direction) for direction in MODES}
