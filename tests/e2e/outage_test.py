#!/usr/bin/env python3
"""Sessions over a link that goes and comes back: python3 tests/e2e/outage_test.py BUILD_DIR [WORD]...

Packets vanish without a FIN or an RST, which no proxy of connections can do: tests/e2e/netns.py, which
needs root. What is asserted: every byte came back, the server had one session, and how many connections
were used. An outage is as long as it is said to be; nothing is asserted about what comes of that in time.

TT_LONG=1 in the environment (make check-long): also outages of 90 seconds.
"""

import contextlib
import threading
import time

import harness
from echo import TURBO_CLIENT, EchoClient, TurboServer, random_bytes
from harness import LONG, check, equal
from netns import BadLink

KIB = 1 << 10


@contextlib.contextmanager
def pair(link, data, client=(), server=(), **how):
    """A server and a client in their namespaces: (client, server)."""
    with link.server.inside():
        s = TurboServer("--verbose", *server, listen=f"{link.server.ipv4}:0")
    with s:
        with link.client.inside():
            c = EchoClient(TURBO_CLIENT, "--verbose", *client, s.address, data=data, **how)
        with c:
            yield c, s


def finish(client, server, data, at_least=1, at_most=None):
    """Waits for the client's end: whole, one session, so many connections. Returns a note."""
    result = client.result()
    result.must_be_whole(data)
    equal(server.stop(), 0, "exit status of the server")
    equal(sum(line.endswith(": session begun") for line in server.lines), 1, f"sessions: {server.lines}")
    used = result.stats.connections
    check(used >= at_least, f"{used} connections: nothing was put to the test")
    check(at_most is None or used <= at_most, f"{used} connections, where {at_most} would do: {result.lines}")
    return f"{result.seconds:.1f} s, {used} connections, longest silence {result.stats.silence_ms} ms"


def last(seconds):
    """An outage lasts: nothing is waited for, this is how long the link is away."""
    threading.Event().wait(seconds)


# --- nothing passes ---------------------------------------------------------------------------


def outage(way, seconds, options=(), pace=100 * KIB, client=()):
    """The client is fed from before to after it."""
    data = random_bytes(int((seconds + 1.5) * pace) if seconds < 10 else 400 * KIB)
    with BadLink(*options) as link, pair(link, data, client, bytes_per_s=pace) as (c, s):
        c.wait_received(30 * KIB)
        began = time.monotonic()
        link.set(f"blackhole {way}on")
        c.wait_line("gives no answer")
        last(seconds - (time.monotonic() - began))
        link.set("blackhole off")
        # A connection that was there before may answer again: not even a second one is needed.
        return finish(c, s, data)


def test_nothing_goes_up_for_3_seconds():
    return outage("up ", 3)


def test_nothing_comes_down_for_3_seconds():
    return outage("down ", 3)


def test_nothing_passes_for_3_seconds():
    return outage("", 3)


def test_nothing_passes_for_6_seconds_far_away():
    return outage("", 6, ("--delay", 40))


def test_nothing_passes_for_3_seconds_under_three_connections():
    return outage("", 3, client=("--carriers", 3))


def test_nothing_passes_for_a_moment():
    """Too short for anybody to notice but TCP."""
    data = random_bytes(200 * KIB)
    with BadLink("--delay", 5) as link, pair(link, data, bytes_per_s=100 * KIB) as (c, s):
        for received in (30 * KIB, 90 * KIB, 150 * KIB):
            c.wait_received(received)
            link.set("blackhole on", "blackhole off")
        return finish(c, s, data, at_most=10)


def test_nothing_passes_while_there_is_nothing_to_say():
    data = random_bytes(200 * KIB)
    with BadLink() as link, pair(link, data, keep_open=True) as (c, s):
        c.wait_received(len(data))
        link.set("blackhole on")
        last(2)
        link.set("blackhole off")
        c.end_input()
        return finish(c, s, data, at_most=3)  # the client asks whether all has come, as if it waited


def test_nothing_passes_from_the_end_of_the_input_on():
    """All that is left is what is on its way, and the goodbye."""
    data = random_bytes(100 * KIB)
    with BadLink("--delay", 20) as link, pair(link, data, keep_open=True) as (c, s):
        c.wait_received(1)
        link.set("blackhole on")
        c.end_input()
        c.wait_line("gives no answer")
        link.set("blackhole off")
        return finish(c, s, data)


