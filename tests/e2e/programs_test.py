#!/usr/bin/env python3
"""Real programs through connections that end or freeze: over plain TCP, and through turbotunnel.

    tests/e2e/programs_test.py BUILD_DIR [WORD]...

Every program goes four ways: {plain, through the tool} x {`lilbastard -w 2`, which ends each connection
after 2 s; `lilbastard --how freeze --after-bytes 64K`, which lets each fall silent after 64 KiB}. Through the
tool, sealed, all must be well. Over plain TCP each must fail: else the proxy has proved nothing. The table at
the end is the one in README.md, which must have it so.

With `-w 2` nothing is forwarded faster than RATE, so that what must take longer than 2 s does so on any
machine. Each program has a proxy and a session of its own. With TT_LONG=1 some take longer.
"""

import collections
import contextlib
import filecmp
import os
import re
import select
import subprocess
import tempfile
import time

import harness
from echo import Proxy
from harness import Failed, Program, check, equal
from services import EVENT_EVERY_S, MB, Services, environment, event, postgresql, random_file
from tunnel import TUNNEL

RATE = "8M"
ENDED = ("-w", "2", "--rate", RATE)
FROZEN = ("--how", "freeze", "--after-bytes", "64K")

LIMIT_S = 1200 if harness.LONG else 180  # for one of them; never reached when all is well
MARGIN_S = 10  # what takes so much longer, once a connection has ended, than it would undisturbed hangs

TERMINATIONS = 20  # that the interactive session lives through
BENCH_S = 20 if harness.LONG else 8
EVENTS_S = 60 if harness.LONG else 20
REDIS_REQUESTS = 300_000 if harness.LONG else 100_000

WELL, LOST, HANGS = "all well", "lost", "hangs"

services = None


class Hangs(Failed):
    """It was not done when it should have been."""


def end(child):
    """Asked first: scp ends its ssh then."""
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()


# --- the ways ---------------------------------------------------------------------------------


class Way(contextlib.ExitStack):
    """How a program gets to a service. .folder is the program's own.

    tcp(service)    the port at 127.0.0.1 to connect to
    socks(service)  words for curl and the start of the URL
    ssh(how)        words for ssh, scp and sftp; how: the tool's for a ProxyCommand, None for a port
    """

    def __init__(self, bastard):
        super().__init__()
        self.bastard = bastard
        self.proxy = None

    def __enter__(self):
        super().__enter__()
        self.limit_s = time.monotonic() + LIMIT_S
        self.folder = self.enter_context(tempfile.TemporaryDirectory(dir=services.folder))
        return self

    def file(self, megabytes):
        """What is to be moved. Through freezes a tenth of it: one costs about 0.1 s, and 10 MB see up to 160."""
        return file_of(megabytes if self.bastard is ENDED or harness.LONG else megabytes // 10)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE):
        """Runs a program to its good end. Returns what it printed, standard error last."""
        words, output = list(map(str, command)), None
        with subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, cwd=self.folder,
                              env=environment(self.folder)) as child:
            while output is None:
                try:
                    output = child.communicate(timeout=1)
                except subprocess.TimeoutExpired:
                    if self.is_over():
                        end(child)
                        raise Hangs(f"{words[0]} does not end") from None
        said = b"".join(piece or b"" for piece in output).decode(errors="replace")
        check(child.returncode == 0, f"{words[0]} ended with {child.returncode}: {said[-1000:]}")
        return said

    def is_over(self):
        """Whether it is no use to wait any longer."""
        return time.monotonic() > self.limit_s

    def connections(self):
        """(opened, ended on purpose). It leads nowhere afterwards."""
        self.proxy.stop()
        return tuple(sum(word in line for line in self.proxy.lines) for word in (" opened from ", " terminated ("))


class Plain(Way):
    def __init__(self, bastard, seconds):
        super().__init__(bastard)
        self._patience_s = seconds + MARGIN_S
        self._ended = False

    def is_over(self):
        if not self._ended and self.proxy.has_line(r" terminated \("):
            self._ended = True
            self.limit_s = time.monotonic() + self._patience_s
        return super().is_over()

    def tcp(self, service):
        self.proxy = self.enter_context(Proxy(*self.bastard, upstream=service.address))
        return int(self.proxy.address.split(":")[1])

    def socks(self, service):
        return [], f"http://127.0.0.1:{self.tcp(service)}"

    def ssh(self, how):
        return services.ssh.options + ["-o", f"Port={self.tcp(services.ssh)}"]


