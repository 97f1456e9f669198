#!/usr/bin/env python3
"""Sessions over connections that end, freeze and haunt: python3 tests/e2e/survival_test.py BUILD_DIR [WORD]...

Real programs, a real proxy (lilbastard), default options where none is named. What is asserted: every
byte came back, one session did it, and so many connections. The longest silence is printed, never asserted.

TT_LONG=1 in the environment (make check-long): the same faults with 10 MB each.
"""

import itertools

import harness
from echo import (TURBO_CLIENT, TURBO_SERVER, EchoClient, Proxy, TurboServer, echo, one_line, random_bytes)
from harness import LONG, Listener, check, equal, run

KIB, MIB = 1 << 10, 1 << 20


def survive(*options, size, pace=None, client=(), server=(), at_least=2, at_most=None, ended=None):
    """Echoes through a lilbastard with these options: all comes back, on one session, over so many
    connections; `ended` of them ended by the proxy. Returns a note."""
    data = random_bytes(10 * 1000 * 1000 if LONG else size)
    with TurboServer("--verbose", *server) as s, Proxy(*options, upstream=s.address) as proxy:
        result = echo(TURBO_CLIENT, "--verbose", *client, proxy.address, data=data, bytes_per_s=pace)
        result.must_be_whole(data)
        equal((proxy.stop(), s.stop()), (0, 0), "exit status of proxy and server")
        must_be_one_session(s.lines)
    stats, ends = result.stats, proxy.forwarded()[0]
    check(stats.connections >= at_least,
          f"{stats.connections} connections, {at_least} at least were to be used: nothing was put to the test")
    if not LONG:
        check(at_most is None or stats.connections <= at_most,
              f"{stats.connections} connections, {at_most} would have done")
    if ended is not None:
        check(ends >= ended if ended else ends == 0, f"the proxy ended {ends} connections, not {ended}")
    return (f"{result.seconds:.1f} s, {stats.connections} connections, {ends} ended, "
            f"longest silence {stats.silence_ms} ms")


def must_be_one_session(lines):
    equal(sum(line.endswith(": session begun") for line in lines), 1, f"sessions at the server: {lines}")


# --- connections that end, at a server with several workers -----------------------------------


def test_every_connection_finds_the_worker_of_its_session():
    """Which worker a session has depends on chance, so there are some."""
    return "; ".join(
        survive("-w", 0.2, size=300 * KIB, pace=300 * KIB, server=("--workers", 3),
                client=("--no-learning",), at_least=4, ended=3)
        for _ in range(3))


# --- connections that freeze ------------------------------------------------------------------


def test_connections_freeze_every_2_seconds():
    return survive("-w", 2, "--how", "freeze", size=900 * KIB, pace=200 * KIB, at_least=3, ended=2)


def test_connections_freeze_often():
    return survive("-w", 0.4, "--how", "freeze", size=600 * KIB, pace=200 * KIB, at_least=4, ended=3)


