#!/usr/bin/env python3
"""The commands of docs/tutorial.md, as they stand there, and the output that it shows.

    tests/e2e/tutorial_test.py BUILD_DIR [WORD]...

Indented blocks are commands, or, when no line of them starts one, what the commands before print: each line
of it must be there, in order, `...` standing for anything. They are run by one shell, in a folder that has
`build` and `include` in it. What is changed: ports, for free ones; ssh is given the key of a test; and
after a program that is started with `&` the next line waits until it listens, as one does who types.
"""

import os
import re
import shutil
import subprocess
import tempfile

import harness
from harness import check
from services import Port, Ssh, environment, must_be_there

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMANDS = re.compile(r"(build/|scripts/|\./|[A-Z]+=|ssh |make|for |kill |gcc )")
PORTS = ("7000", "7001", "8000")
LIMIT_S = 120
MARK = "=== block "


def blocks():
    """(number of the first line, lines) of each indented block outside of fences."""
    found, block, fenced = [], [], False
    with open(os.path.join(ROOT, "docs/tutorial.md"), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            fenced ^= line.startswith("```")
            if line.startswith("    ") and not fenced:
                block = block or [number]
                block.append(line[4:].rstrip("\n"))
            elif block:
                found.append((block[0], block[1:]))
                block = []
    return found


def is_commands(lines):
    return any(COMMANDS.match(line) for line in lines)


def fences(language):
    with open(os.path.join(ROOT, "docs/tutorial.md"), encoding="utf-8") as file:
        return re.findall(rf"^```{language}\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL)


def with_ports(line, ports):
    return re.sub(r"(?<=[: ])(22|7000|7001|8000)\b", lambda match: str(ports[match[1]]), line)


def wait_until_it_listens(port):
    return (f"for i in $(seq 600); do grep -q ':{port:04X} 00000000:0000 0A' /proc/net/tcp && break; "
            "sleep 0.05; done")  # fmt: skip


def script(commands, ports):
    """One shell has to run all of it: jobs and variables go on from block to block."""
    lines = ["set -m"]
    for number, block in commands:
        lines.append(f"echo '{MARK}{number}'")
        for line in block:
            lines.append(with_ports(line, ports))
            if line.endswith("&"):
                listens = re.search(r":(\d+)", line)
                if listens:
                    lines.append(wait_until_it_listens(ports[listens[1]]))
                else:  # ./shout, on the port that its source names
                    lines.append(wait_until_it_listens(ports["8000"]))
            elif line.startswith("kill "):
                lines += ["wait " + line[5:] + " 2>/dev/null", "jobs >/dev/null"]
    return "\n".join(lines + ["jobs -p | xargs -r kill", ""])


def must_be_shown(number, lines, output):
    """Each line of it, one behind the other. What is in brackets is said about it, not by it."""
    at = 0
    for line in lines:
        if line.startswith("  ("):
            continue
        pattern = ".*".join(map(re.escape, line.split("...")))
        match = re.compile(pattern).search(output, at)
        check(match, f"docs/tutorial.md:{number}: {line!r} is not in what was printed:\n{output}")
        at = match.end()


def run_all(folder, ssh):
    held = {port: Port() for port in PORTS}
    ports = {"22": ssh.port, **{port: one.number for port, one in held.items()}}
    for one in held.values():
        one.socket.close()  # the tutorial's programs take them again and again
    for name, target in (("build", os.path.abspath(harness.build_dir)), ("include", ROOT + "/include")):
        os.symlink(target, os.path.join(folder, name))
    [source] = fences("c")
    with open(os.path.join(folder, "shout.c"), "w", encoding="utf-8") as file:
        file.write(with_ports(source, ports))
    os.mkdir(os.path.join(folder, "bin"))
    with open(os.path.join(folder, "bin/ssh"), "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nexec {shutil.which('ssh')} {' '.join(ssh.options)} \"$@\"\n")
    os.chmod(os.path.join(folder, "bin/ssh"), 0o755)
    commands = [(number, lines) for number, lines in blocks()
                if is_commands(lines) and not lines[0].startswith("scripts/bootstrap")]
    env = environment(folder)
    env["PATH"] = os.path.join(folder, "bin") + ":" + env["PATH"]
    log = os.path.join(folder, "log")
    with open(log, "wb") as out:
        shell = subprocess.Popen(["bash", "-c", script(commands, ports)], cwd=folder, env=env,
                                 stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            shell.wait(LIMIT_S)
        finally:
            shell.kill()
            shell.wait()
    with open(log, encoding="utf-8", errors="replace") as file:
        return dict(re.findall(rf"^{MARK}(\d+)\n(.*?)(?=^{MARK}|\Z)", file.read(), re.MULTILINE | re.DOTALL))


def test_each_command_does_what_the_tutorial_says():
    with tempfile.TemporaryDirectory(prefix="turbotunnel-tutorial-") as folder:
        with Ssh(folder) as ssh:
            printed = run_all(folder, ssh)
    output, shown = "", 0
    for number, lines in blocks():
        if is_commands(lines):
            output = printed.get(str(number), "")
            check("command not found" not in output and "No such file" not in output, output)
        else:
            must_be_shown(number, lines, output)
            shown += 1
    check(shown >= 4, "the tutorial shows no output")
    return f"{len(printed)} blocks of commands, {shown} of output"


if __name__ == "__main__":
    harness.main(globals(), prepare=must_be_there)
