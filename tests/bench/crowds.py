"""Very many sessions: what they cost while they have nothing to say, and how fast they come and go.

One round each: memory does not depend on what else the machine does, and processor time little.
"""

import contextlib
import dataclasses
import subprocess
import time

import children
from children import Child, Server
from pairs import CALLBACK, DEFAULTS, GO_CLIENTS, GO_SERVER, OURS, PLAIN, TUNED

OPEN_LIMIT_S = 120
GONE_LIMIT_S = 60
BURST_BYTES = 64_000  # echoed by each session before it has nothing to say
GREETING_BYTES = 64
MANY_VISITS = 1_000_000  # more than there is time for


# --- sessions that have nothing to say --------------------------------------------------------


@dataclasses.dataclass
class Crowd:
    """Sessions of one client process at a server of their own."""

    name: str  # of the pair
    count: int
    server: Server
    client: Child
    before_bytes: int
    before_descriptors: int

    def bytes_each(self):
        """Of the server's memory, once it has given back to the system what it does not use."""
        self.server.state()
        return (self.server.rss_bytes() - self.before_bytes) / self.count

    def leave(self):
        """The client is gone, without a word."""
        self.client.kill()
        self.server.wait_descriptors(self.before_descriptors, GONE_LIMIT_S)


def come(pair, server, count, burst_bytes):
    """Returns the client process of so many sessions that have echoed so much."""
    client = Child(pair.client("echo", server.address, idle=count, bytes=burst_bytes), subprocess.PIPE)
    client.wait_said("sessions are open$", OPEN_LIMIT_S)
    return client


def open_crowd(stack, pair, count, burst_bytes):
    server = stack.enter_context(Server(pair.crowd_server(count)))
    server.state()
    before = server.rss_bytes(), server.descriptors()
    return Crowd(pair.name, count, server, come(pair, server, count, burst_bytes), *before)


def watch(servers, seconds):
    """Returns the share of a core that each of them used."""
    before_s, began = [server.cpu_so_far_s() for server in servers], time.monotonic()
    time.sleep(seconds)  # not to wait for something: this long is watched
    took_s = time.monotonic() - began
    return [(server.cpu_so_far_s() - s) / took_s for server, s in zip(servers, before_s)]


def hold(bench, wanted, watch_s):
    """wanted: (pair's name, sessions, bytes that each echoes before) of crowds that are there at the
    same time. Returns what was found of each.
    """
    found = []
    with contextlib.ExitStack() as stack:
        crowds = []
        for name, count, burst_bytes in wanted:
            bench.progress(f"{count} idle sessions: {name}")
            crowds.append(open_crowd(stack, bench.pairs[name], count, burst_bytes))
        with_connections = [crowd.bytes_each() for crowd in crowds]
        shares = watch([crowd.server for crowd in crowds], watch_s)
        for crowd, bytes_with, share in zip(crowds, with_connections, shares):
            crowd.leave()
            found.append({"sessions": crowd.count, "cpu_share": share, "bytes_with": bytes_with,
                          "bytes_without": crowd.bytes_each()})
    return found


def idle(bench):
    """{pair's name: [what was found of each number of sessions]}. Those who are watched for long are
    watched together.
    """
    plan, results = bench.plan, {}
    for name in bench.present((PLAIN, OURS, TUNED, DEFAULTS)):
        results[name] = hold(bench, [(name, plan.idle_sessions, BURST_BYTES)], plan.idle_s)
    wanted = [(CALLBACK, count, BURST_BYTES) for count in plan.crowds]
    wanted += [(GO_CLIENTS, plan.crowds[-1], GREETING_BYTES)]
    for (name, *_), found in zip(wanted, hold(bench, wanted, plan.crowd_watch_s)):
        results.setdefault(name, []).append(found)
    return results


# --- sessions whose clients have gone ---------------------------------------------------------


def first_echo(pair, server, sessions):
    """How long new sessions, one after the other, take until their first echo."""
    got = children.run_json(
        pair.client("echo", server.address, visits=sessions, visitors=1), OPEN_LIMIT_S)
    return {"p50_us": got["p50_us"], "p99_us": got["p99_us"]}


def fill(bench, pair, server, count):
    """Batches of sessions come, and are left behind by clients that are killed."""
    descriptors = server.descriptors()
    for begun in range(0, count, bench.plan.batch_sessions):
        bench.progress(f"{begun} of {count} sessions without a connection")
        batch = min(bench.plan.batch_sessions, count - begun)
        come(pair, server, batch, GREETING_BYTES).kill()
        server.wait_descriptors(descriptors, GONE_LIMIT_S)


def held(bench):
    """One server: few sessions, then many. [what was found with each number of them]"""
    pair, plan, found = bench.pairs[CALLBACK], bench.plan, []
    few, many = plan.held_sessions
    with Server(pair.crowd_server(2 * many)) as server:
        server.state()
        before_bytes = server.rss_bytes()
        for count, more in ((few, few), (many, many - few)):
            fill(bench, pair, server, more)
            alive = server.state()["sessions"]
            bytes_each = (server.rss_bytes() - before_bytes) / count
            found.append({"sessions": count, "alive": alive, "bytes_each": bytes_each,
                          **first_echo(pair, server, plan.first_echoes)})
    return found


# --- sessions that come and go ----------------------------------------------------------------


def come_and_go(bench, pair):
    bench.progress(f"sessions that come and go: {pair.name}")
    with Server(pair.crowd_server(MANY_VISITS)) as server:
        server.state()
        before_bytes = server.rss_bytes()
        got = children.run_json(
            pair.client("echo", server.address, visits=MANY_VISITS, visitors=bench.plan.visitors,
                        duration=bench.plan.visits_s), OPEN_LIMIT_S + bench.plan.visits_s)
        server.state()
        after_bytes = server.rss_bytes()
    return {**got, "client_s": got["cpu_seconds"], "server_s": server.used_cpu_s(),
            "server_before_bytes": before_bytes, "server_after_bytes": after_bytes}


def visits(bench):
    return {name: [come_and_go(bench, bench.pairs[name])]
            for name in (CALLBACK, GO_SERVER, TUNED)}
