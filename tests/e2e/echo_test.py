#!/usr/bin/env python3
"""The echo pairs from outside: python3 tests/e2e/echo_test.py BUILD_DIR [WORD]...

What holds for both pairs is tested on both. None of the tests asserts how fast something is.
"""

import hashlib
import os
import pty
import re
import signal
import tempfile

import harness
from echo import (PLAIN_CLIENT, PLAIN_SERVER, TURBO_CLIENT, TURBO_SERVER, EchoClient,
                  PlainServer, Proxy, TurboServer, built, echo, memory_limit, one_line, random_bytes, rss_bytes)
from harness import Listener, Program, check, equal, run

PAIRS = ((PLAIN_CLIENT, PlainServer), (TURBO_CLIENT, TurboServer))
PROGRAMS = (PLAIN_CLIENT, PLAIN_SERVER, TURBO_CLIENT, TURBO_SERVER)
MIB = 1 << 20


def word(program):
    """How a program calls itself: client or server."""
    return os.path.basename(program)


# --- what goes in comes out -------------------------------------------------------------------


def test_every_size_comes_back():
    for client, server_of in PAIRS:
        with server_of() as server:
            for size in (0, 1, 2, 1375, 1376, 1377, 65535, 65536, 65537, 8 * MIB):
                data = random_bytes(size)
                echo(client, server.address, data=data).must_be_whole(data)


def test_all_values_of_a_byte_come_back():
    data = bytes(range(256)) * 3 + b"\r\n\0\x04\x1a\xff\xfe" + bytes(1000)
    for client, server_of in PAIRS:
        with server_of() as server:
            echo(client, server.address, data=data).must_be_whole(data)


def test_input_may_be_a_file():
    data = random_bytes(8 * MIB, seed=2)
    for client, server_of in PAIRS:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink, server_of() as server:
            source.write(data)
            source.seek(0)
            with Program(client, server.address, stdin=source, stdout=sink) as program:
                equal(program.wait(), 0, f"exit status of {client}")
            sink.seek(0)
            equal(hashlib.sha256(sink.read()).hexdigest(), hashlib.sha256(data).hexdigest(), client)


def test_input_may_be_nothing():
    for client, server_of in PAIRS:
        with server_of() as server:
            status, output, lines = run(client, server.address)  # from /dev/null
            equal((status, output, lines), (0, "", []), client)


def test_input_and_output_may_be_a_terminal():
    for client, server_of in PAIRS:
        keyboard, terminal = pty.openpty()
        with server_of() as server:
            with Program(client, server.address, stdin=terminal, stdout=terminal) as program:
                os.close(terminal)
                os.write(keyboard, b"hello\n")
                # What was typed is shown by the terminal, and then comes back.
                read_until(keyboard, b"hello\r\nhello\r\n")
                os.write(keyboard, b"again\n\x04")
                equal(program.wait(), 0, f"exit status of {client}")
        os.close(keyboard)


def read_until(fd, expected):
    got = b""
    while not got.endswith(expected):
        got += os.read(fd, 4096)
        check(len(got) <= len(expected), f"the terminal shows {got!r}")


def test_what_was_sent_comes_back_before_input_ends():
    for client, server_of in PAIRS:
        with server_of() as server:
            with EchoClient(client, server.address, data=b"ping", keep_open=True) as c:
                c.wait_received(4)
                c.end_input()
                c.result().must_be_whole(b"ping")


# --- addresses --------------------------------------------------------------------------------


def test_servers_listen_on_ipv6_and_on_names():
    for client, server_of in PAIRS:
        for listen, form in (("[::1]:0", r"\[::1\]:\d+"), ("localhost:0", r"127\.0\.0\.1:\d+|\[::1\]:\d+"),
                             ("127.0.0.1:0", r"127\.0\.0\.1:\d+")):
            with server_of(listen=listen) as server:
                check(re.fullmatch(form, server.address), f"{listen}: {server.address}")
                echo(client, server.address, data=b"x").must_be_whole(b"x")


def test_clients_resolve_names():
    for client, server_of in PAIRS:
        for listen in ("127.0.0.1:0", "localhost:0"):
            with server_of(listen=listen) as server:
                port = server.address.rsplit(":", 1)[1]
                echo(client, f"localhost:{port}", data=b"name").must_be_whole(b"name")


def test_a_server_without_a_host_listens_on_all_addresses():
    for client, server_of in PAIRS:
        with server_of(listen=":0") as server:
            port = server.address.rsplit(":", 1)[1]
            echo(client, f"127.0.0.1:{port}", data=b"any").must_be_whole(b"any")


