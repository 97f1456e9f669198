#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds go-server and go-client into OUTDIR, offline, from Debian's Go packages.
set -eu

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

[ $# -eq 1 ] || { echo "usage: build.sh OUTDIR" >&2; exit 2; }

source_dir=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$1"
out=$(CDPATH= cd -- "$1" && pwd)
debian_go=${DEBIAN_GOPATH:-/usr/share/gocode}

command -v go >/dev/null || fail "go is not installed: apt-get install golang-go"
for package in kcp-go:kcp smux:smux; do
    [ -d "$debian_go/src/github.com/xtaci/${package%:*}" ] ||
        fail "$debian_go has no ${package%:*}: apt-get install golang-github-xtaci-${package#*:}-dev"
done

# Imports of our own package resolve through a GOPATH of links: nothing is built in the source tree.
mkdir -p "$out/gopath/src"
ln -sfn "$source_dir" "$out/gopath/src/interop"
export GOPATH="$out/gopath:$debian_go" GOCACHE="$out/gocache"
export GO111MODULE=off GOFLAGS= GOPROXY=off GOTOOLCHAIN=local

go build -o "$out/go-server" interop/server
go build -o "$out/go-client" interop/client
