// SPDX-License-Identifier: MIT

package tunnel

import (
	"bufio"
	"net"
	"sync/atomic"
	"time"
)

// An outgoing queue out of use lives between this and half as long again.
const queueTimeout = time.Minute

// ListenerPacketConn is the server's packet connection: a QueuePacketConn fed by the connections that
// a TCP listener accepts.
type ListenerPacketConn struct {
	*QueuePacketConn
	listener net.Listener
	options  Options
	accepted uint64
}

// NewListenerPacketConn starts to accept connections of l and owns it from then on.
func NewListenerPacketConn(l net.Listener, o Options) *ListenerPacketConn {
	c := &ListenerPacketConn{
		QueuePacketConn: NewQueuePacketConn(l.Addr(), o.QueuePackets, queueTimeout),
		listener:        l,
		options:         o,
	}
	go c.acceptConnections()
	return c
}

// Connections is how many TCP connections were accepted so far.
func (c *ListenerPacketConn) Connections() uint64 { return atomic.LoadUint64(&c.accepted) }

// Close closes the listener too. Connections end when their peers do.
func (c *ListenerPacketConn) Close() error {
	c.QueuePacketConn.Close()
	return c.listener.Close()
}

func (c *ListenerPacketConn) acceptConnections() {
	defer c.QueuePacketConn.Close()
	for {
		conn, err := c.listener.Accept()
		if e, ok := err.(net.Error); ok && e.Temporary() {
			continue
		}
		if err != nil {
			c.options.Logf("accept: %v", err)
			return
		}
		atomic.AddUint64(&c.accepted, 1)
		go c.handleConnection(conn)
	}
}

func (c *ListenerPacketConn) handleConnection(conn net.Conn) {
	r := bufio.NewReaderSize(conn, c.options.bufferBytes())
	id, err := ReadSessionID(r)
	if err != nil {
		c.options.Logf("connection from %v: no session ID: %v", conn.RemoteAddr(), err)
		conn.Close()
		return
	}
	c.options.Logf("session %s: connection from %v", id, conn.RemoteAddr())
	from := net.Addr(id)
	err = exchange(conn, r, &c.options,
		func() <-chan *packet { return c.outgoingQueue(id) },
		func(p *packet) { c.queueIncoming(p, from) })
	c.options.Logf("session %s: connection from %v ended: %v", id, conn.RemoteAddr(), err)
}