def test_a_port_in_use_is_said_in_one_line():
    for program in (PLAIN_SERVER, TURBO_SERVER):
        with Listener() as taken:
            status, _, lines = run(program, taken.address)
            equal(status, 1, f"exit status of {program}")
            line = one_line(lines, "server")
            check(re.search(rf"listen on {re.escape(taken.address)}: Address already in use \(.*port", line),
                  line)


def test_a_name_that_does_not_exist_is_said_in_one_line():
    for program in PROGRAMS:  # two dots: no name server need be asked
        status, _, lines = run(program, "no..such.name:80")
        equal(status, 1, f"exit status of {program}")
        line = one_line(lines, word(program))
        check(re.search(r"resolve no\.\.such\.name:80: .+ \(is the name right\?\)", line), line)


def test_a_refused_connection_is_said_in_one_line():
    for program in (PLAIN_CLIENT, TURBO_CLIENT):
        with Listener() as listener:
            address = listener.address
        status, _, lines = run(program, address)
        equal(status, 1, f"exit status of {program}")
        equal(one_line(lines), f"connect to {address}: Connection refused (is the server running there?)",
              program)


# --- the command line -------------------------------------------------------------------------

BAD = ([], ["127.0.0.1"], ["127.0.0.1:"], ["127.0.0.1:70000"], ["127.0.0.1:x"], ["a:1", "b:2"],
       ["--nonsense", "127.0.0.1:0"], ["-x", "127.0.0.1:0"], ["x" * 300 + ":1"], [""])
BAD_TIMEOUTS = [["--session-timeout", seconds, "127.0.0.1:0"]
                for seconds in ("", "x", "0", "-1", "nan", "inf", "1x", "1e30")] + [["--session-timeout"]]
BAD_SMUX = [["--smux", version, "127.0.0.1:0"] for version in ("", "0", "3", "12", "x")] + [["--smux"]]
BAD_WORKERS = [["--workers", count, "127.0.0.1:0"]
               for count in ("", "0", "257", "-1", "x", "2x", "99999999999999999999")] + [["--workers"]]
BAD_ADDRESSES = (["::1:80"], ["[::1:80"], ["[::1]80"], ["127.0.0.1:-1"], ["127.0.0.1:+1"])


def test_bad_arguments_are_said_in_one_line():
    for program in PROGRAMS:
        bad = list(BAD)
        if "turbotunnel" in program:
            bad += BAD_TIMEOUTS
            bad += BAD_ADDRESSES
        if program == TURBO_CLIENT:
            bad += BAD_SMUX
        if program == TURBO_SERVER:
            bad += BAD_WORKERS
        for arguments in bad:
            status, output, lines = run(program, *arguments)
            equal((status, output), (2, ""), f"{program} {arguments}: {lines}")
            one_line(lines, word(program))


def test_help_and_version():
    for program in PROGRAMS:
        status, output, lines = run(program, "--help")
        equal((status, lines), (0, []), f"{program} --help")
        check(f"Usage: {word(program)}" in output and "ADDR:PORT" in output, output)
        status, output, lines = run(program, "--version")
        equal((status, lines), (0, []), f"{program} --version")
        check(re.fullmatch(rf"(plain|turbotunnel) {word(program)} \d+\.\d+\.\d+\n", output), output)


def test_every_option_is_in_the_help():
    for program in PROGRAMS:
        with open(built(program), "rb") as binary:
            known = set(re.findall(rb"\0(smux|session-timeout|workers|verbose|help|version)\0", binary.read()))
        output = run(program, "--help")[1]
        for option in known:
            check(f"--{option.decode()}" in output, f"{program} does not tell about --{option.decode()}")


# --- signals ----------------------------------------------------------------------------------


def test_a_signal_ends_a_client_with_one_line():
    for client, server_of in PAIRS:
        for number in (signal.SIGINT, signal.SIGTERM):
            with server_of() as server:
                with EchoClient(client, server.address, data=b"x", keep_open=True) as c:
                    c.wait_received(1)
                    c.process.send_signal(number)
                    result = c.result()
                    equal((result.status, one_line(result.lines)), (1, "interrupted"), client)


def test_a_signal_ends_a_server_in_order():
    for client, server_of in PAIRS:
        for number in (signal.SIGINT, signal.SIGTERM):
            with server_of() as server:
                echo(client, server.address, data=b"x")
                equal(server.stop(number), 0, f"exit status after signal {number}")
                equal(len(server.lines), 1, f"lines on standard error: {server.lines}")


# --- ends that must not be silent -------------------------------------------------------------


def test_output_into_a_closed_pipe_ends_it():
    data = random_bytes(8 * MIB)
    for client, server_of in PAIRS:
        reading, writing = os.pipe()
        os.close(reading)
        with server_of() as server, tempfile.TemporaryFile() as source:
            source.write(data)
            source.seek(0)
            with Program(client, server.address, stdin=source, stdout=writing) as program:
                os.close(writing)
                equal(program.wait(), 1, f"exit status of {client}")
                equal(one_line(program.lines), "write standard output: Broken pipe", client)


