// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	"interop/tunnel"
)

// visits are sessions one after the other: each is used for one echo and closed.
type visits struct {
	c      *client
	begin  time.Time
	lock   sync.Mutex
	begun  int
	micros []float64 // from a session's beginning to its first echo
	made   uint64    // connections
}

// measureVisits makes sessions, c.visitors at once, and writes one line of JSON.
func (c *client) measureVisits() (uint64, error) {
	v := &visits{c: c, begin: time.Now()}
	cpuBefore := tunnel.CPUSeconds()
	errs := make(chan error, c.visitors)
	for i := 0; i < c.visitors; i++ {
		go func() { errs <- v.comeAndGo() }()
	}
	var err error
	for i := 0; i < c.visitors; i++ {
		if e := <-errs; err == nil {
			err = e
		}
	}
	seconds := time.Since(v.begin).Seconds()
	if err != nil {
		return v.made, err
	}
	sort.Float64s(v.micros)
	return v.made, tunnel.WriteJSON(os.Stdout, struct {
		Mode              string  `json:"mode"`
		Sessions          int     `json:"sessions"`
		Seconds           float64 `json:"seconds"`
		SessionsPerSecond float64 `json:"sessions_per_s"`
		P50               float64 `json:"p50_us"`
		P99               float64 `json:"p99_us"`
		CPUSeconds        float64 `json:"cpu_seconds"`
	}{
		"visits", len(v.micros), seconds, float64(len(v.micros)) / seconds,
		percentile(v.micros, 50), percentile(v.micros, 99), tunnel.CPUSeconds() - cpuBefore,
	})
}

func (v *visits) comeAndGo() error {
	for v.mayBegin() {
		begin := time.Now()
		s, err := v.c.openGreeted(pingBytes)
		if err != nil {
			return err
		}
		v.note(time.Since(begin))
		err = s.end()
		v.count(s.packetConn.Connections())
		if err != nil {
			return fmt.Errorf("closing: %w", err)
		}
	}
	return nil
}

func (v *visits) mayBegin() bool {
	v.lock.Lock()
	defer v.lock.Unlock()
	if v.begun == v.c.visits || v.c.duration > 0 && time.Since(v.begin) >= v.c.duration {
		return false
	}
	v.begun++
	return true
}

func (v *visits) note(firstEcho time.Duration) {
	v.lock.Lock()
	defer v.lock.Unlock()
	v.micros = append(v.micros, float64(firstEcho)/float64(time.Microsecond))
}

func (v *visits) count(connections uint64) {
	v.lock.Lock()
	defer v.lock.Unlock()
	v.made += connections
}