class Tunnel(Way):
    """A sealed session; a program that has the tool as its ProxyCommand makes one for itself."""

    def __enter__(self):
        super().__enter__()
        key = self.path("key")
        status, public, lines = harness.run(TUNNEL, "keygen", key)
        equal(status, 0, f"keygen: {lines}")
        rules = [word for s in (services.ssh, services.http, services.postgresql, services.redis, services.git,
                                services.events) for word in ("--allow", s.address)]
        server = self.enter_context(Program(TUNNEL, "server", "--listen", "tcp://127.0.0.1:0", "--key", key,
                                            "--forward", services.ssh.address, *rules))
        address = server.wait_line(r'listening on tcp://([^\s"]+)').group(1)
        self.proxy = self.enter_context(Proxy(*self.bastard, upstream=address))
        self.client = ("client", "--connect", "tcp://" + self.proxy.address, "--server-key", public.strip())
        return self

    def _listen(self, *options):
        client = self.enter_context(Program(TUNNEL, *self.client, *options))
        return int(client.wait_line(r"listening on \S+:(\d+)").group(1))

    def tcp(self, service):
        return self._listen("-L", f"0:{service.address}")

    def socks(self, service):
        port = self._listen("-D", "0")
        return ["--socks5-hostname", f"127.0.0.1:{port}"], f"http://localhost:{service.port}"

    def ssh(self, how):
        if how is None:
            return services.ssh.options + ["-o", f"Port={self.tcp(services.ssh)}"]
        program = os.path.abspath(os.path.join(harness.build_dir, TUNNEL))
        return services.ssh.options + ["-o", "ProxyCommand=" + " ".join((program, *self.client, "--quiet", *how))]


# --- the programs -----------------------------------------------------------------------------


def same(got, expected):
    check(filecmp.cmp(got, expected, shallow=False), f"{got} is not {expected}")


def file_of(megabytes):
    """The same for all that ask for that size; nginx gives it as well."""
    return os.path.join(services.http.files, f"{megabytes}")


def to_sshd():
    return ("-W", services.ssh.address)


def scp_up(way):
    options, source = way.ssh(to_sshd()), way.file(50)
    way.run("scp", "-q", *options, source, f"127.0.0.1:{way.path('copy')}")
    same(way.path("copy"), source)


def sftp_down(way):
    options, source = way.ssh(None), way.file(50)
    way.run("sftp", "-q", *options, f"127.0.0.1:{source}", way.path("copy"))
    same(way.path("copy"), source)


def ssh_cat(way):
    """cat ends when its input does, which ssh says in its own protocol; TCP's half close is in tunnel_test.py."""
    options, source = way.ssh(("--stdio",)), way.file(20)
    with open(source, "rb") as data, open(way.path("copy"), "wb") as copy:
        way.run("ssh", *options, "127.0.0.1", "cat", stdin=data, stdout=copy)
    same(way.path("copy"), source)


def ssh_interactive(way):
    """A command and its answer, more than 64 KiB of it, after each time that a connection ended."""
    options = way.ssh((*to_sshd(), "--no-learning"))
    with Shell(way, "ssh", "-tt", *options, "127.0.0.1") as shell:
        shell.say("stty -echo -onlcr; PS1=; PS2=; exec sh -i")
        shell.say("PS1=")
        for n in range(TERMINATIONS):
            if way.bastard is ENDED:
                way.proxy.wait_line(r" terminated \(")
            answer = shell.ask(f"head -c 50001 /dev/zero | base64 -w 0; echo; echo round-$(({n} * 7))-done",
                               f"round-{n * 7}-done\n")
            equal(answer.count(b"A"), 66668, "the length of an answer")
        shell.say("exit 7")
        equal(shell.wait(), 7, "the exit status of the shell")


