// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
)

const openAtOnce = 64 // sessions; at its defaults each takes some 100 ms

// sitIdle opens sessions, lets each echo a little, says so on standard error, and keeps them until
// standard input ends.
func (c *client) sitIdle() (uint64, error) {
	tickets := make(chan struct{}, openAtOnce)
	errs := make(chan error, c.idle)
	sessions := make([]*session, c.idle)
	for i := range sessions {
		go func(i int) {
			tickets <- struct{}{}
			var err error
			sessions[i], err = c.openGreeted()
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

func (c *client) openGreeted() (*session, error) {
	s, err := c.openSession()
	if err != nil {
		return nil, err
	}
	if err := s.greet(); err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	return s, nil
}

// greet opens a stream, which stays open, and waits for one echo.
func (s *session) greet() error {
	stream, err := s.OpenStream()
	if err != nil {
		return err
	}
	var ping [pingBytes]byte
	if _, err := stream.Write(ping[:]); err != nil {
		return err
	}
	_, err = io.ReadFull(stream, ping[:])
	return err
}
