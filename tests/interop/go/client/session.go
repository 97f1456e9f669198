// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/xtaci/kcp-go"
	"github.com/xtaci/smux"
	"interop/tunnel"
)

// How long it may take until the server has heard of the end of a session: outages are waited for.
const drainLimit = 30 * time.Second

type session struct {
	*smux.Session
	packetConn *tunnel.RedialPacketConn
}

func (c *client) openSession() (*session, error) {
	id, err := tunnel.NewSessionID()
	if err != nil {
		return nil, fmt.Errorf("session ID: %w", err)
	}
	packetConn := tunnel.NewRedialPacketConn(id, c.address, c.profile.Options)
	conn, err := kcp.NewConn2(id, nil, 0, 0, packetConn)
	if err != nil {
		return nil, fmt.Errorf("KCP: %w", err)
	}
	c.profile.ConfigureKCP(conn)
	streams, err := smux.Client(conn, c.profile.SmuxClient())
	if err != nil {
		return nil, fmt.Errorf("smux: %w", err)
	}
	return &session{streams, packetConn}, nil
}

// end closes the session, once the server has all that was sent.
func (s *session) end() error {
	err := s.packetConn.Drain(drainLimit)
	s.Close()
	s.packetConn.Close()
	return err
}

// silenceMeter finds the longest time between two arrivals of data.
type silenceMeter struct {
	last    int64 // nanoseconds on the clock of time.Since(started); 0: nothing has arrived
	longest int64
}

var started = time.Now()

func (m *silenceMeter) arrival() {
	now := int64(time.Since(started))
	last := atomic.SwapInt64(&m.last, now)
	if last == 0 {
		return
	}
	for {
		longest := atomic.LoadInt64(&m.longest)
		if now-last <= longest || atomic.CompareAndSwapInt64(&m.longest, longest, now-last) {
			return
		}
	}
}

func (m *silenceMeter) longestMS() float64 {
	return float64(atomic.LoadInt64(&m.longest)) / float64(time.Millisecond)
}
