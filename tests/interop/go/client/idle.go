// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
)

const openAtOnce = 512 // sessions; at its defaults each takes some 100 ms

var greeting [copyBytes]byte // for all

// sitIdle opens sessions, lets each echo a little or c.bytes, says so on standard error, and keeps them
// until standard input ends.
func (c *client) sitIdle() (uint64, error) {
	bytes := c.bytes
	if bytes == 0 {
		bytes = pingBytes
	}
	tickets := make(chan struct{}, openAtOnce)
	errs := make(chan error, c.idle)
	sessions := make([]*session, c.idle)
	for i := range sessions {
		go func(i int) {
			tickets <- struct{}{}
			var err error
			sessions[i], err = c.openGreeted(bytes)
			<-tickets
			errs <- err
		}(i)
	}
	for range sessions {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	fmt.Fprintf(os.Stderr, "%d sessions are open\n", len(sessions))
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 0, err
	}
	var connections uint64
	for _, s := range sessions {
		connections += s.packetConn.Connections()
	}
	return connections, nil
}

func (c *client) openGreeted(bytes uint64) (*session, error) {
	s, err := c.openSession()
	if err != nil {
		return nil, err
	}
	if err := s.greet(bytes); err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	return s, nil
}

// greet opens a stream, which stays open, and waits for the echo of so many bytes.
func (s *session) greet(bytes uint64) error {
	stream, err := s.OpenStream()
	if err != nil {
		return err
	}
	for left := int64(bytes); left > 0; {
		n := left
		if n > copyBytes {
			n = copyBytes
		}
		if _, err := stream.Write(greeting[:n]); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, stream, n); err != nil {
			return err
		}
		left -= n
	}
	return nil
}
