#!/usr/bin/env python3
"""What the library shows to others: python3 tests/artefacts/library_test.py BUILD_DIR [WORD]...

Its symbols are those of src/libturbotunnel.symbols, its name and version those of meson.build.
"""

import ctypes
import glob
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import harness  # noqa: E402  pylint: disable=wrong-import-position
from harness import check, equal  # noqa: E402  pylint: disable=wrong-import-position

SYMBOLS = os.path.join(ROOT, "src", "libturbotunnel.symbols")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def output_of(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def shared_library():
    return os.path.join(harness.build_dir, "src", "libturbotunnel.so")


def listed():
    """{name: nm's letter} as the list has them."""
    lines = [line.split() for line in read(SYMBOLS).splitlines() if not line.startswith("#")]
    return {name: letter for letter, name in lines}


def exported():
    """{name: nm's letter} as the library has them."""
    lines = output_of("nm", "-D", "--defined-only", shared_library()).splitlines()
    return {name: letter for _, letter, name in map(str.split, lines)}


def declared():
    """The names that the public headers give out."""
    names = set()
    for path in glob.glob(os.path.join(ROOT, "include", "turbotunnel", "*.h")):
        for declaration in re.findall(r"^TT_EXPORT ([^;]*);", read(path), re.MULTILINE):
            names.add(re.search(r"(\w+)(?:\(|$)", declaration)[1])
    return names


def project_version():
    return re.search(r"^  version: '([^']+)'", read("meson.build"), re.MULTILINE)[1]


def test_the_library_exports_what_the_list_has_and_nothing_else():
    have, want = exported(), listed()
    gone = sorted(set(want.items()) - set(have.items()))
    new = sorted(set(have.items()) - set(want.items()))
    check(not gone, f"gone or of another kind, which breaks programs: {gone}; if it must be, take the "
          f"line out of src/libturbotunnel.symbols and raise soversion in src/meson.build")
    check(not new, f"not in src/libturbotunnel.symbols: {new}; add a line if it is meant to be public")
    return f"{len(have)} symbols"


def test_the_public_headers_declare_what_the_list_has_and_nothing_else():
    equal(sorted(declared()), sorted(listed()), "declared with TT_EXPORT")


def test_what_the_static_library_defines_begins_with_tt():
    archive = os.path.join(harness.build_dir, "src", "libturbotunnel.a")
    lines = output_of("nm", "--defined-only", "-g", archive).splitlines()
    names = {line.split()[2] for line in lines if len(line.split()) == 3}
    check(len(names) > len(listed()), f"only {len(names)} symbols in {archive}")
    equal(sorted(name for name in names if not name.startswith("tt_")), [], "other names")


def test_the_soname_has_the_number_of_the_interface():
    source = read("src", "meson.build")
    version = re.search(r"^  version: '(\d+)\.\d+\.\d+'", source, re.MULTILINE)[1]
    soversion = re.search(r"^  soversion: '(\d+)'", source, re.MULTILINE)[1]
    equal(version, soversion, "first part of version, and soversion")
    dynamic = output_of("readelf", "-d", shared_library())
    equal(re.findall(r"\(SONAME\).*\[(.*)\]", dynamic), [f"libturbotunnel.so.{soversion}"], "SONAME")


def test_the_library_needs_libuv_libcrypto_and_libc_alone():
    dynamic = output_of("readelf", "-d", shared_library())
    needed = {name.partition(".so")[0] for name in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)}
    check(needed <= {"libuv", "libcrypto", "libc", "libpthread", "ld-linux-x86-64", "ld-linux-aarch64"}, f"{needed}")


def test_tt_version_is_that_of_the_project():
    library = ctypes.CDLL(os.path.abspath(shared_library()))
    library.tt_version.restype = ctypes.c_char_p
    version = library.tt_version().decode()
    equal(version, project_version(), "tt_version()")
    check(re.fullmatch(r"\d+\.\d+\.\d+", version), f"{version} is not MAJOR.MINOR.PATCH")
    return version


def test_the_documentation_names_release_and_interface():
    page = read("docs", "versions.md")
    soversion = re.search(r"^  soversion: '(\d+)'", read("src", "meson.build"), re.MULTILINE)[1]
    check(f"Release {project_version()} talks to" in page, "docs/versions.md is about another release")
    check(f"| release | {project_version()} |" in page, "its table has another release")
    check(f"SONAME `libturbotunnel.so.{soversion}`" in page, "it has another SONAME")


def test_the_debian_package_has_the_same_version():
    equal(read("debian", "changelog").split("\n")[0], f"turbotunnel ({project_version()}) unstable; urgency=medium",
          "first line of debian/changelog")
    soversion = re.search(r"^  soversion: '(\d+)'", read("src", "meson.build"), re.MULTILINE)[1]
    check(f"Package: libturbotunnel{soversion}\n" in read("debian", "control"), "another SONAME")


def test_programs_and_pkg_config_say_the_same_version():
    for program in ("apps/lilbastard", "examples/turbotunnel/client", "examples/plain/server"):
        status, output, _ = harness.run(program, "--version")
        equal((status, output.split()[-1]), (0, project_version()), program)
    with open(os.path.join(harness.build_dir, "meson-private", "turbotunnel.pc"), encoding="utf-8") as file:
        check(f"Version: {project_version()}\n" in file.read(), "turbotunnel.pc has another version")


if __name__ == "__main__":
    harness.main(globals())
