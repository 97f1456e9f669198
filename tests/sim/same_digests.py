#!/usr/bin/env python3
"""same_digests - runs the same seeds with several builds of the simulator and compares the digests.

    same_digests.py FIRST-LAST[,FIRST-LAST...] SIM SIM...

What the core does may depend on nothing but its input: not on the optimiser, not on addresses, not
on what memory held before. Exit status: 0 all are the same, 1 not, 2 bad usage.
"""

import subprocess
import sys


def digest(sim, seed):
    run = subprocess.run([sim, str(seed)], stdout=subprocess.PIPE, text=True, check=False)
    return run.stdout.splitlines()[0] if run.returncode == 0 else f"{sim}: failed"


def main():
    if len(sys.argv) < 4:
        sys.stderr.write("usage: same_digests.py FIRST-LAST[,FIRST-LAST...] SIM SIM...\n")
        return 2
    ranges = [map(int, part.split("-")) for part in sys.argv[1].split(",")]
    seeds = [seed for first, last in ranges for seed in range(first, last + 1)]
    different = 0
    for seed in seeds:
        digests = {digest(sim, seed) for sim in sys.argv[2:]}
        if len(digests) > 1:
            different += 1
            print(f"seed {seed}: " + " / ".join(sorted(digests)))
    print(f"{len(seeds) - different} passed, {different} failed")
    return 1 if different else 0


sys.exit(main())
