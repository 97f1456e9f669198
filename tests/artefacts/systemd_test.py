#!/usr/bin/env python3
"""The server as a service: python3 tests/artefacts/systemd_test.py BUILD_DIR [WORD]...

systemd's own tools look at the units and at the user; nothing is started.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGING = os.path.join(HERE, "..", "..", "packaging")
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import harness  # noqa: E402  pylint: disable=wrong-import-position
from harness import check, equal  # noqa: E402  pylint: disable=wrong-import-position

# Of 100: what `systemd-analyze security` adds up for what a service may do. The network is most of it.
MOST_EXPOSURE = 15

MUST_HAVE = (
    "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "MemoryDenyWriteExecute=yes",
    "CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "SystemCallFilter=@system-service", "User=turbotunnel",
    "Type=notify",
)  # fmt: skip


def service():
    """The unit as it was configured, but with the program where it was built."""
    with open(os.path.join(harness.build_dir, "packaging", "turbotunnel.service"), encoding="utf-8") as file:
        text = file.read()
    program = os.path.abspath(os.path.join(harness.build_dir, "apps", "turbotunnel"))
    changed, times = re.subn(r"^ExecStart=\S+/turbotunnel ", f"ExecStart={program} ", text, flags=re.MULTILINE)
    equal(times, 1, "lines with ExecStart")
    return changed


def analyze(*words):
    """Runs systemd-analyze with both units in a folder. Returns its exit status and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        unit = os.path.join(folder, "turbotunnel.service")
        with open(unit, "w", encoding="utf-8") as file:
            file.write(service())
        shutil.copy(os.path.join(PACKAGING, "turbotunnel.socket"), folder)
        done = subprocess.run(["systemd-analyze", *words, unit, *([unit[:-7] + "socket"] if "verify" in words else [])],
                              check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=harness.DEADLINE_S)  # fmt: skip
        return done.returncode, done.stdout


def test_systemd_finds_nothing_wrong_with_the_units():
    status, said = analyze("verify", "--man=no")
    # What it says of other units of this machine is not ours.
    ours = [line for line in said.splitlines() if "turbotunnel" in line]
    equal((status, ours), (0, []), f"it said {said}")


def test_the_service_may_do_little():
    status, said = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSURE}")
    bad = "\n".join(line for line in said.splitlines() if "\u2713" not in line)  # without what is well
    equal(status, 0, f"{bad}\nexit status")
    return re.search(r"exposure level for turbotunnel.service: ([0-9.]+)", said)[1]


def test_the_service_has_what_matters_most():
    lines = service().splitlines()
    equal([line for line in MUST_HAVE if line not in lines], [], "missing")


def test_systemd_makes_the_user():
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(os.path.join(root, "etc"))
        subprocess.run(["systemd-sysusers", f"--root={root}",
                        os.path.abspath(os.path.join(PACKAGING, "turbotunnel.sysusers"))],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        with open(os.path.join(root, "etc", "passwd"), encoding="utf-8") as file:
            lines = [line.split(":") for line in file if line.startswith("turbotunnel:")]
        equal([line[5:] for line in lines], [["/", "/usr/sbin/nologin\n"]], "home and shell")


if __name__ == "__main__":
    harness.main(globals())
