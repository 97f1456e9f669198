// SPDX-License-Identifier: MIT

package tunnel

import (
	"runtime/debug"
	"time"

	"github.com/xtaci/kcp-go"
	"github.com/xtaci/smux"
)

// Profile is one set of parameters for all layers.
type Profile struct {
	Options
	tuned       bool
	smuxVersion int
}

const (
	defaultQueuePackets      = 32
	defaultClientStreamBytes = 1 << 20

	tunedQueuePackets = 8192
	tunedWindow       = 4096 // segments
	tunedMTU          = packetBytesMax
	tunedFrameBytes   = 65535
	tunedStreamBytes  = 4 << 20
	tunedSessionBytes = 32 << 20
	tunedGCPercent    = 400

	keepaliveTimeout = time.Minute
)

// NewProfile returns the parameters of the worked example, or those of a pair tuned for throughput.
func NewProfile(tuned bool, smuxVersion int) Profile {
	p := Profile{tuned: tuned, smuxVersion: smuxVersion}
	p.QueuePackets = defaultQueuePackets
	if tuned {
		p.QueuePackets = tunedQueuePackets
		p.JoinPackets = true
		debug.SetGCPercent(tunedGCPercent)
	}
	return p
}

// ConfigureKCP sets up one end of a KCP session.
func (p *Profile) ConfigureKCP(s *kcp.UDPSession) {
	if p.tuned {
		s.SetStreamMode(true)
		s.SetNoDelay(1, 10, 2, 1)
		s.SetWindowSize(tunedWindow, tunedWindow)
		s.SetMtu(tunedMTU)
	}
}

// SmuxServer returns the parameters for a server's end.
func (p *Profile) SmuxServer() *smux.Config {
	config := smux.DefaultConfig()
	config.Version = p.smuxVersion
	config.KeepAliveTimeout = keepaliveTimeout
	if p.tuned {
		config.MaxFrameSize = tunedFrameBytes
		config.MaxStreamBuffer = tunedStreamBytes
		config.MaxReceiveBuffer = tunedSessionBytes
	}
	return config
}

// SmuxClient returns the parameters for a client's end.
func (p *Profile) SmuxClient() *smux.Config {
	config := p.SmuxServer()
	if !p.tuned {
		config.MaxStreamBuffer = defaultClientStreamBytes
	}
	return config
}
