// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/xtaci/smux"
)

const copyBytes = 65536

// copyStandardInput is the worked example's client. A smux stream of this library cannot be closed in
// one direction, so the end of the echo is known by its length.
func (c *client) copyStandardInput() (uint64, error) {
	s, err := c.openSession()
	if err != nil {
		return 0, err
	}
	stream, err := s.OpenStream()
	if err != nil {
		return s.packetConn.Connections(), fmt.Errorf("opening a stream: %w", err)
	}
	err = c.echoThrough(stream, os.Stdin, os.Stdout)
	stream.Close()
	if err != nil {
		s.Close()
	} else {
		err = s.end()
	}
	return s.packetConn.Connections(), err
}

// echoThrough writes in to stream and what comes back to out, until all of it has come back.
func (c *client) echoThrough(stream *smux.Stream, in io.Reader, out io.Writer) error {
	var received uint64
	progress := make(chan struct{}, 1)
	failed := make(chan error, 2)
	sent := make(chan uint64, 1)

	go func() {
		n, err := copyAll(stream, in)
		if err != nil {
			failed <- fmt.Errorf("sending: %w", err)
		}
		sent <- n
	}()
	go func() {
		failed <- fmt.Errorf("the stream ended early: %w", c.receive(stream, func(b []byte) error {
			_, err := out.Write(b)
			atomic.AddUint64(&received, uint64(len(b)))
			select {
			case progress <- struct{}{}:
			default:
			}
			return err
		}))
	}()

	total, known := uint64(0), false
	for !known || atomic.LoadUint64(&received) < total {
		select {
		case total = <-sent:
			known = true
		case <-progress:
		case err := <-failed:
			if known && atomic.LoadUint64(&received) == total {
				return nil
			}
			return err
		}
	}
	select {
	case err := <-failed: // input may have ended in an error
		return err
	default:
		return nil
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// receive passes what arrives on stream to use until either fails, and returns that error.
func (c *client) receive(stream *smux.Stream, use func([]byte) error) error {
	_, err := stream.WriteTo(writerFunc(func(b []byte) (int, error) {
		c.silence.arrival()
		return len(b), use(b)
	}))
	return err
}

// copyAll is io.Copy without the short cuts that avoid the buffer.
func copyAll(to io.Writer, from io.Reader) (uint64, error) {
	buffer := make([]byte, copyBytes)
	var copied uint64
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return copied, err
			}
			copied += uint64(n)
		}
		if err == io.EOF {
			return copied, nil
		}
		if err != nil {
			return copied, err
		}
	}
}
