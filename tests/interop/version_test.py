#!/usr/bin/env python3
"""Versions of smux that do not match: python3 tests/interop/version_test.py BUILD_DIR [WORD]...

A Go server speaks one version. One that gets the other gives the session up and says nothing: KCP
goes on acknowledging. Our client must find that out by itself, and say what to do.
"""

import os
import re
import subprocess

import peers
from peers import GoServer

import harness
from echo import TURBO_CLIENT, EchoClient, TurboServer, echo, one_line, random_bytes
from harness import check, equal


def must_advise(result, smux):
    equal(result.status, 1, f"exit status, after {result.lines}")
    line = one_line(result.lines)
    check(re.match(rf"session lost: .*try --smux {smux}$", line), line)
    return f"{result.seconds:.1f} s, {line!r}"


def mismatch(ours, theirs, data):
    with GoServer("-smux", theirs) as server:
        # Its input stays open: nothing but the version may end it.
        with EchoClient(TURBO_CLIENT, "--smux", ours, server.address, data=data, keep_open=True) as client:
            return must_advise(client.result(), theirs)


def test_smux_2_to_a_server_of_smux_1():
    return mismatch(2, 1, b"hello")


def test_smux_1_to_a_server_of_smux_2():
    return mismatch(1, 2, b"hello")


def test_smux_2_to_a_server_of_smux_1_with_much_to_say():
    return mismatch(2, 1, random_bytes(4 << 20))


def test_smux_1_to_a_server_of_smux_2_with_much_to_say():
    return mismatch(1, 2, random_bytes(4 << 20))


def test_a_client_without_input_is_told_too():
    with GoServer("-smux", 1) as server:
        return must_advise(echo(TURBO_CLIENT, "--smux", 2, server.address, data=b""), 1)


def test_the_peers_are_those_that_the_documentation_names():
    """Another version may behave in another way: whoever changes it reads docs/spec/ again."""
    path = os.path.join(peers.HERE, "..", "..", "docs", "versions.md")
    with open(path, encoding="utf-8") as page:
        named = dict(re.findall(r"^\| ([\w-]+)[^|]* \| ([0-9.]+) \(Debian 12\) \|", page.read(), re.MULTILINE))
    for name, package in (("kcp-go", "kcp"), ("smux", "smux")):
        command = ["dpkg-query", "-W", "-f", "${Version}", f"golang-github-xtaci-{package}-dev"]
        installed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        equal(named.get(name), re.match(r"[0-9.]+", installed)[0], f"{name}: named, and installed")


def test_our_server_takes_both():
    with TurboServer() as server:
        for smux in (1, 2, 1):
            data = random_bytes(1 << 20)
            echo(TURBO_CLIENT, "--smux", smux, server.address, data=data).must_be_whole(data)
            echo(peers.go_client(), "-smux", smux, "-tuned", server.address, data=data).must_be_whole(data)


if __name__ == "__main__":
    harness.main(globals(), jobs=3, prepare=peers.build)
