"""What is measured. Each measure has rounds; in each round the pairs take turns, so that whatever
else the machine does meets all of them, and a ratio is of two runs side by side.
"""

import dataclasses
import os
import shutil
import socket
import subprocess
import tempfile

import children
from children import Server
from pairs import CALLBACK, DEFAULTS, OURS, PLAIN, TUNED

MB = 1_000_000
GB = 1_000_000_000


@dataclasses.dataclass
class Plan:
    """How much is done."""

    rounds: int = 5
    run_s: float = 1.0         # of one run that measures throughput or ping-pong
    first_run_s: float = 0.2   # of the first, which finds out how many bytes that is
    terminations: int = 20     # a round, of each kind of end
    idle_sessions: int = 1000


class Bench:
    def __init__(self, plan, pairs, build, progress):
        self.plan = plan
        self.pairs = pairs
        self.build = build
        self.progress = progress  # called with a line for whoever waits

    def take_turns(self, what, names, one_run):
        """Calls one_run(pair) for each pair in each round: {name: [result of each round]}."""
        results = {name: [] for name in names}
        for number in range(1, self.plan.rounds + 1):
            self.progress(f"{what}: round {number} of {self.plan.rounds}")
            for name in names:
                results[name].append(one_run(self.pairs[name]))
        return results


# --- throughput -------------------------------------------------------------------------------


def transfer(pair, mode, streams, stream_bytes, limit_s):
    """One client against one new server."""
    with Server(pair.server(mode, stream_bytes)) as server:
        got = children.run_json(
            pair.client(mode, server.address, bytes=stream_bytes, streams=streams), limit_s)
    gb = got["bytes"] / GB
    got["cpu_s_per_gb"] = (got["cpu_seconds"] + server.used_cpu_s()) / gb
    got["sender_cpu_s_per_gb"], got["receiver_cpu_s_per_gb"] = by_role(
        mode, got["cpu_seconds"] / gb, server.used_cpu_s() / gb)
    return got


def by_role(mode, client, server):
    return (server, client) if mode == "source" else (client, server)


def throughput(bench, what, mode, streams=1):
    """MB/s and CPU of one session with so many streams, sized so that each run takes plan.run_s."""
    names = (PLAIN, OURS, TUNED, DEFAULTS)
    sizes = {}

    def limit_s(seconds):
        return 30 + 20 * seconds

    def one_run(pair):
        if pair.name not in sizes:
            first = int(pair.guess_mb_per_s * MB * bench.plan.first_run_s / streams) + 1000
            got = transfer(pair, mode, streams, first, limit_s(bench.plan.first_run_s))
            sizes[pair.name] = int(got["mb_per_s"] * MB * bench.plan.run_s / streams) + 1000
        return transfer(pair, mode, streams, sizes[pair.name], limit_s(bench.plan.run_s))

    return bench.take_turns(what, names, one_run)


def down(bench):
    return throughput(bench, "download", "source")


def up(bench):
    return throughput(bench, "upload", "sink")


def echo(bench):
    return throughput(bench, "echo", "echo")


def streams(bench):
    return throughput(bench, "eight streams down", "source", 8)


def files(bench):
    """The example programs, file to nowhere: what a user of theirs sees, start and end included."""
    sizes = {}

    def one_file(pair, size):
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            with Server(pair.example_server()) as server:
                client = children.run(pair.example_client(server.address), 60, file,
                                      subprocess.DEVNULL)
        return {"bytes": size, "mb_per_s": size / MB / client.seconds,
                "cpu_s_per_gb": (client.cpu_s + server.used_cpu_s()) / (size / GB)}

    def one_run(pair):
        if pair.name not in sizes:
            first = int(pair.guess_mb_per_s * MB * bench.plan.first_run_s) + 1000
            sizes[pair.name] = int(one_file(pair, first)["mb_per_s"] * MB * bench.plan.run_s)
        return one_file(pair, sizes[pair.name])

    return bench.take_turns("example programs", (PLAIN, OURS, TUNED, DEFAULTS), one_run)


def iperf3(bench):
    """Plain TCP once more, by a program that others know. None: it is not installed."""
    if not shutil.which("iperf3"):
        return None

    def one_run(_pair):
        port = free_port()
        server = children.Child(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", str(port),
                                 "--forceflush"], stdout=subprocess.PIPE)
        try:
            wait_listening(server)
            client = children.run(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-R", "-t",
                                   str(max(1, round(bench.plan.run_s)))], 30)
            server.reap(10)
        finally:
            if server in children.running:
                server.kill()
        words = client.output.decode().split("receiver")[0].split()
        mbits = float(words[words.index("Mbits/sec") - 1]) if "Mbits/sec" in words else None
        return mbits, client, server

    return one_run


def free_port():
    """iperf3 takes no port 0. Between this and its start another program could take the port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_listening(server):
    line = server.process.stdout.readline()
    while line and b"listening" not in line:
        line = server.process.stdout.readline()


# --- ping-pong --------------------------------------------------------------------------------


def pingpong(bench):
    """64 bytes there and back."""

    def one_run(pair):
        with Server(pair.server("echo")) as server:
            return children.run_json(pair.client(
                "echo", server.address, pingpong=100_000, duration=bench.plan.run_s), 60)

    return bench.take_turns("ping-pong", (PLAIN, CALLBACK, OURS, TUNED, DEFAULTS), one_run)
