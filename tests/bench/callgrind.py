"""Instructions of a program, counted by valgrind's callgrind: no clock, no noise."""

import re

import children

# Copies as every x86-64 can make them. The faster ways differ from processor to processor, and one of
# them counts as an instruction for each byte.
PLAINEST_COPIES = "GLIBC_TUNABLES=glibc.cpu.hwcaps=-ERMS,-AVX,-AVX2,-AVX512F,-AVX512VL"
LIMIT_S = 120  # of one run


def count(command, within=None):
    """Instructions of one run; `within`: of this function alone, and of what it calls."""
    words = ["env", PLAINEST_COPIES, "valgrind", "--tool=callgrind", "--log-fd=1",
             "--callgrind-out-file=/dev/null"]
    words += [f"--toggle-collect={within}"] if within else []
    said = children.run([*words, *command], LIMIT_S).output.decode()
    found = re.search(r"Collected : (\d+)", said)
    if not found or int(found[1]) == 0:
        raise children.Failed(f"{' '.join(command)}: callgrind counted nothing:\n{said}")
    return int(found[1])


def count_one(count_many, numbers):
    """Instructions for one of what count_many(number) counts so many of. It is the difference of a
    longer and a shorter run, so that what is done once is not in it.
    """
    fewer, more = numbers
    return (count_many(more) - count_many(fewer)) / (more - fewer)