def test_output_on_a_full_disk_ends_it():
    for client, server_of in PAIRS:
        with server_of() as server, open("/dev/full", "wb") as full, open(built(client), "rb") as source:
            with Program(client, server.address, stdin=source, stdout=full) as program:
                equal(program.wait(), 1, f"exit status of {client}")
                equal(one_line(program.lines), "write standard output: No space left on device", client)


def test_input_that_cannot_be_read_ends_it():
    for client, server_of in PAIRS:
        directory = os.open("/", os.O_RDONLY)
        with server_of() as server, Program(client, server.address, stdin=directory) as program:
            os.close(directory)
            equal(program.wait(), 1, f"exit status of {client}")
            equal(one_line(program.lines), "read standard input: Is a directory", client)


def test_the_plain_client_is_lost_with_its_connection():
    with PlainServer() as server, Proxy("--after-bytes", "1M", upstream=server.address) as proxy:
        result = echo(PLAIN_CLIENT, proxy.address, data=random_bytes(8 * MIB))
        equal(result.status, 1, "exit status")
        one_line(result.lines)


def test_the_plain_client_is_lost_with_its_server():
    for end in (signal.SIGKILL, signal.SIGTERM):
        with PlainServer() as server:
            with EchoClient(PLAIN_CLIENT, server.address, data=b"x" * 1000, keep_open=True) as client:
                client.wait_received(1000)
                server.process.send_signal(end)
                result = client.result()
                equal(result.status, 1, "exit status")
                one_line(result.lines)


def test_the_client_redials_until_its_session_times_out():
    with TurboServer() as server:
        with EchoClient(TURBO_CLIENT, "--session-timeout", 2, "--verbose", server.address, data=b"x" * 1000,
                        keep_open=True) as client:
            client.wait_received(1000)
            server.process.kill()
            client.wait_line("dial failed .*; next try in 50 ms")
            client.wait_line("dial failed .*; next try in 100 ms")
            client.wait_line("dial failed .*; next try in 200 ms")
            result = client.result()
            equal(result.status, 1, "exit status")
            check(any(line.startswith("client: session lost: ") for line in result.lines), result.lines)


def test_without_verbose_a_lost_session_is_one_line():
    with TurboServer() as server:
        with EchoClient(TURBO_CLIENT, "--session-timeout", 1, server.address, data=b"x", keep_open=True) as c:
            c.wait_received(1)
            server.process.kill()
            result = c.result()
            equal((result.status, one_line(result.lines)[:14]), (1, "session lost: "), "the end")


def restart_server_under_a_client(data, kill_after, **how):
    """Kills the server when so many bytes have come back, and starts another at its address."""
    with TurboServer() as server:
        with EchoClient(TURBO_CLIENT, "--session-timeout", 3, server.address, data=data, **how) as client:
            client.wait_received(kill_after)
            server.process.kill()
            server.process.wait()
            with TurboServer(listen=server.address):
                result = client.result()
    equal((result.status, one_line(result.lines)[:14]), (1, "session lost: "), "the end")


def test_a_server_that_restarts_while_data_flows_has_lost_the_session():
    restart_server_under_a_client(random_bytes(64 * MIB), MIB, bytes_per_s=16 * MIB)


def test_a_server_that_restarts_at_rest_has_lost_the_session():
    restart_server_under_a_client(random_bytes(1000), 1000, keep_open=True)


def test_a_server_that_restarts_early_has_lost_the_session():
    # So few segments were sent that a new server could mistake the next one for a beginning.
    restart_server_under_a_client(b"x", 1, keep_open=True)


def test_a_server_that_forgets_a_session_tells_its_client():
    """The server's session timeout is shorter than an outage: the client must not hang, nor exit 0."""
    with TurboServer("--session-timeout", 0.3, "--verbose") as server:
        with Proxy("--after-bytes", "up:3000", "--refuse", 1, upstream=server.address) as proxy:
            with EchoClient(TURBO_CLIENT, "--session-timeout", 5, proxy.address, data=random_bytes(100000),
                            keep_open=True) as client:
                server.wait_line("session ended")
                client.end_input()
                result = client.result()
    equal((result.status, one_line(result.lines)[:14]), (1, "session lost: "), "the end")


# --- a network that is against us -------------------------------------------------------------