def freeze_after(limit, size):
    """From the first connection on, and nobody has said what the limit is. Half of what a connection
    forwards is ours where both directions count, so there are more than size / limit of them."""
    return survive("--after-bytes", limit, "--how", "freeze", size=size, at_least=size // 9216, ended=1)


def test_connections_freeze_after_9_kb_that_went_down():
    return freeze_after("down:9K", 200 * KIB)


def test_connections_freeze_after_9_kb_that_came_up():
    return freeze_after("up:9K", 200 * KIB)


def test_connections_freeze_after_9_kb_of_both():
    return freeze_after("9K", 200 * KIB)


def test_connections_freeze_and_none_can_be_made_for_a_while():
    return survive("-w", 0.7, "--how", "freeze", "--refuse", 0.7, size=400 * KIB, pace=150 * KIB, ended=1)


# --- ghosts -----------------------------------------------------------------------------------


def test_ghosts_every_1_5_seconds():
    """The server's end stays open and silent: what it is fed is lost, if anything is."""
    return survive("-w", 1.5, "--how", "ghost", size=800 * KIB, pace=200 * KIB, at_least=3, ended=2)


def test_ghosts_after_20_kb():
    return survive("--after-bytes", "20K", "--how", "ghost", size=200 * KIB, at_least=11, ended=1)


# --- budgets ----------------------------------------------------------------------------------


def test_a_budget_of_bytes_is_kept():
    """The proxy would end what took more than the budget in a direction: nothing is ended."""
    for way in ("up", "down"):
        note = survive("--after-bytes", f"{way}:64K", "--how", "freeze", client=("--carrier-max-bytes", 64000),
                       size=MIB, at_least=MIB // 64000, ended=0)
    return note


def test_a_budget_of_time_is_kept():
    return survive("-w", 5, "--how", "freeze", client=("--carrier-max-age", 0.5), size=500 * KIB,
                   pace=200 * KIB, at_least=5, ended=0 if not LONG else None)


# --- several ----------------------------------------------------------------------------------


def test_three_at_once_through_ends():
    return survive("-w", 0.4, "--jitter", 50, client=("--carriers", 3), size=MIB, pace=600 * KIB, at_least=6,
                   ended=3)


def test_three_at_once_through_resets():
    return survive("-w", 0.4, "--jitter", 50, "--how", "rst", client=("--carriers", 3), size=MIB,
                   pace=600 * KIB, at_least=6, ended=3)


def test_three_at_once_of_which_some_freeze():
    return survive("-w", 0.5, "--jitter", 50, "--how", "freeze", client=("--carriers", 3), size=800 * KIB,
                   pace=300 * KIB, at_least=6, ended=3)


def test_one_in_use_and_a_spare():
    return survive("-w", 0.5, "--jitter", 50, client=("--standby", 1), size=MIB, pace=500 * KIB, at_least=4,
                   ended=2)


def test_a_spare_for_what_freezes():
    return survive("-w", 0.5, "--jitter", 50, "--how", "freeze", client=("--standby", 1), size=600 * KIB,
                   pace=300 * KIB, at_least=4, ended=2)


def test_a_spare_stands_by_from_the_start():
    data = random_bytes(100 * KIB)
    with TurboServer() as server:
        with EchoClient(TURBO_CLIENT, "--verbose", "--standby", 1, server.address, data=data,
                        keep_open=True) as client:
            client.wait_line(r"connected .* \(connection 2\)")
            client.end_input()
            result = client.result()
    result.must_be_whole(data)
    equal(result.stats.connections, 2, "connections")


# --- nobody there for a while -----------------------------------------------------------------


def test_dials_are_refused_for_a_while():
    return survive("-w", 0.5, "--refuse", 1, size=900 * KIB, pace=300 * KIB, ended=1)


def test_dials_are_refused_after_a_reset():
    return survive("-w", 0.5, "--how", "rst", "--refuse", 1, size=900 * KIB, pace=300 * KIB, ended=1)


def restart_server(client_options, server_options, what):
    """The client's session would time out in 10 minutes: it is the new server that says so."""
    data = random_bytes(8 * MIB)
    with TurboServer(*server_options) as server:
        with EchoClient(TURBO_CLIENT, *client_options, server.address, data=data, bytes_per_s=MIB) as client:
            client.wait_received(100 * KIB)
            server.process.kill()
            server.process.wait()
            with TurboServer(*server_options, listen=server.address):
                result = client.result()
    line = one_line(result.lines)
    equal((result.status, line[:14]), (1, "session lost: "), what)
    return f"{line!r}"


def test_a_server_that_was_restarted_says_that_the_session_is_lost():
    return restart_server((), (), "a native pair")


def test_a_restart_with_three_connections_in_use():
    return restart_server(("--carriers", 3), (), "three connections")


def test_a_restart_with_nothing_to_say():
    """At rest nothing but the end of the connection tells the client."""
    with TurboServer() as server:
        with EchoClient(TURBO_CLIENT, server.address, data=b"x", keep_open=True) as client:
            client.wait_received(1)
            server.process.kill()
            server.process.wait()
            with TurboServer(listen=server.address):
                result = client.result()
    equal((result.status, one_line(result.lines)[:14]), (1, "session lost: "), "the end")


def test_a_server_that_is_not_there_is_said_in_one_line():
    with Listener() as listener:
        address = listener.address
    for options in ((), ("--carriers", 3), ("--standby", 1), ("--legacy",)):
        status, output, lines = run(TURBO_CLIENT, *options, address)
        equal((status, output), (1, ""), f"{options}: exit status and output")
        equal(one_line(lines), f"connect to {address}: Connection refused (is the server running there?)",
              f"{options}")


def test_a_name_that_cannot_be_resolved_is_said_in_one_line():
    for options in ((), ("--carriers", 3), ("--legacy",)):
        status, output, lines = run(TURBO_CLIENT, *options, "no..such.name:80")
        equal((status, output), (1, ""), f"{options}: exit status and output")
        check(one_line(lines).startswith("resolve no..such.name:80: "), lines)
    equal(run(TURBO_SERVER, "no..such.name:80")[0], 1, "exit status of the server")


# --- the worked example's protocol ------------------------------------------------------------

PEERS = {"client": (("--legacy",), ()), "server": ((), ("--legacy",)), "both": (("--legacy",), ("--legacy",))}
FAULTS = {
    "ends": (("-w", 0.3), MIB, MIB, 3),
    "resets": (("-w", 0.3, "--how", "rst"), MIB, MIB, 3),
    "ghosts": (("-w", 0.5, "--how", "ghost"), 500 * KIB, 300 * KIB, 3),
    # The client learns the limit, and a legacy server must be left without its help.
    "ends_after_20_kb": (("--after-bytes", "20K"), 200 * KIB, None, 11),
    "resets_after_20_kb": (("--after-bytes", "20K", "--how", "rst"), 200 * KIB, None, 11),
    "freezes": (("--after-bytes", "100K", "--how", "freeze"), 200 * KIB, None, 3),
}


def add_legacy(end, fault):
    (client, server), (options, size, pace, at_least) = PEERS[end], FAULTS[fault]

    def test():
        return survive(*options, client=client, server=server, size=size, pace=pace, at_least=at_least)

    test.__name__ = f"test_legacy_{end}_through_{fault}"
    globals()[test.__name__] = test


for names in itertools.product(PEERS, FAULTS):
    add_legacy(*names)

if __name__ == "__main__":
    harness.main(globals(), jobs=4)
