"""The pairs of programs that are compared, and the command lines that make them do the same."""

import json
import os
import socket
import subprocess

import children
from children import Child, Server

HERE = os.path.dirname(os.path.abspath(__file__))
GB = 1_000_000_000

PLAIN, IPERF, OURS, CALLBACK = "plain TCP", "iperf3", "turbotunnel", "turbotunnel, callbacks"
LEGACY = "turbotunnel, legacy"
CARRIERS = "turbotunnel, 4 connections"
SEALED = "turbotunnel, sealed"
TUNED, DEFAULTS = "Go, tuned", "Go, defaults"
GO_CLIENTS, GO_SERVER = "turbotunnel, callbacks, to Go clients", "Go, tuned, to our client"
TUNED_MTU = 1500  # bytes; tests/interop/go/tunnel/profile.go

# Bytes of our longest packets. Sessions make none above the last, whatever they are allowed.
PACKETS = (1400, 4096, 8192, 16384)


def limited(max_packet):
    """The name of our pair with packets of up to so many bytes."""
    return f"{OURS}, packets of {max_packet:,}"


STOP_LIMIT_S = 20


class Pair:
    """A client and a server.

    look_s belongs to the recovery gap: for how long one client goes on after the end of its first
    connection. A gap that lasted longer might not be seen, so it is several times what is expected.
    """

    look_s = 0.1
    terminations_share = 1.0  # of those that are planned: looking longer, we look less often

    def __init__(self, name, guess_mb_per_s):
        self.name = name
        self.guess_mb_per_s = guess_mb_per_s  # for the very first run alone, which is not counted

    def crowd_server(self, _sessions):
        """One that echoes, and lets so many in."""
        return self.server("echo")

    def transfer(self, mode, streams, stream_bytes, limit_s):
        """One client against one new server. Returns the client's numbers, and CPU per GB."""
        with Server(self.server(mode, stream_bytes)) as server:
            got = children.run_json(
                self.client(mode, server.address, bytes=stream_bytes, streams=streams), limit_s)
        gb = got["bytes"] / GB
        ends = (server.used_cpu_s() / gb, got["cpu_seconds"] / gb)
        got["sender_s_per_gb"], got["receiver_s_per_gb"] = ends if mode == "source" else ends[::-1]
        got["cpu_s_per_gb"] = sum(ends)
        return got


class PeerPair(Pair):
    """tests/bench/peer at both ends."""

    def __init__(self, name, build, kind, api, guess_mb_per_s, *more, client_options=()):
        super().__init__(name, guess_mb_per_s)
        self.peer = [os.path.join(build, "tests/bench/peer")]
        self.options = ["--kind", kind, "--api", api, *more]
        self.client_options = client_options
        kind, *legacy = kind.split("-")
        self.examples = os.path.join(build, "examples", kind)
        self.example_options = ["--legacy"] if legacy else []

    def server(self, mode, stream_bytes=0):
        return [*self.peer, "server", *self.options, "--mode", mode, "127.0.0.1:0"]

    def crowd_server(self, sessions):
        *command, address = self.server("echo")
        return [*command, "--most", str(sessions), address]

    def client(self, mode, address, **options):
        words = [word for name, value in options.items() for word in ("--" + name, str(value))]
        return [*self.peer, "client", *self.options, *self.client_options, "--mode", mode, *words,
                address]

    def example_server(self):
        return [self.examples + "/server", *self.example_options, "127.0.0.1:0"]

    def example_client(self, address):
        return [self.examples + "/client", *self.example_options, address]


class GoPair(Pair):
    """tests/interop/go."""

    def __init__(self, name, go_dir, tuned, guess_mb_per_s):
        super().__init__(name, guess_mb_per_s)
        self.go_dir = go_dir
        self.options = ["-tuned"] if tuned else []
        self.look_s = 0.2 if tuned else 0.5
        self.terminations_share = 0.4

    def server(self, mode, stream_bytes=0):
        """A sink must know what will come: the Go client cannot end its direction alone."""
        bytes_option = ["-bytes", str(stream_bytes)] if mode == "sink" else []
        return [self.go_dir + "/go-server", *self.options, "-mode", mode, *bytes_option,
                "127.0.0.1:0"]

    def client(self, mode, address, **options):
        if "duration" in options:
            options["duration"] = f"{options['duration']}s"
        words = [word for name, value in options.items() for word in ("-" + name, str(value))]
        return [self.go_dir + "/go-client", *self.options, "-mode", mode, *words, address]

    def example_server(self):
        return self.server("echo")

    def example_client(self, address):
        return [self.go_dir + "/go-client", *self.options, address]


class MixedPair(Pair):
    """The server of one pair, and clients of another."""

    def __init__(self, name, server_of, clients_of):
        super().__init__(name, 0)
        self.server, self.crowd_server = server_of.server, server_of.crowd_server
        self.client = clients_of.client


class IperfPair(Pair):
    """Plain TCP once more, by a program that others know."""

    def transfer(self, mode, streams, stream_bytes, limit_s):
        port = str(free_port())
        server = Child(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port, "--forceflush"])
        server.wait_said("^Server listening on")
        reverse = ["-R"] if mode == "source" else []
        client = children.run(
            ["iperf3", "-J", "-c", "127.0.0.1", "-p", port, "-P", str(streams),
             "-n", str(stream_bytes), *reverse], limit_s)
        server.reap(STOP_LIMIT_S)
        total = json.loads(client.output)["end"]["sum_received"]
        gb = total["bytes"] / GB
        ends = (server.cpu_s / gb, client.cpu_s / gb)
        sender, receiver = ends if reverse else ends[::-1]
        return {"bytes": total["bytes"], "seconds": total["seconds"],
                "mb_per_s": total["bytes"] / 1e6 / total["seconds"], "sender_s_per_gb": sender,
                "receiver_s_per_gb": receiver, "cpu_s_per_gb": sender + receiver}


def free_port():
    """iperf3 takes no port 0. Between this and its start another program could take the port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def build_go(build):
    """Builds the Go peers, or brings them up to date. Returns where they are."""
    go_dir = os.path.join(os.path.abspath(build), "go-peers")
    subprocess.run([os.path.join(HERE, "../interop/go/build.sh"), go_dir], check=True)
    return go_dir


def all_pairs(build):
    go_dir = build_go(build)
    callback = PeerPair(CALLBACK, build, "turbotunnel", "callback", 300)
    legacy_callback = PeerPair(LEGACY, build, "turbotunnel-legacy", "callback", 300)
    tuned, defaults = GoPair(TUNED, go_dir, True, 150), GoPair(DEFAULTS, go_dir, False, 0.1)
    pairs = (
        PeerPair(PLAIN, build, "plain", "blocking", 1000),
        IperfPair(IPERF, 1000),
        PeerPair(OURS, build, "turbotunnel", "blocking", 300),
        *(PeerPair(limited(n), build, "turbotunnel", "blocking", 300, "--max-packet", str(n))
          for n in PACKETS),
        PeerPair(LEGACY, build, "turbotunnel-legacy", "blocking", 300),
        PeerPair(CARRIERS, build, "turbotunnel", "blocking", 300, client_options=("--carriers", "4")),
        callback,
        PeerPair(SEALED, build, "turbotunnel-sealed", "callback", 300),
        tuned,
        defaults,
        MixedPair(GO_CLIENTS, callback, defaults),
        MixedPair(GO_SERVER, tuned, legacy_callback),
    )
    return {pair.name: pair for pair in pairs}
