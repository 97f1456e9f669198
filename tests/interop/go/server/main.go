// SPDX-License-Identifier: MIT

// go-server is the server of the Go pair: it echoes every stream of every session, or measures.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"github.com/xtaci/kcp-go"
	"github.com/xtaci/smux"
	"interop/tunnel"
)

type server struct {
	profile    tunnel.Profile
	packetConn *tunnel.ListenerPacketConn
	handle     func(*smux.Stream) error
	logf       func(format string, args ...interface{})
	sessions   uint64
	streams    uint64
	failed     uint64 // streams that ended in an error
}

func main() {
	version := flag.Int("smux", 2, "smux `version`, 1 or 2")
	tuned := flag.Bool("tuned", false, "parameters for throughput, not the worked example's")
	mode := flag.String("mode", "echo", "what to do with a stream: echo, sink or source")
	echoBehind := flag.Int("echo-behind", 0, "echo only once more than `BYTES` wait, or at the end")
	sinkBytes := flag.Uint64("bytes", 0, "sink: answer after `N` bytes, not only at the end of input")
	stats := flag.Bool("stats", false, "at the end, write counters as JSON on standard error")
	verbose := flag.Bool("verbose", false, "say what happens to connections, sessions and streams")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: go-server [flags] ADDR:PORT")
		flag.PrintDefaults()
	}
	flag.Parse()
	log.SetFlags(log.Ltime | log.Lmicroseconds)

	handle := chooseHandler(*mode, *echoBehind, *sinkBytes)
	if flag.NArg() != 1 || handle == nil || *version < 1 || *version > 2 {
		flag.Usage()
		os.Exit(2)
	}
	s := &server{profile: tunnel.NewProfile(*tuned, *version), handle: handle, logf: quiet}
	if *verbose {
		s.logf = log.Printf
	}
	s.profile.Logf = s.logf
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	if err := s.listen(flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "go-server:", err)
		os.Exit(1)
	}
	s.waitForEnd(signals)
	if *stats {
		tunnel.WriteJSON(os.Stderr, s.stats())
	}
}

func quiet(string, ...interface{}) {}

// waitForEnd gives unused memory back to the system, and says so, at each SIGUSR1.
func (s *server) waitForEnd(signals <-chan os.Signal) {
	for times := 1; <-signals == syscall.SIGUSR1; times++ {
		debug.FreeOSMemory()
		fmt.Fprintf(os.Stderr, "state %d {}\n", times)
	}
}

func (s *server) stats() interface{} {
	return struct {
		tunnel.Stats
		Sessions      uint64 `json:"sessions"`
		Streams       uint64 `json:"streams"`
		StreamsFailed uint64 `json:"streams_failed"`
	}{
		tunnel.ReadStats(s.packetConn.Connections()),
		atomic.LoadUint64(&s.sessions),
		atomic.LoadUint64(&s.streams),
		atomic.LoadUint64(&s.failed),
	}
}

// listen starts to serve and says on standard error where.
func (s *server) listen(address string) error {
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.packetConn = tunnel.NewListenerPacketConn(tcp, s.profile.Options)
	sessions, err := kcp.ServeConn(nil, 0, 0, s.packetConn)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "listening on", tcp.Addr())
	go s.acceptSessions(sessions)
	return nil
}

func (s *server) acceptSessions(l *kcp.Listener) {
	for {
		conn, err := l.AcceptKCP()
		if err != nil {
			log.Fatalf("accepting sessions: %v", err)
		}
		atomic.AddUint64(&s.sessions, 1)
		s.profile.ConfigureKCP(conn)
		go s.acceptStreams(conn)
	}
}

func (s *server) acceptStreams(conn *kcp.UDPSession) {
	defer conn.Close()
	s.logf("session %v: begins, conv %08x", conn.RemoteAddr(), conn.GetConv())
	session, err := smux.Server(conn, s.profile.SmuxServer())
	if err != nil {
		log.Fatalf("smux: %v", err)
	}
	defer session.Close()
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			s.logf("session %v: ends: %v", conn.RemoteAddr(), err)
			return
		}
		atomic.AddUint64(&s.streams, 1)
		go s.handleStream(stream)
	}
}

func (s *server) handleStream(stream *smux.Stream) {
	s.logf("session %v: stream %d begins", stream.RemoteAddr(), stream.ID())
	err := s.handle(stream)
	if err != nil {
		atomic.AddUint64(&s.failed, 1)
	}
	s.logf("session %v: stream %d ends: %v", stream.RemoteAddr(), stream.ID(), err)
	stream.Close()
}
