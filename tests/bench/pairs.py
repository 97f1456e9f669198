"""The pairs of programs that are compared, and the command lines that make them do the same."""

import dataclasses
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))

PLAIN, OURS, TUNED, DEFAULTS = "plain TCP", "turbotunnel", "Go, tuned", "Go, defaults"
CALLBACK = "turbotunnel, callbacks"


@dataclasses.dataclass
class Pair:
    name: str
    guess_mb_per_s: float  # for the very first run alone, which is not counted


class PeerPair(Pair):
    """tests/bench/peer at both ends."""

    def __init__(self, name, build, kind, api, guess_mb_per_s):
        super().__init__(name, guess_mb_per_s)
        self.peer = os.path.join(build, "tests/bench/peer")
        self.options = ["--kind", kind, "--api", api]
        self.examples = os.path.join(build, "examples", kind)

    def server(self, mode, stream_bytes=0):
        return [self.peer, "server", *self.options, "--mode", mode, "127.0.0.1:0"]

    def client(self, mode, address, **options):
        words = [word for name, value in options.items() for word in ("--" + name, str(value))]
        return [self.peer, "client", *self.options, "--mode", mode, *words, address]

    def example_server(self):
        return [self.examples + "/server", "127.0.0.1:0"]

    def example_client(self, address):
        return [self.examples + "/client", address]


class GoPair(Pair):
    def __init__(self, name, go_dir, tuned, guess_mb_per_s):
        super().__init__(name, guess_mb_per_s)
        self.go_dir = go_dir
        self.options = ["-tuned"] if tuned else []

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


def build_go(build):
    """Builds the Go peers, or brings them up to date. Returns where they are."""
    go_dir = os.path.join(os.path.abspath(build), "go-peers")
    subprocess.run([os.path.join(HERE, "../interop/go/build.sh"), go_dir], check=True)
    return go_dir


def all_pairs(build):
    go_dir = build_go(build)
    pairs = (
        PeerPair(PLAIN, build, "plain", "blocking", 1000),
        PeerPair(OURS, build, "turbotunnel", "blocking", 300),
        PeerPair(CALLBACK, build, "turbotunnel", "callback", 300),
        GoPair(TUNED, go_dir, True, 150),
        GoPair(DEFAULTS, go_dir, False, 0.1),
    )
    return {pair.name: pair for pair in pairs}
