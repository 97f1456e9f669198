"""The Go peers of tests/interop/go: built when they have changed, and run."""

import fcntl
import hashlib
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import harness  # noqa: E402  pylint: disable=wrong-import-position
from echo import Server  # noqa: E402  pylint: disable=wrong-import-position

SOURCES = os.path.join(HERE, "go")


def fingerprint():
    """Of everything that decides what is built."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(SOURCES):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            digest.update(os.path.relpath(path, SOURCES).encode() + b"\0")
            with open(path, "rb") as source:
                digest.update(source.read())
    return digest.hexdigest()


def out_dir():
    return os.path.abspath(os.path.join(harness.build_dir, "interop-go"))


def build():
    """Builds go-client and go-server below the build directory, unless these sources are built."""
    os.makedirs(out_dir(), exist_ok=True)
    stamp = os.path.join(out_dir(), "built-from")
    with open(os.path.join(out_dir(), "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = fingerprint()
        if os.path.exists(stamp):
            with open(stamp, encoding="ascii") as have:
                if have.read() == wanted:
                    return
        subprocess.run([os.path.join(SOURCES, "build.sh"), out_dir()], check=True)
        with open(stamp, "w", encoding="ascii") as have:
            have.write(wanted)


def go_client():
    return os.path.join(out_dir(), "go-client")


class GoServer(Server):
    def __init__(self, *args, **how):
        super().__init__(os.path.join(out_dir(), "go-server"), *args, **how)


def json_stats(lines):
    """What -stats wrote: the last line that is JSON."""
    for line in reversed(lines):
        if line.startswith("{"):
            return json.loads(line)
    raise harness.Failed(f"no line of statistics: {lines}")
