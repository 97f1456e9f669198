#!/usr/bin/env python3
"""The vectors of sealed sessions, made again: python3 tests/interop/seal_vectors_test.py BUILD_DIR [WORD]...

tests/vectors/seal was made by programs that share no code with ours, and what they make today must be
what the unit tests read. Handshakes are made by two of them, in Go and in Python.
"""

import difflib
import os
import subprocess

import peers

import harness
from harness import check

VECTORS = os.path.join(peers.HERE, "..", "vectors", "seal")
FILES = ("crypto", "noise", "keys", "data")

# Debian's own: its packages are in no other Python.
PYTHON = "/usr/bin/python3"
GOPATH = os.environ.get("DEBIAN_GOPATH", "/usr/share/gocode")


def path_of(name):
    return os.path.join(VECTORS, name + ".txt")


def maker():
    return os.path.join(peers.out_dir(), "make_vectors")


def build():
    os.makedirs(peers.out_dir(), exist_ok=True)
    env = {**os.environ, "GOPATH": GOPATH, "GOCACHE": os.path.join(peers.out_dir(), "gocache"),
           "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local"}  # fmt: skip
    source = os.path.join(VECTORS, "make_vectors.go")
    subprocess.run(["go", "build", "-o", maker(), source], check=True, env=env)


def must_be_made_by(name, *command):
    with open(path_of(name), encoding="ascii") as file:
        stored = file.read().splitlines()
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    differences = list(difflib.unified_diff(stored, made, "stored", "made", lineterm="", n=1))
    check(len(stored) > 10 and not differences, f"{name}.txt: " + "\n".join(differences[:10]))
    return f"{len(stored)} lines"


def test_go_makes_all_of_them_again():
    return ", ".join(f"{name}: {must_be_made_by(name, maker(), name)}" for name in FILES)


def test_python_makes_the_handshakes_again():
    return must_be_made_by("noise", PYTHON, os.path.join(VECTORS, "noise_again.py"), path_of("noise"))


if __name__ == "__main__":
    harness.main(globals(), prepare=build)
