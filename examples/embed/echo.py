#!/usr/bin/env python3
"""The library from Python, through ctypes: nothing to compile, Python's standard library alone.

    echo.py server ADDR:PORT      says "listening on ADDR:PORT" on standard error, and echoes
    echo.py client ADDR:PORT      standard input -> server -> standard output

TURBOTUNNEL_LIBRARY may name the shared library; otherwise the system's is loaded. Calls that wait are
made in threads: ctypes lets others run meanwhile.
"""

import ctypes
import ctypes.util
import os
import sys
import threading
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_size_t, c_void_p

# --- the library: this is what another program takes over ---

OK, END = 0, -4         # of turbotunnel/error.h
ERROR_TEXT_SIZE = 320   # of turbotunnel/options.h
PIECE = 1 << 16

lib = ctypes.CDLL(os.environ.get("TURBOTUNNEL_LIBRARY") or ctypes.util.find_library("turbotunnel")
                  or "libturbotunnel.so.1")  # fmt: skip

# name: (what it returns, what it takes). Options are left out: NULL, the defaults.
for _name, (_result, _arguments) in {
    "tt_strerror": (c_char_p, [c_int]),
    "tt_dial": (c_int, [c_char_p, c_void_p, POINTER(c_void_p), c_char * ERROR_TEXT_SIZE]),
    "tt_listen": (c_int, [c_char_p, c_void_p, POINTER(c_void_p), c_char * ERROR_TEXT_SIZE]),
    "tt_listener_address": (c_char_p, [c_void_p]),
    "tt_listener_accept": (c_int, [c_void_p, POINTER(c_void_p)]),
    "tt_session_open_stream": (c_int, [c_void_p, POINTER(c_void_p)]),
    "tt_session_accept_stream": (c_int, [c_void_p, POINTER(c_void_p)]),
    "tt_session_close": (c_int, [c_void_p]),
    "tt_stream_read": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(c_size_t)]),
    "tt_stream_write": (c_int, [c_void_p, c_char_p, c_size_t]),
    "tt_stream_shutdown": (c_int, [c_void_p]),
    "tt_stream_close": (None, [c_void_p]),
}.items():
    getattr(lib, _name).restype = _result
    getattr(lib, _name).argtypes = _arguments


class TunnelError(Exception):
    """What the library says, for a person."""


def must(err, why=None):
    if err != OK:
        text = why.value if why else b""
        raise TunnelError((text or lib.tt_strerror(err)).decode())


def made(function, *arguments, why=None):
    """Calls what leaves an object through an out-parameter behind its arguments, and returns that."""
    made_object = c_void_p()
    must(function(*arguments, byref(made_object), *([why] if why else [])), why)
    return made_object


class Stream:
    def __init__(self, handle):
        self._handle = handle
        self._buffer = ctypes.create_string_buffer(PIECE)

    def read(self):
        """Waits for bytes; b"" is the end."""
        length = c_size_t()
        err = lib.tt_stream_read(self._handle, self._buffer, PIECE, byref(length))
        if err == END:
            return b""
        must(err)
        return self._buffer.raw[: length.value]

    def write(self, data):
        must(lib.tt_stream_write(self._handle, data, len(data)))

    def end(self):
        must(lib.tt_stream_shutdown(self._handle))

    def close(self):
        lib.tt_stream_close(self._handle)


class Session:
    def __init__(self, handle):
        self._handle = handle

    def open_stream(self):
        return Stream(made(lib.tt_session_open_stream, self._handle))

    def accept_stream(self):
        return Stream(made(lib.tt_session_accept_stream, self._handle))

    def close(self):
        must(lib.tt_session_close(self._handle))


def dial(address):
    why = ctypes.create_string_buffer(ERROR_TEXT_SIZE)
    return Session(made(lib.tt_dial, address.encode(), None, why=why))


class Listener:
    def __init__(self, address):
        why = ctypes.create_string_buffer(ERROR_TEXT_SIZE)
        self._handle = made(lib.tt_listen, address.encode(), None, why=why)
        self.address = lib.tt_listener_address(self._handle).decode()

    def accept(self):
        return Session(made(lib.tt_listener_accept, self._handle))


# --- the program ---


def echo(stream):
    try:
        while data := stream.read():
            stream.write(data)
    except TunnelError:
        pass  # the client has gone
    stream.close()


def serve_session(session):
    streams = []
    try:
        while True:
            streams.append(threading.Thread(target=echo, args=(session.accept_stream(),)))
            streams[-1].start()
    except TunnelError:
        pass  # the session is over, and so are its streams
    for thread in streams:
        thread.join()
    try:
        session.close()
    except TunnelError:
        pass


def serve(address):
    listener = Listener(address)
    print("listening on", listener.address, file=sys.stderr, flush=True)
    while True:
        threading.Thread(target=serve_session, args=(listener.accept(),), daemon=True).start()


def send_input(stream):
    while data := os.read(sys.stdin.fileno(), PIECE):
        stream.write(data)
    stream.end()


def talk(address):
    session = dial(address)
    stream = session.open_stream()
    threading.Thread(target=send_input, args=(stream,), daemon=True).start()
    while data := stream.read():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    session.close()


def main(arguments):
    if len(arguments) != 2 or arguments[0] not in ("server", "client"):
        print("Usage: echo.py server|client ADDR:PORT", file=sys.stderr)
        return 2
    try:
        {"server": serve, "client": talk}[arguments[0]](arguments[1])
    except TunnelError as error:
        print("echo.py:", error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
