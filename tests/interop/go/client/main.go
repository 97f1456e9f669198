// SPDX-License-Identifier: MIT

// go-client is the client of the Go pair: standard input goes to the server and what comes back to
// standard output; or it measures.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"interop/tunnel"
)

type client struct {
	address   string
	profile   tunnel.Profile
	silence   silenceMeter
	mode      string
	bytes     uint64 // each stream
	streams   int
	pingpongs int
	duration  time.Duration // 0: by bytes or round trips
	idle      int           // sessions
	visits    int           // sessions one after the other, ...
	visitors  int           // ... so many at once
}

func main() {
	c := new(client)
	version := flag.Int("smux", 2, "smux `version`, 1 or 2")
	tuned := flag.Bool("tuned", false, "parameters for throughput, not the worked example's")
	retry := flag.Bool("dial-retry", true, "dial again when a dial fails (the original ends there)")
	stats := flag.Bool("stats", false, "at the end, write counters as JSON on standard error")
	verbose := flag.Bool("verbose", false, "say what happens to connections")
	flag.StringVar(&c.mode, "mode", "echo", "what the server does: echo, sink or source")
	flag.Uint64Var(&c.bytes, "bytes", 0, "measure with `N` bytes a stream, not standard input")
	flag.IntVar(&c.streams, "streams", 1, "measure with `K` streams of one session")
	flag.IntVar(&c.pingpongs, "pingpong", 0, "measure `N` round trips of 64 bytes")
	flag.DurationVar(&c.duration, "duration", 0, "measure for this `TIME`, not a number of bytes")
	flag.IntVar(&c.idle, "idle", 0, "open `N` sessions and keep them until standard input ends")
	flag.IntVar(&c.visits, "visits", 0, "measure up to `N` sessions, each with an echo of 64 bytes")
	flag.IntVar(&c.visitors, "visitors", 1, "`K` of them at once")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: go-client [flags] ADDR:PORT")
		flag.PrintDefaults()
	}
	flag.Parse()
	log.SetFlags(log.Ltime | log.Lmicroseconds)

	work := c.chooseWork()
	if flag.NArg() != 1 || work == nil || *version < 1 || *version > 2 {
		flag.Usage()
		os.Exit(2)
	}
	c.address = flag.Arg(0)
	c.profile = tunnel.NewProfile(*tuned, *version)
	c.profile.DialRetry = *retry
	c.profile.Logf = func(string, ...interface{}) {}
	if *verbose {
		c.profile.Logf = log.Printf
	}
	connections, err := work()
	if *stats {
		tunnel.WriteJSON(os.Stderr, c.stats(connections))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-client:", err)
		os.Exit(1)
	}
}

func (c *client) stats(connections uint64) interface{} {
	return struct {
		tunnel.Stats
		SilenceMS float64 `json:"longest_silence_ms"`
	}{tunnel.ReadStats(connections), c.silence.longestMS()}
}

// chooseWork returns what the flags ask for; it returns how many TCP connections were made.
func (c *client) chooseWork() func() (uint64, error) {
	measured := c.bytes > 0 || c.duration > 0
	switch {
	case c.visits > 0 && c.visitors > 0:
		return c.measureVisits
	case c.idle > 0:
		return c.sitIdle
	case c.pingpongs > 0:
		return c.measurePingpong
	case c.streams < 1:
		return nil
	case c.mode == "echo" && !measured:
		return c.copyStandardInput
	case measured && streamWork[c.mode] != nil:
		return c.measureStreams
	}
	return nil
}
