#!/usr/bin/env python3
"""How hard it is to use a bug that is left: python3 tests/artefacts/hardening_test.py BUILD_DIR [WORD]...

readelf and nm look at the programs and the shared library, for what meson.build asks of compiler and
linker.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import harness  # noqa: E402  pylint: disable=wrong-import-position
from harness import check, equal  # noqa: E402  pylint: disable=wrong-import-position

LIBRARY = "src/libturbotunnel.so"
PROGRAMS = ("apps/lilbastard", "examples/plain/client", "examples/plain/server",
            "examples/turbotunnel/client", "examples/turbotunnel/server")  # fmt: skip
OBJECTS = ("src/libturbotunnel-core.a.p/core_kcp_kcp.c.o",
           "src/libturbotunnel.so.1.0.0.p/net_worker.c.o")  # fmt: skip


def path(name):
    return os.path.join(harness.build_dir, name)


def readelf(option, name):
    return subprocess.run(["readelf", "-W", option, path(name)], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True).stdout  # fmt: skip


def undefined(name):
    output = subprocess.run(["nm", "-D", "--undefined-only", path(name)], check=True,
                            stdout=subprocess.PIPE, text=True).stdout  # fmt: skip
    return {line.split()[-1].partition("@")[0] for line in output.splitlines()}


def each(names):
    for name in names:
        check(os.path.exists(path(name)), f"{name} is not built")
        yield name


def test_programs_are_position_independent():
    for name in each(PROGRAMS):
        check(re.search(r"Type:\s+DYN", readelf("-h", name)), f"{name} has a fixed address")
        check("PIE" in readelf("-d", name), f"{name} is not a position-independent executable")


def test_addresses_of_functions_cannot_be_overwritten():
    """Full RELRO: all is bound at the start, then made read-only."""
    for name in each(PROGRAMS + (LIBRARY,)):
        check("GNU_RELRO" in readelf("-l", name), f"{name} has no RELRO")
        check(re.search(r"FLAGS_1\).*\bNOW\b", readelf("-d", name)), f"{name} binds while it runs")


def test_the_stack_is_not_executable():
    for name in each(PROGRAMS + (LIBRARY,)):
        stack = re.search(r"GNU_STACK\s+(?:0x\w+\s+){5}(\S+)", readelf("-l", name))
        equal(stack and stack[1], "RW", f"{name}: rights of the stack")


def test_nothing_is_writable_and_executable():
    for name in each(PROGRAMS + (LIBRARY,)):
        rights = re.findall(r"LOAD\s+(?:0x\w+\s+){5}([RWE ]+?)\s+0x", readelf("-l", name))
        check(len(rights) >= 2, f"{name}: no segments found")
        check(not any("W" in r and "E" in r for r in rights), f"{name}: {rights}")


def test_the_stack_is_protected():
    for name in each(PROGRAMS + (LIBRARY,)):
        check("__stack_chk_fail" in undefined(name), f"{name} has no stack protector")


def test_calls_of_libc_are_checked():
    for name in each(PROGRAMS + (LIBRARY,)):
        checked = {symbol for symbol in undefined(name) if re.fullmatch(r"__\w+_chk", symbol)}
        check(checked, f"{name} is not fortified")


def test_objects_are_ready_for_a_shadow_stack():
    """A program is only when all it is linked from is, and Debian 12's startup files are not."""
    if os.uname().machine != "x86_64":
        return "not on this processor"
    for name in each(OBJECTS):
        check(re.search(r"x86 feature:.*SHSTK", readelf("-n", name)), f"{name} is not marked")
    return None


def test_nothing_is_searched_for_where_others_may_write():
    for name in each(PROGRAMS + (LIBRARY,)):
        for runpath in re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", readelf("-d", name)):
            check(runpath.startswith("$ORIGIN/"), f"{name}: searches libraries in {runpath}")


if __name__ == "__main__":
    harness.main(globals())