def through_a_proxy(*options, min_connections, size=2 * MIB, pace=None):
    data = random_bytes(size)
    with TurboServer() as server, Proxy(*options, upstream=server.address) as proxy:
        result = echo(TURBO_CLIENT, "--verbose", proxy.address, data=data, bytes_per_s=pace)
        result.must_be_whole(data)
        check(result.stats.connections >= min_connections,
              f"{result.stats.connections} connections: nothing was put to the test")
        equal((proxy.stop(), server.stop()), (0, 0), "exit status of proxy and server")
    s = result.stats
    return (f"{result.seconds:.1f} s, {s.connections} connections, {s.retransmissions} of {s.segments} sent "
            f"again, longest silence {s.silence_ms} ms")


def test_terminations_by_fin():
    return through_a_proxy("-w", 0.2, pace=2 * MIB, min_connections=4)


def test_terminations_by_rst():
    return through_a_proxy("-w", 0.2, "--how", "rst", pace=2 * MIB, min_connections=4)


def test_terminations_by_ghost():
    return through_a_proxy("-w", 0.2, "--how", "ghost", pace=2 * MIB, min_connections=4)


def test_terminations_after_very_few_bytes():
    return through_a_proxy("--after-bytes", 20000, size=512 << 10, min_connections=20)


def test_terminations_by_rst_after_very_few_bytes():
    return through_a_proxy("--after-bytes", 20000, "--how", "rst", size=512 << 10, min_connections=20)


def test_terminations_after_hardly_any_bytes():
    return through_a_proxy("--after-bytes", 5000, size=20 << 10, min_connections=5)


def test_terminations_by_the_bytes_that_came_up():
    return through_a_proxy("--after-bytes", "up:50K", min_connections=20)


def test_terminations_by_the_bytes_that_went_down():
    return through_a_proxy("--after-bytes", "down:50K", min_connections=20)


def test_outages_after_each_end():
    return through_a_proxy("-w", 0.3, "--refuse", 1, pace=MIB, min_connections=2)


def test_a_long_way():
    return through_a_proxy("--delay", 50, "-w", 0.5, min_connections=2, pace=MIB)


def test_a_long_way_with_jitter():
    return through_a_proxy("--delay", 20, "-w", 0.3, "--jitter", 80, "--seed", 7, min_connections=3, pace=MIB)


def test_a_narrow_way():
    return through_a_proxy("--rate", "512K", "-w", 0.5, min_connections=3)


def test_a_narrow_way_with_little_room():
    return through_a_proxy("--rate", "512K", "--buffer", "16K", "--after-bytes", "256K", min_connections=3)


def test_connections_that_freeze_are_got_past():
    data = random_bytes(MIB)
    with TurboServer() as server:
        with Proxy("--after-bytes", "100K", "--how", "freeze", upstream=server.address) as proxy:
            result = echo(TURBO_CLIENT, "--verbose", proxy.address, data=data)
            result.must_be_whole(data)
            check(result.stats.connections >= 10, f"only {result.stats.connections} connections")


# --- many, and slow ones ----------------------------------------------------------------------


def test_twenty_clients_at_once():
    for client, server_of in PAIRS:
        with server_of() as server:
            run_twenty(client, server.address)


def test_twenty_clients_at_once_through_terminations():
    with TurboServer() as server, Proxy("-w", 0.3, "--how", "rst", upstream=server.address) as proxy:
        run_twenty(TURBO_CLIENT, proxy.address, pace=MIB)
        equal(server.stop(), 0, "exit status of the server")


def run_twenty(client, address, pace=None):
    datas = [random_bytes(MIB + i, seed=100 + i) for i in range(20)]
    clients = [EchoClient(client, address, data=data, bytes_per_s=pace) for data in datas]
    try:
        for c, data in zip(clients, datas):
            c.result().must_be_whole(data)
    finally:
        for c in clients:
            c.__exit__()


# All that may wait between standard input and standard output while nobody reads: two stream windows
# of 4 MiB, buffers of writers, TCP and pipes.
MOST_WAITING = 48 * MIB


def test_a_reader_that_waits_loses_nothing_and_costs_no_memory():
    data = random_bytes(96 * MIB)
    notes = []
    for client, server_of in PAIRS:
        with server_of() as server, EchoClient(client, server.address, data=data, hold_output=True) as c:
            wait_until_stuck(c)
            check(c.fed < MOST_WAITING, f"{c.fed >> 20} MiB were taken although nobody reads")
            most = max(rss_bytes(c.pid), rss_bytes(server.pid))
            check(most < memory_limit(client, MOST_WAITING), f"{most >> 20} MiB of memory in use")
            notes.append(f"{os.path.dirname(client)[9:]}: {c.fed >> 20} MiB taken, {most >> 20} MiB resident")
            c.release()
            c.result().must_be_whole(data)
    return ", ".join(notes)


def wait_until_stuck(client):
    """Until all that can wait has been taken. On a machine that stands still for a second this is too
    early, and the test tests less."""
    while client.is_fed_within(1):
        pass


if __name__ == "__main__":
    harness.main(globals(), jobs=2)
