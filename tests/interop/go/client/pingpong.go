// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	"github.com/xtaci/smux"
	"interop/tunnel"
)

const pingBytes = 64

// measurePingpong measures round trips one after the other.
func (c *client) measurePingpong() (uint64, error) {
	s, err := c.openSession()
	if err != nil {
		return 0, err
	}
	defer s.Close()
	stream, err := s.OpenStream()
	if err != nil {
		return s.packetConn.Connections(), fmt.Errorf("opening a stream: %w", err)
	}
	begin, cpuBefore := time.Now(), tunnel.CPUSeconds()
	micros, err := c.pingpong(stream)
	if err != nil {
		return s.packetConn.Connections(), err
	}
	sort.Float64s(micros)
	err = tunnel.WriteJSON(os.Stdout, struct {
		Mode        string  `json:"mode"`
		RoundTrips  int     `json:"round_trips"`
		Seconds     float64 `json:"seconds"`
		P50         float64 `json:"p50_us"`
		P99         float64 `json:"p99_us"`
		Connections uint64  `json:"connections"`
		SilenceMS   float64 `json:"longest_silence_ms"`
		CPUSeconds  float64 `json:"cpu_seconds"`
	}{
		"pingpong", len(micros), time.Since(begin).Seconds(),
		percentile(micros, 50), percentile(micros, 99),
		s.packetConn.Connections(), c.silence.longestMS(), tunnel.CPUSeconds() - cpuBefore,
	})
	stream.Close()
	if err != nil {
		return s.packetConn.Connections(), err
	}
	return s.packetConn.Connections(), s.end()
}

func (c *client) pingpong(stream *smux.Stream) ([]float64, error) {
	var ping [pingBytes]byte
	var micros []float64
	begin := time.Now()
	for i := 0; i < c.pingpongs && (c.duration == 0 || time.Since(begin) < c.duration); i++ {
		sentAt := time.Now()
		if _, err := stream.Write(ping[:]); err != nil {
			return nil, fmt.Errorf("sending: %w", err)
		}
		if _, err := io.ReadFull(stream, ping[:]); err != nil {
			return nil, fmt.Errorf("receiving: %w", err)
		}
		c.silence.arrival()
		micros = append(micros, float64(time.Since(sentAt))/float64(time.Microsecond))
	}
	return micros, nil
}

// percentile is of values in rising order, at least one.
func percentile(values []float64, percent int) float64 {
	return values[(len(values)-1)*percent/100]
}
