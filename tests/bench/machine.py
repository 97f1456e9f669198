"""What the numbers depend on. No names of hosts or users, no paths."""

import json
import os
import platform
import re
import subprocess


def first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError:
        return "not installed"
    return (done.stdout.decode(errors="replace").splitlines() or ["unknown"])[0]


def read(path, pattern=r"(.*)"):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read())
    except OSError:
        return "unknown"
    return found[1].strip() if found else "unknown"


def compiler_words(build):
    with open(os.path.join(build, "meson-info/intro-targets.json"), encoding="utf-8") as file:
        targets = json.load(file)
    peer = next(target for target in targets if target["name"] == "peer")
    return peer["target_sources"][0]["compiler"]


def compiler(build):
    """The compiler's first line, with the name that it was called by in place of its path."""
    return first_line(*compiler_words(build), "--version")


def compiler_major(build):
    """gcc or clang, and its major version."""
    name = "clang" if "clang" in compiler(build) else "gcc"
    return f"{name} {first_line(*compiler_words(build), '-dumpversion').partition('.')[0]}"


def build_option(build, name):
    with open(os.path.join(build, "meson-info/intro-buildoptions.json"), encoding="utf-8") as file:
        return next(str(o["value"]) for o in json.load(file) if o["name"] == name)


def package(name):
    return first_line("dpkg-query", "-W", "-f", "${Version}\n", name)


def commit(root):
    name = first_line("git", "-C", root, "rev-parse", "--short=12", "HEAD")
    changed = subprocess.run(["git", "-C", root, "diff", "--quiet", "HEAD", "--", "src", "include",
                              "examples", "apps"], check=False).returncode
    return name + (", with changes" if changed else "")


def memory_gb():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def facts(build, root, load):
    """Rows of (what, which)."""
    version = re.match(r"[\d.]*\d", platform.release())[0]  # what follows is whose it is
    return (
        ("commit", commit(root)),
        ("processor", read("/proc/cpuinfo", r"model name\s*:(.*)")),
        ("cores", len(os.sched_getaffinity(0))),
        ("memory", f"{memory_gb():.0f} GB"),
        ("kernel", f"{platform.system()} {version} {platform.machine()}"),
        ("congestion control", read("/proc/sys/net/ipv4/tcp_congestion_control")),
        ("compiler", f"{compiler(build)}, {build_option(build, 'buildtype')}"),
        ("libuv", package("libuv1")),
        ("Go", first_line("go", "version").removeprefix("go version ")),
        ("kcp-go", package("golang-github-xtaci-kcp-dev")),
        ("smux (Go)", package("golang-github-xtaci-smux-dev")),
        ("iperf3", first_line("iperf3", "--version")),
        ("load before", f"{load:.2f}"),
        ("niceness", os.nice(0)),
    )
