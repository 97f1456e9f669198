"""A server with one worker and with two: what many sessions get, and what limits them.

Generator and server share the machine's cores, so what is gained here says little by itself. Hence the
processor time of each of the server's threads: a server whose busiest thread has half of the work for
as much, does twice as much when each thread has a core and the clients are elsewhere.
"""

import dataclasses
import json
import os
import subprocess
import time

import children
from children import Child, Server
from pairs import CALLBACK

COUNTS = (1, 2)
MANY_SESSIONS = 1_000_000


@dataclasses.dataclass
class Load:
    name: str
    unit: str        # as in "MB/s"; processor time is in us for each
    mode: str
    clients: int     # processes
    options: object  # seconds -> options of a client
    amount: object   # what a client has printed -> how much it moved


LOADS = (
    Load("40 uploads", "MB", "sink", 40, lambda s: {"duration": s},
         lambda said: said["mb_per_s"] * said["seconds"]),
    Load("8 ping-pongs", "round trip", "echo", 8, lambda s: {"pingpong": 1_000_000, "duration": s},
         lambda said: said["round_trips"]),
    Load("new sessions, 64 at once", "session", "echo", 2,
         lambda s: {"visits": MANY_SESSIONS, "visitors": 32, "duration": s},
         lambda said: said["sessions"]),
)


def thread_times_s(pid):
    """{thread: processor time so far}"""
    times = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            times[thread] = int(file.read().split()[0]) / 1e9
    return times


def run_load(pair, load, workers, seconds):
    *command, address = pair.server(load.mode)
    options = ["--workers", str(workers), "--most", str(MANY_SESSIONS)]
    with Server([*command, *options, address]) as server:
        before = thread_times_s(server.process.pid)
        began = time.monotonic()
        clients = [Child(pair.client(load.mode, server.address, **load.options(seconds)),
                         stdout=subprocess.PIPE) for _ in range(load.clients)]
        said = [json.loads(child.process.stdout.read()) for child in clients]
        took_s = time.monotonic() - began
        used = [s - before.get(thread, 0)
                for thread, s in thread_times_s(server.process.pid).items()]
        if any(child.reap(60) != 0 for child in clients):
            raise children.Failed(f"{load.name}: a client failed")
    return {"amount": sum(load.amount(one) for one in said), "seconds": took_s,
            "server_s": sum(used), "threads_s": sorted(used, reverse=True),
            "clients_s": sum(child.cpu_s for child in clients)}


def measure(bench):
    """{load's name: {number of workers: what was found}}"""
    pair, found = bench.pairs[CALLBACK], {}
    for load in LOADS:
        found[load.name] = {}
        for workers in COUNTS:
            bench.progress(f"{load.name}: {workers} workers")
            found[load.name][workers] = run_load(pair, load, workers, bench.plan.workers_s)
    return found


def most_gain(one, two, cores):
    """How much more two workers can give than one on so many cores, with what both ends cost: a worker
    uses one core at most, and all together no more than there are.
    """
    def most(run, workers):
        return min(workers * run["amount"] / run["server_s"],
                   cores * run["amount"] / (run["server_s"] + run["clients_s"]))
    return most(two, 2) / most(one, 1)


def scaling(one, two):
    """How much more two workers give when each thread has a core: by the busiest one's work."""
    return ((one["threads_s"][0] / one["amount"]) / (two["threads_s"][0] / two["amount"]))
