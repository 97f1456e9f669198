// SPDX-License-Identifier: MIT

package tunnel

import (
	"encoding/json"
	"io"
	"syscall"
	"time"

	"github.com/xtaci/kcp-go"
)

// Stats is what KCP counted over all sessions of this program, and what the program used.
type Stats struct {
	RetransSegs      uint64
	FastRetransSegs  uint64
	EarlyRetransSegs uint64
	LostSegs         uint64
	RepeatSegs       uint64
	InErrs           uint64
	KCPInErrors      uint64
	InPkts           uint64
	OutPkts          uint64
	InSegs           uint64
	OutSegs          uint64
	BytesSent        uint64
	BytesReceived    uint64
	Connections      uint64  `json:"connections"`
	CPUSeconds       float64 `json:"cpu_seconds"`
}

// ReadStats reads the counters; connections is the caller's count of TCP connections.
func ReadStats(connections uint64) Stats {
	s := kcp.DefaultSnmp.Copy()
	return Stats{
		RetransSegs:      s.RetransSegs,
		FastRetransSegs:  s.FastRetransSegs,
		EarlyRetransSegs: s.EarlyRetransSegs,
		LostSegs:         s.LostSegs,
		RepeatSegs:       s.RepeatSegs,
		InErrs:           s.InErrs,
		KCPInErrors:      s.KCPInErrors,
		InPkts:           s.InPkts,
		OutPkts:          s.OutPkts,
		InSegs:           s.InSegs,
		OutSegs:          s.OutSegs,
		BytesSent:        s.BytesSent,
		BytesReceived:    s.BytesReceived,
		Connections:      connections,
		CPUSeconds:       CPUSeconds(),
	}
}

// CPUSeconds is the user and system time of this process.
func CPUSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return (time.Duration(usage.Utime.Nano()) + time.Duration(usage.Stime.Nano())).Seconds()
}

// WriteJSON writes v as one line.
func WriteJSON(w io.Writer, v interface{}) error { return json.NewEncoder(w).Encode(v) }