def test_the_first_words_are_lost():
    """Nothing was ever heard on the connection when the link goes."""
    data = random_bytes(100 * KIB)
    with BadLink("--delay", 20, "--blackhole", "down:on") as link, pair(link, data) as (c, s):
        c.wait_until(lambda client: client.fed > 0, "input being taken")
        last(1)
        link.set("blackhole off")
        return finish(c, s, data)


# --- another network --------------------------------------------------------------------------


def test_the_client_changes_its_address():
    """Its connections fall silent at both ends, and nobody is told."""
    data = random_bytes(400 * KIB)
    with BadLink("--delay", 5) as link, pair(link, data, bytes_per_s=150 * KIB) as (c, s):
        for received in (50 * KIB, 200 * KIB):
            c.wait_received(received)
            link.change_address()
        return finish(c, s, data, at_least=3)


def test_the_client_changes_its_address_under_three_connections():
    data = random_bytes(300 * KIB)
    with BadLink("--delay", 5) as link:
        with pair(link, data, ("--carriers", 3), bytes_per_s=150 * KIB) as (c, s):
            c.wait_received(100 * KIB)
            link.change_address()
            return finish(c, s, data, at_least=4)


def another_address_after(seconds, size, pace):
    """Nothing passes, and when it does again the client has another address."""
    data = random_bytes(size)
    with BadLink("--delay", 5) as link, pair(link, data, bytes_per_s=pace) as (c, s):
        c.wait_received(size // 6)
        link.set("blackhole on")
        link.change_address()
        c.wait_line("gives no answer")
        last(seconds)
        link.set("blackhole off")
        return finish(c, s, data, at_least=2)


def test_the_client_changes_its_address_in_an_outage():
    return another_address_after(1, 300 * KIB, 150 * KIB)


# --- slow, and out of order -------------------------------------------------------------------


def bad(*options, size, at_most, pace=None, client=()):
    """Bad, but alive: whoever takes it for dead dials again and again."""
    data = random_bytes(size)
    with BadLink(*options) as link, pair(link, data, client, bytes_per_s=pace) as (c, s):
        return finish(c, s, data, at_most=at_most)


def test_delay_jitter_loss_and_reordering():
    return bad("--delay", 20, "--jitter", 10, "--loss", 10, "--reorder", 20, "--duplicate", 5,
               size=400 * KIB, at_most=12)


def test_a_narrow_link_with_a_full_queue():
    """What was sent last waits for seconds behind what was sent before it, and is not lost."""
    return bad("--rate", "20K", "--queue", "64K", size=160 * KIB, at_most=4)


def test_a_narrow_link_with_a_short_queue():
    """Much of what is sent is lost, since TCP wants to know how much fits."""
    return bad("--rate", "20K", "--queue", "8K", size=100 * KIB, at_most=8)


def test_a_narrow_link_with_a_full_queue_and_three_connections():
    return bad("--rate", "20K", "--queue", "64K", size=100 * KIB, at_most=8, client=("--carriers", 3))


def test_round_trips_of_2_seconds_with_jitter():
    return bad("--delay", 850, "--jitter", 300, size=100 * KIB, at_most=5)


def test_round_trips_that_grow_from_10_ms_to_2_seconds():
    """What was learned of the link does not hold any more."""
    data = random_bytes(100 * KIB)
    with BadLink("--delay", 5) as link, pair(link, data, bytes_per_s=40 * KIB) as (c, s):
        c.wait_received(30 * KIB)
        link.set("delay 1000")
        return finish(c, s, data, at_most=8)


# --- make check-long --------------------------------------------------------------------------

if LONG:

    def test_nothing_passes_for_90_seconds():
        return outage("", 90, ("--delay", 10))

    def test_nothing_comes_down_for_90_seconds():
        return outage("down ", 90, ("--delay", 10))

    def test_the_client_changes_its_address_in_90_seconds_without_a_link():
        return another_address_after(90, 400 * KIB, 100 * KIB)


if __name__ == "__main__":
    harness.main(globals(), jobs=4)
