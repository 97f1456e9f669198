// SPDX-License-Identifier: MIT

package tunnel

import (
	"net"
	"sync"
	"time"
)

// QueuePacketConn is a net.PacketConn between KCP, which pushes packets, and carriers, which fetch
// them: a queue of incoming packets for all, and a queue of outgoing ones for each session ID.
type QueuePacketConn struct {
	local    net.Addr
	incoming chan incomingPacket
	remotes  *remoteMap
	closed   chan struct{}
	once     sync.Once
}

type incomingPacket struct {
	*packet
	from net.Addr
}

// NewQueuePacketConn makes one whose address is local. timeout is for outgoing queues out of use.
func NewQueuePacketConn(local net.Addr, packets int, timeout time.Duration) *QueuePacketConn {
	return &QueuePacketConn{
		local:    local,
		incoming: make(chan incomingPacket, packets),
		remotes:  newRemoteMap(packets, timeout),
		closed:   make(chan struct{}),
	}
}

// queueIncoming hands p to the next ReadFrom, or drops it when too many wait.
func (c *QueuePacketConn) queueIncoming(p *packet, from net.Addr) {
	select {
	case c.incoming <- incomingPacket{p, from}:
	default:
		p.release()
	}
}

// outgoingQueue returns the packets for id.
func (c *QueuePacketConn) outgoingQueue(id SessionID) <-chan *packet { return c.remotes.queue(id) }

// ReadFrom is part of net.PacketConn.
func (c *QueuePacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.incoming:
		n := copy(b, p.bytes())
		p.release()
		return n, p.from, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo is part of net.PacketConn. A packet that finds its queue full is dropped, as on a network.
func (c *QueuePacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	p := newPacket(b)
	if !c.remotes.put(to.(SessionID), p) {
		p.release()
	}
	return len(b), nil
}

// Close ends all reads and writes.
func (c *QueuePacketConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// LocalAddr is part of net.PacketConn.
func (c *QueuePacketConn) LocalAddr() net.Addr { return c.local }

// SetDeadline is part of net.PacketConn; kcp-go sets no deadlines.
func (c *QueuePacketConn) SetDeadline(time.Time) error { return errNoDeadlines }

// SetReadDeadline is part of net.PacketConn.
func (c *QueuePacketConn) SetReadDeadline(time.Time) error { return errNoDeadlines }

// SetWriteDeadline is part of net.PacketConn.
func (c *QueuePacketConn) SetWriteDeadline(time.Time) error { return errNoDeadlines }
