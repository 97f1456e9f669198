#!/usr/bin/env python3
"""The programs of examples/embed/: python3 tests/e2e/embed_test.py BUILD_DIR [WORD]...

Each echoes as client and as server, with itself and with the library's own way of being used, through
connections that lilbastard ends.
"""

import os
import subprocess
import sys

import harness
from echo import TURBO_CLIENT, EchoClient, Proxy, Server, TurboServer, random_bytes
from harness import check, equal

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "..", "..", "examples", "embed")
DATA = random_bytes(3 << 20)
LEAST_ENDS = 3


def absolute(*path):
    return os.path.abspath(os.path.join(harness.build_dir, *path))


def library_path():
    return absolute("src", "libturbotunnel.so.1")


def with_library():
    """The environment that finds the library as it was built."""
    return {**os.environ, "TURBOTUNNEL_LIBRARY": library_path(),
            "LD_LIBRARY_PATH": os.path.dirname(library_path())}  # fmt: skip


def go_program():
    return absolute("embed-go", "echo")


def build_go():
    """As somebody would who has installed the library: pkg-config says where it is."""
    environment = {
        **os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local",
        "GOCACHE": absolute("embed-go", "cache"), "GOPATH": absolute("embed-go", "path"),
        "PKG_CONFIG_PATH": absolute("meson-uninstalled"),
    }  # fmt: skip
    os.makedirs(os.path.dirname(go_program()), exist_ok=True)
    subprocess.run(["go", "build", "-o", go_program(), "."], cwd=os.path.join(EXAMPLES, "go"),
                   env=environment, check=True)  # fmt: skip


# What is run for each example; server or client, and the address, follow.
def poll():
    return (absolute("examples", "embed", "poll"),)


def uv():
    return (absolute("examples", "embed", "uv"),)


def python():
    return (sys.executable, os.path.join(EXAMPLES, "echo.py"))


def go():
    return (go_program(),)


def every_program():
    return (poll(), uv(), python(), go())


def c_client():
    return (absolute(TURBO_CLIENT),)


def serve(command):
    return Server(*command, "server", env=with_library()) if command else TurboServer()


def echo_through_ends(server_command, client_command, *client_words):
    """3 MB there and back; every connection ends after some 100 kB in both directions together."""
    with serve(server_command) as server, \
            Proxy("--after-bytes", "100K", "--jitter", 80, upstream=server.address) as proxy, \
            EchoClient(*client_command, *client_words, proxy.address, data=DATA, env=with_library()) as client:  # fmt: skip
        client.result().must_be_whole(DATA)
        equal(proxy.stop(), 0, "lilbastard's exit status")
        ends = proxy.forwarded()[0]
    check(ends >= LEAST_ENDS, f"only {ends} connections were ended: this shows nothing")
    return f"{ends} connections ended"


def test_poll_with_itself():
    return echo_through_ends(poll(), poll(), "client")


def test_libuv_with_itself():
    return echo_through_ends(uv(), uv(), "client")


def test_python_with_itself():
    return echo_through_ends(python(), python(), "client")


def test_go_with_itself():
    return echo_through_ends(go(), go(), "client")


def test_the_usual_client_with_each_server():
    return "; ".join(echo_through_ends(command, c_client()) for command in every_program())


def test_the_usual_server_with_each_client():
    return "; ".join(echo_through_ends(None, command, "client") for command in every_program())


def test_a_server_serves_many_at_once():
    for command in every_program():
        with serve(command) as server:
            clients = [EchoClient(TURBO_CLIENT, server.address, data=DATA[: 1 << 18]) for _ in range(5)]
            for client in clients:
                with client:
                    client.result().must_be_whole(DATA[: 1 << 18])


def test_input_that_stays_open_does_not_hold_up_the_echo():
    for command in every_program():
        with TurboServer() as server, \
                EchoClient(*command, "client", server.address, data=b"hello", keep_open=True,
                           env=with_library()) as client:  # fmt: skip
            client.wait_received(5)
            client.end_input()
            client.result().must_be_whole(b"hello")


def test_a_client_without_input_ends():
    for command in every_program():
        with TurboServer() as server, \
                EchoClient(*command, "client", server.address, data=b"", env=with_library()) as client:
            client.result().must_be_whole(b"")


def test_an_address_that_makes_no_sense_is_one_line_and_status_1():
    for command in every_program():
        done = subprocess.run([*command, "client", "nonsense"], env=with_library(), check=False,
                              capture_output=True, text=True, timeout=harness.DEADLINE_S)  # fmt: skip
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), f"{command}: {done.stderr}")
        done = subprocess.run([*command, "neither", "nonsense"], env=with_library(), check=False,
                              capture_output=True, text=True, timeout=harness.DEADLINE_S)  # fmt: skip
        equal(done.returncode, 2, f"{command}: {done.stderr}")


def test_an_idle_program_costs_no_processor_time():
    for command in (poll(), uv()):
        with serve(command) as server, \
                EchoClient(*command, "client", server.address, data=b"hello", keep_open=True,
                           env=with_library()) as client:  # fmt: skip
            client.wait_received(5)
            check(not client.is_busy(), f"the client of {command} spins")
            check(not server.is_busy(), f"the server of {command} spins")
            client.end_input()
            client.result().must_be_whole(b"hello")


if __name__ == "__main__":
    harness.main(globals(), jobs=2, prepare=build_go)
