// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xtaci/smux"
	"interop/tunnel"
)

const (
	countBytes = 8         // a big-endian count, in either direction
	endless    = 1 << 62   // bytes
	megabyte   = 1_000_000 // bytes
)

// transfer is one stream that is measured.
type transfer struct {
	c      *client
	stream *smux.Stream
	bytes  uint64        // to move; endless when time decides
	over   chan struct{} // closed when time is up
	moved  uint64        // the payload so far, in one direction
}

var streamWork = map[string]func(*transfer) error{
	"echo":   (*transfer).echo,
	"sink":   (*transfer).sink,
	"source": (*transfer).source,
}

var errEnough = errors.New("all bytes have come")

type measurement struct {
	Mode        string  `json:"mode"`
	Streams     int     `json:"streams"`
	Bytes       uint64  `json:"bytes"`
	Seconds     float64 `json:"seconds"`
	MBPerSecond float64 `json:"mb_per_s"`
	Connections uint64  `json:"connections"`
	SilenceMS   float64 `json:"longest_silence_ms"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	// Of the stream that has moved least when the first one is done; 1 means all are even.
	SlowestShare float64 `json:"slowest_share"`
}

// measureStreams runs the streams side by side and writes one line of JSON.
func (c *client) measureStreams() (uint64, error) {
	s, err := c.openSession()
	if err != nil {
		return 0, err
	}
	defer s.Close()
	transfers, err := c.openTransfers(s)
	if err != nil {
		return s.packetConn.Connections(), err
	}
	cpuBefore, begin := tunnel.CPUSeconds(), time.Now()
	share, err := runTransfers(transfers, streamWork[c.mode])
	seconds := time.Since(begin).Seconds()
	m := measurement{
		Mode:         c.mode,
		Streams:      c.streams,
		Seconds:      seconds,
		Connections:  s.packetConn.Connections(),
		SilenceMS:    c.silence.longestMS(),
		CPUSeconds:   tunnel.CPUSeconds() - cpuBefore,
		SlowestShare: share,
	}
	for _, t := range transfers {
		m.Bytes += t.moved
		t.stream.Close()
	}
	m.MBPerSecond = float64(m.Bytes) / megabyte / seconds
	if err != nil {
		return m.Connections, err
	}
	if err := tunnel.WriteJSON(os.Stdout, m); err != nil {
		return m.Connections, err
	}
	return m.Connections, s.end()
}

func (c *client) openTransfers(s *session) ([]*transfer, error) {
	over := make(chan struct{})
	bytes := c.bytes
	if c.duration > 0 {
		bytes = endless
		time.AfterFunc(c.duration, func() { close(over) })
	}
	var transfers []*transfer
	for i := 0; i < c.streams; i++ {
		stream, err := s.OpenStream()
		if err != nil {
			return nil, fmt.Errorf("opening a stream: %w", err)
		}
		transfers = append(transfers, &transfer{c: c, stream: stream, bytes: bytes, over: over})
	}
	return transfers, nil
}

// runTransfers returns the share of the slowest, and the first error.
func runTransfers(transfers []*transfer, work func(*transfer) error) (float64, error) {
	var first sync.Once
	var share float64
	errs := make(chan error, len(transfers))
	for _, t := range transfers {
		go func(t *transfer) {
			err := work(t)
			first.Do(func() { share = slowestShare(transfers, t) })
			errs <- err
		}(t)
	}
	var err error
	for range transfers {
		if e := <-errs; err == nil {
			err = e
		}
	}
	return share, err
}

func slowestShare(transfers []*transfer, done *transfer) float64 {
	most := atomic.LoadUint64(&done.moved)
	least := most
	for _, t := range transfers {
		if moved := atomic.LoadUint64(&t.moved); moved < least {
			least = moved
		}
	}
	if most == 0 {
		return 0
	}
	return float64(least) / float64(most)
}

func (t *transfer) timeIsUp() bool {
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}

// zeros is input that ends after enough bytes, or when time is up.
type zeros struct {
	t    *transfer
	left uint64
}

func (z *zeros) Read(b []byte) (int, error) {
	if z.left == 0 || z.t.timeIsUp() {
		return 0, io.EOF
	}
	if z.left < uint64(len(b)) {
		b = b[:z.left]
	}
	for i := range b {
		b[i] = 0
	}
	z.left -= uint64(len(b))
	return len(b), nil
}

// counter is output that is counted and forgotten.
type counter struct{ t *transfer }

func (c counter) Write(b []byte) (int, error) {
	atomic.AddUint64(&c.t.moved, uint64(len(b)))
	return len(b), nil
}

// echo sends and reads side by side.
func (t *transfer) echo() error {
	return t.c.echoThrough(t.stream, &zeros{t, t.bytes}, counter{t})
}

// source asks for bytes and reads them. When time is up it closes the stream under its own reading.
func (t *transfer) source() error {
	go func() {
		<-t.over
		t.stream.Close()
	}()
	var request [countBytes]byte
	binary.BigEndian.PutUint64(request[:], t.bytes)
	if _, err := t.stream.Write(request[:]); err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	err := t.c.receive(t.stream, func(b []byte) error {
		if atomic.AddUint64(&t.moved, uint64(len(b))) >= t.bytes {
			return errEnough
		}
		return nil
	})
	if err == errEnough || t.timeIsUp() {
		return nil
	}
	return fmt.Errorf("receiving: %w", err)
}

// sink sends, and waits for the server's count. By time there is none: the server cannot know that
// this was the end before the stream is closed.
func (t *transfer) sink() error {
	sent, err := copyAll(io.MultiWriter(t.stream, counter{t}), &zeros{t, t.bytes})
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if t.c.duration > 0 {
		return nil
	}
	var answer [countBytes]byte
	if _, err := io.ReadFull(t.stream, answer[:]); err != nil {
		return fmt.Errorf("waiting for the server's count: %w", err)
	}
	if got := binary.BigEndian.Uint64(answer[:]); got != sent {
		return fmt.Errorf("the server counted %d bytes of %d", got, sent)
	}
	return nil
}
