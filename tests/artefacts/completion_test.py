#!/usr/bin/env python3
"""Completions: python3 tests/artefacts/completion_test.py BUILD_DIR [WORD]...

bash's function is called as bash calls it; zsh is given a terminal, and a key is pressed.
"""

import os
import pty
import re
import select
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGING = os.path.join(HERE, "..", "..", "packaging")
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import harness  # noqa: E402  pylint: disable=wrong-import-position
from harness import Failed, check, equal  # noqa: E402  pylint: disable=wrong-import-position

# For each program: what stands behind its name before options, and the options that take these words.
PROGRAMS = {
    "lilbastard": (((),), {"--how": ["fin", "freeze", "ghost", "rst"]}),
    "turbotunnel": ((("server",), ("client",), ("check",)), {}),
}


def program(name):
    return os.path.abspath(os.path.join(harness.build_dir, "apps", name))


def long_options(name, words):
    shown = subprocess.run([program(name), *words, "--help"], check=True, text=True, stdout=subprocess.PIPE)
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown.stdout))


def bash_completes(name, *words):
    """What bash offers for the last of these words."""
    script = f'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _{name} "$1" "${{@: -1}}" "${{@: -2:1}}"; ' \
             'printf "%s\\n" "${COMPREPLY[@]}"'  # fmt: skip
    done = subprocess.run(["bash", "-c", script, os.path.join(PACKAGING, "completion.bash"), program(name), *words],
                          check=True, text=True, stdout=subprocess.PIPE)  # fmt: skip
    return sorted(filter(None, done.stdout.split("\n")))


def test_bash_offers_every_option_that_help_names():
    for name, (commands, _) in PROGRAMS.items():
        for words in commands:
            offered = {word for word in bash_completes(name, *words, "--") if word.startswith("--")}
            equal(offered, long_options(name, words), f"{name} {words}")
            check(len(offered) > 5, f"{name} {words}: only {offered}")


def test_bash_offers_the_commands():
    equal(bash_completes("turbotunnel", "s"), ["server"], "for s")
    check({"client", "keygen"} <= set(bash_completes("turbotunnel", "")), "for nothing")


def test_bash_offers_what_begins_like_the_word():
    equal(bash_completes("lilbastard", "--after"), ["--after-bytes"], "for --after")


def test_bash_offers_the_words_of_an_option():
    for name, (commands, values) in PROGRAMS.items():
        for option, expected in values.items():
            equal(bash_completes(name, *commands[0], option, ""), expected, f"{name} {option}")


def test_bash_offers_files_for_a_file():
    check("completion.bash" in " ".join(bash_completes("lilbastard", "--dump", PACKAGING + "/")), "no files")


def zsh_shows(line, pattern):
    """Types a line and a tab in an interactive zsh, and waits until it shows the pattern."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="dumb", COLUMNS="200", PATH=os.path.dirname(program("x")) + ":" + os.environ["PATH"])
        os.execvp("zsh", ["zsh", "-f", "-i"])
    setup = f"fpath=({os.path.abspath(PACKAGING)} $fpath); autoload -U compinit; compinit -u -D; echo rea''dy\n"
    shown = ""
    end_s = time.monotonic() + harness.DEADLINE_S
    try:
        os.write(terminal, setup.encode())
        asked = False
        while not re.search(pattern, shown):
            if not asked and "ready" in shown.replace("rea''dy", ""):
                os.write(terminal, (line + "\t\t").encode())
                asked, shown = True, ""
            if not select.select([terminal], [], [], max(0, end_s - time.monotonic()))[0]:
                raise Failed(f"zsh does not show {pattern!r}, but {shown!r}")
            shown += os.read(terminal, 65536).decode(errors="replace")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def test_zsh_completes_options_and_their_words():
    zsh_shows("lilbastard --after", r"lilbastard --after-bytes")
    zsh_shows("turbotunnel ser", r"turbotunnel server")
    zsh_shows("turbotunnel client --server-", r"client --server-key")
    zsh_shows("lilbastard --how ", r"(?s)fin.*freeze.*ghost.*rst")


if __name__ == "__main__":
    harness.main(globals())