class Shell:
    """A program on pipes that one talks with."""

    def __init__(self, way, *command):
        self._way = way
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=way.folder,
                                       stderr=subprocess.DEVNULL, env=environment(way.folder))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.wait()
        self._child.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()

    def say(self, command):
        try:
            self._child.stdin.write(command.encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise Failed("the session has ended") from None

    def ask(self, command, last):
        """Returns what came until it ended with this."""
        self.say(command)
        answer = b""
        while not answer.endswith(last.encode()):
            ready, _, _ = select.select([self._child.stdout], [], [], 1)
            if not ready:
                self._must_go_on()
                continue
            piece = os.read(self._child.stdout.fileno(), 1 << 16)
            check(piece, "the session has ended")
            answer += piece
        return answer

    def _must_go_on(self):
        if self._way.is_over():
            raise Hangs("there is no answer")

    def wait(self):
        while True:
            try:
                return self._child.wait(1)
            except subprocess.TimeoutExpired:
                self._must_go_on()


CURL = ("curl", "-q", "-sS", "--fail")


def curl_down(way):
    source = way.file(100)
    words, url = way.socks(services.http)
    way.run(*CURL, *words, f"{url}/{os.path.basename(source)}", "-o", "copy")
    same(way.path("copy"), source)


def curl_up(way):
    source, name = way.file(100), os.path.basename(way.folder)
    way.run(*CURL, "-T", source, f"http://127.0.0.1:{way.tcp(services.http)}/up/{name}")
    same(os.path.join(services.http.uploads, name), source)


def curl_parallel(way):
    words, url = way.socks(services.http)
    way.run(*CURL, "--parallel", "--parallel-immediate", "--parallel-max", 200, *words,
            f"{url}/slow/[0-199]", "-o", "#1")
    for i in range(services.http.SMALL_FILES):
        same(way.path(str(i)), services.http.small(i))


def curl_keep_alive(way):
    """Eight requests over one connection, two a second."""
    said = way.run(*CURL, "--rate", "120/m", "-w", "%{stderr}%{num_connects}\n",
                   f"http://127.0.0.1:{way.tcp(services.http)}/small/[0-7]", "-o", "#1")
    for i in range(8):
        same(way.path(str(i)), services.http.small(i))
    equal(said.split(), ["1"] + ["0"] * 7, "the new connections of each request")


def pgbench(way):
    name = "bench_" + re.sub(r"\W", "_", os.path.basename(way.folder))
    services.postgresql.create_database(name, way.folder)
    where = ("-h", "127.0.0.1", "-p", way.tcp(services.postgresql), "-U", "postgres")
    way.run(postgresql("pgbench"), *where, "-i", "-q", name)
    said = way.run(postgresql("pgbench"), *where, "-c", 8, "-T", BENCH_S, name)
    equal(re.search(r"number of failed transactions: (\d+)", said)[1], "0", "failed transactions")
    count = int(re.search(r"number of transactions actually processed: (\d+)", said)[1])
    check(count > 0, "no transaction")
    return f"{count} transactions"


def redis_benchmark(way):
    said = way.run("redis-benchmark", "-h", "127.0.0.1", "-p", way.tcp(services.redis), "-n", REDIS_REQUESTS,
                   "-c", 50, "-t", "set,get", "-d", 100, "-q")
    check("rror" not in said, said)
    rates = re.findall(r"([0-9.]+) requests per second", said)
    equal(len(rates), 2, f"how many kinds of request were measured: {said}")
    return f"{' and '.join(rates)} requests a second"


def events(way):
    """Held open; each event once and in order."""
    count = int(EVENTS_S / EVENT_EVERY_S)
    way.run(*CURL, "-N", f"http://127.0.0.1:{way.tcp(services.events)}/{count}", "-o", "events")
    with open(way.path("events"), "rb") as file:
        check(file.read() == b"".join(map(event, range(count))), "events are missing")


def git_clone(way):
    way.run("git", "clone", "-q", f"git://127.0.0.1:{way.tcp(services.git)}/repository", "clone")
    way.run("git", "-C", "clone", "fsck", "--full", "--strict")
    equal(way.run("git", "-C", "clone", "rev-parse", "HEAD"), services.git.head.decode(), "the head")


# The longest come first. seconds: how long it takes when nothing is in its way but RATE.
Case = collections.namedtuple("Case", "function what seconds")
CASES = [
    Case(ssh_interactive, f"`ssh -tt`: a shell through {TERMINATIONS} ends", 0),
    Case(events, "`curl -N`: an event stream, held open", EVENTS_S),
    Case(curl_down, "`curl --socks5-hostname`: 100 MB down", 13),
    Case(curl_up, "`curl -T`: 100 MB up", 13),
    Case(pgbench, "`pgbench -i`, then `-c 8`: no failed transaction", BENCH_S + 2),
    Case(scp_up, "`scp`: 50 MB up", 7),
    Case(sftp_down, "`sftp`: 50 MB down", 7),
    Case(ssh_cat, "`ssh host cat <file`: 20 MB, there and back", 3),
    Case(redis_benchmark, "`redis-benchmark -c 50`: no error", 10),
    Case(git_clone, "`git clone`: 25 MB", 4),
    Case(curl_keep_alive, "`curl`: 8 requests over one connection", 5),
    Case(curl_parallel, "`curl --parallel`: 200 slow requests at once", 4),
]

results = {}  # (case, way, what the proxy does): what came of it


def plain_test(case, bastard, expected):
    def test():
        with Plain(bastard, case.seconds) as way:
            note = None
            try:
                note = case.function(way)
                result = WELL
            except Hangs as problem:
                result, note = HANGS, problem
            except Failed as problem:
                result, note = LOST, problem
            results[case, "plain", bastard] = result
            opened, ended = way.connections()
            check(ended >= 1, f"no connection was ended: {note}")
            equal(result, expected, f"over plain TCP, with {ended} of {opened} connections ended: {note}")
            return " ".join(str(note).split())[:150] if note else None
    return test


def tunnel_test(case, bastard):
    def test():
        began = time.monotonic()
        results[case, "tunnel", bastard] = LOST
        with Tunnel(bastard) as way:
            note = case.function(way)
            took_s = time.monotonic() - began
            opened, ended = way.connections()
        results[case, "tunnel", bastard] = WELL
        check(opened >= 2, "one connection was enough: nothing was tried")
        if case.function is ssh_interactive:
            check(ended >= TERMINATIONS, f"only {ended} connections were ended")
        return f"{took_s:.1f} s, {opened} connections, {ended} of them ended by the proxy; {note or ''}".rstrip("; ")
    return test


def tests():
    """All four ways of a program beside each other, since they mostly wait."""
    found = {}
    for case in CASES:
        for word, bastard, expected in (("ended", ENDED, LOST), ("frozen", FROZEN, HANGS)):
            for way, test in (("through_turbotunnel", tunnel_test(case, bastard)),
                              ("over_plain_tcp", plain_test(case, bastard, expected))):
                test.__name__ = f"test_{case.function.__name__}_{way}_{word}"
                found[test.__name__] = test
    return found


# --- the table --------------------------------------------------------------------------------


def table():
    lines = ["| | each connection ends after 2 s: plain TCP | turbotunnel | each freezes after 64 KiB: plain TCP "
             "| turbotunnel |", "|---|---|---|---|---|"]
    for case in CASES:
        cells = [results[case, way, bastard] for bastard in (ENDED, FROZEN) for way in ("plain", "tunnel")]
        lines.append(f"| {case.what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def readme_has_the_table():
    shown = table()
    print("\n" + shown + "\n")
    readme = os.path.join(os.path.dirname(__file__), "..", "..", "README.md")
    with open(readme, encoding="utf-8") as file:
        check(shown in file.read(), "README.md has another table than the one above")


def prepare(stack):
    global services
    services = stack.enter_context(Services())
    for megabytes in (2, 5, 10, 20, 50, 100):
        random_file(file_of(megabytes), megabytes * MB, megabytes)


if __name__ == "__main__":
    with contextlib.ExitStack() as everything:
        harness.main(tests(), jobs=12, prepare=lambda: prepare(everything), last=readme_has_the_table)
