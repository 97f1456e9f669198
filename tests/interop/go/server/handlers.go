// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/xtaci/smux"
)

const (
	copyBytes  = 65536
	countBytes = 8 // a big-endian count, in either direction
)

// chooseHandler returns what serves one stream, or nil when there is no such mode.
func chooseHandler(mode string, behindBytes int, sinkBytes uint64) func(*smux.Stream) error {
	switch mode {
	case "echo":
		if behindBytes > 0 {
			return func(s *smux.Stream) error { return echoBehind(s, behindBytes) }
		}
		return echo
	case "sink":
		return func(s *smux.Stream) error { return sink(s, sinkBytes) }
	case "source":
		return source
	}
	return nil
}

// pass gives what arrives to use until input ends or use fails. No buffer waits for an idle stream.
func pass(stream *smux.Stream, use writerFunc) error {
	_, err := stream.WriteTo(use)
	if err == io.EOF {
		return nil
	}
	return err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func echo(stream *smux.Stream) error { return pass(stream, stream.Write) }

var errEnough = errors.New("all bytes have come")

// sink reads until it has wantBytes (0: no limit) or input ends, and answers with how many came.
func sink(stream *smux.Stream, wantBytes uint64) error {
	var got uint64
	err := pass(stream, func(b []byte) (int, error) {
		got += uint64(len(b))
		if wantBytes > 0 && got >= wantBytes {
			return len(b), errEnough
		}
		return len(b), nil
	})
	if err != nil && err != errEnough {
		return err
	}
	var answer [countBytes]byte
	binary.BigEndian.PutUint64(answer[:], got)
	_, err = stream.Write(answer[:])
	return err
}

// source reads a count and sends that many bytes.
func source(stream *smux.Stream) error {
	var request [countBytes]byte
	if _, err := io.ReadFull(stream, request[:]); err != nil {
		return err
	}
	buffer := make([]byte, copyBytes)
	for left := binary.BigEndian.Uint64(request[:]); left > 0; {
		if left < uint64(len(buffer)) {
			buffer = buffer[:left]
		}
		n, err := stream.Write(buffer)
		if err != nil {
			return err
		}
		left -= uint64(n)
	}
	return nil
}

// backlog is input that waits to be echoed, without limit.
type backlog struct {
	lock    sync.Mutex
	changed *sync.Cond
	chunks  [][]byte
	waiting int // bytes in chunks
	ended   bool
}

func newBacklog() *backlog {
	b := new(backlog)
	b.changed = sync.NewCond(&b.lock)
	return b
}

func (b *backlog) put(chunk []byte) {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.chunks = append(b.chunks, chunk)
	b.waiting += len(chunk)
	b.changed.Signal()
}

func (b *backlog) end() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.ended = true
	b.changed.Signal()
}

// take returns the oldest chunk once more than keepBytes wait, or input has ended; nil when that has
// been taken to the last.
func (b *backlog) take(keepBytes int) []byte {
	b.lock.Lock()
	defer b.lock.Unlock()
	for b.waiting <= keepBytes && !b.ended {
		b.changed.Wait()
	}
	if len(b.chunks) == 0 {
		return nil
	}
	chunk := b.chunks[0]
	b.chunks = b.chunks[1:]
	b.waiting -= len(chunk)
	return chunk
}

// echoBehind echoes, but stays behindBytes behind its input until that ends.
func echoBehind(stream *smux.Stream, behindBytes int) error {
	b := newBacklog()
	readError := make(chan error, 1)
	go func() {
		readError <- fillBacklog(b, stream)
		b.end()
	}()
	for chunk := b.take(behindBytes); chunk != nil; chunk = b.take(behindBytes) {
		if _, err := stream.Write(chunk); err != nil {
			return err
		}
	}
	return <-readError
}

func fillBacklog(b *backlog, stream *smux.Stream) error {
	return pass(stream, func(chunk []byte) (int, error) {
		b.put(append([]byte(nil), chunk...))
		return len(chunk), nil
	})
}
