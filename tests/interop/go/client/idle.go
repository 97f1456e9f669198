// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
)

// sitIdle opens sessions, lets each echo a little, says so on standard error, and keeps them until
// standard input ends.
func (c *client) sitIdle() (uint64, error) {
	var sessions []*session
	for i := 0; i < c.idle; i++ {
		s, err := c.openSession()
		if err == nil {
			err = s.greet()
		}
		if err != nil {
			return 0, fmt.Errorf("session %d: %w", i+1, err)
		}
		sessions = append(sessions, s)
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
