#!/usr/bin/env python3
"""The Debian packages: python3 tests/artefacts/package_test.py BUILD_DIR [WORD]...

They are built, and installed, used and purged on this machine as it is, but with all that changes kept
in memory: an overlay over the root directory, in a mount namespace of its own. That needs root.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import harness  # noqa: E402  pylint: disable=wrong-import-position
from harness import Failed, check, equal  # noqa: E402  pylint: disable=wrong-import-position

PACKAGES = ("turbotunnel", "libturbotunnel1", "libturbotunnel-dev")
# What packages leave behind by design: dpkg's own records, caches, logs, users that own files.
LEFT = re.compile(r"/(var/lib/dpkg|var/cache|var/log|var/lib/systemd|tmp|root|proc|dev|run)(/|$)"
                  r"|/etc/(ld\.so\.cache|\.pwd\.lock|(passwd|group|shadow|gshadow|subuid|subgid)-?)$")  # fmt: skip

MOUNT = """
mount -t tmpfs tmpfs "$0" && mkdir "$0/upper" "$0/work" "$0/root" &&
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root" &&
mount --rbind /proc "$0/root/proc" && mount --rbind /dev "$0/root/dev" && echo ready && read line
"""

C_PROGRAM = """
#include <stdio.h>
#include <turbotunnel/turbotunnel.h>
int main(void) { return puts(tt_version()) < 0; }
"""


class Machine:
    """This one, with its changes in memory. They go with it."""

    def __init__(self):
        check(os.geteuid() == 0, "this needs root: mount namespaces and dpkg")
        self.folder = tempfile.mkdtemp()
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT, self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
        said = self.holder.stdout.readline()
        if said != "ready\n":
            raise Failed(f"no overlay over the root directory: {said}{self.holder.stdout.read()}")

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        os.rmdir(self.folder)

    def _enter(self, *command, **how):
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--", *command], check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **how)  # fmt: skip

    def run(self, *command, given=None):
        """Runs it there; returns its output. It must succeed."""
        done = self._enter("chroot", self.folder + "/root", "env", "-C", "/tmp",
                           "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", *command, input=given)  # fmt: skip
        equal(done.returncode, 0, f"{command}: it said {done.stdout}")
        return done.stdout

    def changes(self):
        """Files that are not what they are on the real machine, or not there (as character devices)."""
        upper = self.folder + "/upper"
        listed = self._enter("find", upper, "-not", "-type", "d").stdout.splitlines()
        return sorted(name[len(upper):] for name in listed if not LEFT.match(name[len(upper):]))


machine = None


def folder_of_packages():
    return os.path.abspath(os.path.join(harness.build_dir, "packages"))


def packages():
    """Their files, without those of debugging symbols."""
    return [os.path.join(folder_of_packages(), name) for name in sorted(os.listdir(folder_of_packages()))
            if name.endswith(".deb") and "-dbgsym_" not in name]  # fmt: skip


def prepare():
    global machine  # pylint: disable=global-statement
    subprocess.run([os.path.join(ROOT, "scripts", "package"), folder_of_packages()], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    machine = Machine()
    machine.run("dpkg", "-i", *packages())


def project_version():
    with open(os.path.join(ROOT, "meson.build"), encoding="utf-8") as file:
        return re.search(r"^  version: '([^']+)'", file.read(), re.MULTILINE)[1]


def test_there_are_three_packages_of_this_version():
    fields = [subprocess.run(["dpkg-deb", "-f", path, "Package", "Version"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout for path in packages()]  # fmt: skip
    got = {tuple(re.findall(r": (\S+)", text)) for text in fields}
    equal(got, {(name, project_version()) for name in PACKAGES}, "packages")


def test_all_are_installed():
    state = machine.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n", *PACKAGES)
    equal(sorted(state.split("\n")[:-1]), sorted("ii " + name for name in PACKAGES), "state")
    equal(machine.run("dpkg", "--verify", *PACKAGES), "", "what dpkg finds changed")


def test_programs_have_manual_pages_and_run():
    listed = machine.run("dpkg", "-L", "turbotunnel").splitlines()
    programs = [name for name in listed if name.startswith("/usr/bin/")]
    check(programs, "no programs")
    for program in programs:
        name = os.path.basename(program)
        check(f"/usr/share/man/man1/{name}.1.gz" in listed, f"{name} has no manual page")
        check(f"/usr/share/bash-completion/completions/{name}" in listed, f"{name}: no completion (bash)")
        check(f"/usr/share/zsh/vendor-completions/_{name}" in listed, f"{name}: no completion (zsh)")
        equal(machine.run(program, "--version"), f"{name} {project_version()}\n", "version")


def test_a_program_builds_against_the_development_package_and_runs():
    flags = machine.run("pkg-config", "--cflags", "--libs", "turbotunnel").split()
    machine.run("gcc", "-Wall", "-Werror", "-x", "c", "-", "-o", "/tmp/program", *flags, given=C_PROGRAM)
    equal(machine.run("/tmp/program"), project_version() + "\n", "tt_version()")
    check("libturbotunnel.so.1 => /lib/" in machine.run("ldd", "/tmp/program"), "it is not the installed one")


def test_a_program_builds_statically_against_it_too():
    library = next(name for name in machine.run("dpkg", "-L", "libturbotunnel-dev").splitlines()
                   if name.endswith(".a"))  # fmt: skip
    machine.run("gcc", "-x", "c", "-", "-x", "none", library, "-luv", "-o", "/tmp/static", given=C_PROGRAM)
    equal(machine.run("/tmp/static"), project_version() + "\n", "tt_version()")


def test_python_finds_the_installed_library():
    example = os.path.join(ROOT, "examples", "embed", "echo.py")
    with open(example, encoding="utf-8") as source:
        text = source.read()
    output = machine.run("python3", "-c", text.partition("# --- the program ---")[0]
                         + "lib.tt_version.restype = c_char_p\nprint(lib.tt_version().decode())")  # fmt: skip
    equal(output, project_version() + "\n", "tt_version()")


def test_the_service_has_its_user_and_is_not_started():
    check(machine.run("getent", "passwd", "turbotunnel").split(":")[6].strip() == "/usr/sbin/nologin", "its shell")
    listed = machine.run("dpkg", "-L", "turbotunnel").splitlines()
    for unit in ("turbotunnel.service", "turbotunnel.socket"):
        check(f"/lib/systemd/system/{unit}" in listed, f"no {unit}")
    machine.run("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/turbotunnel.service")
    enabled = [name for name in machine.changes() if "turbotunnel" in name and ".wants/" in name]
    equal(enabled, [], "what a boot would start")


def test_nothing_is_left_after_a_purge():
    before = machine.changes()
    check("/usr/bin/lilbastard" in before, f"installing changed only {before}")
    machine.run("dpkg", "--purge", *PACKAGES)
    equal(machine.changes(), [], "files that are left or changed")


def run():
    try:
        harness.main(globals(), prepare=prepare)
    finally:
        if machine:
            machine.close()


if __name__ == "__main__":
    check(shutil.which("nsenter") and shutil.which("unshare"), "util-linux is not installed")
    run()
