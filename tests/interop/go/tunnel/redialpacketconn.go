// SPDX-License-Identifier: MIT

package tunnel

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errNoDeadlines = errors.New("this packet connection has no deadlines")
	errNotDrained  = errors.New("the server has not acknowledged all that was sent")
)

const (
	redialPause = 50 * time.Millisecond // after a dial that failed, never after a connection
	drainPoll   = time.Millisecond
)

// RedialPacketConn is the client's packet connection: it dials one address again and again, and says
// on each connection first which session it belongs to.
type RedialPacketConn struct {
	id       SessionID
	address  string
	options  Options
	incoming chan *packet
	outgoing chan *packet
	watch    ackWatch
	dialled  uint64
	closed   chan struct{}
	once     sync.Once
	err      error // why it is closed; set before closed is
}

// NewRedialPacketConn starts to dial address, and does so until it is closed.
func NewRedialPacketConn(id SessionID, address string, o Options) *RedialPacketConn {
	c := &RedialPacketConn{
		id:       id,
		address:  address,
		options:  o,
		incoming: make(chan *packet, o.QueuePackets),
		outgoing: make(chan *packet, o.QueuePackets),
		closed:   make(chan struct{}),
	}
	go c.loop()
	return c
}

// Connections is how many TCP connections were made so far.
func (c *RedialPacketConn) Connections() uint64 { return atomic.LoadUint64(&c.dialled) }

// Drain waits until the peer has acknowledged all that KCP has sent, for at most limit.
func (c *RedialPacketConn) Drain(limit time.Duration) error {
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	late := time.After(limit)
	for !c.watch.drained() {
		select {
		case <-poll.C:
		case <-c.closed:
			return c.err
		case <-late:
			return errNotDrained
		}
	}
	return nil
}

func (c *RedialPacketConn) loop() {
	for {
		conn, err := net.Dial("tcp", c.address)
		switch {
		case err == nil:
			c.carry(conn)
		case c.options.DialRetry:
			c.options.Logf("session %s: dial: %v; trying again", c.id, err)
			c.pause(redialPause)
		default:
			c.closeWith(err)
		}
		select {
		case <-c.closed:
			return
		default:
		}
	}
}

func (c *RedialPacketConn) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.closed:
	}
}

// carry uses conn until it ends.
func (c *RedialPacketConn) carry(conn net.Conn) {
	count := atomic.AddUint64(&c.dialled, 1)
	c.options.Logf("session %s: connection %d from %v", c.id, count, conn.LocalAddr())
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-c.closed:
			conn.Close()
		case <-over:
		}
	}()
	_, err := conn.Write(c.id.Bytes())
	if err == nil {
		r := bufio.NewReaderSize(conn, c.options.bufferBytes())
		err = exchange(conn, r, &c.options, func() <-chan *packet { return c.outgoing },
			c.queueIncoming)
	}
	conn.Close()
	c.options.Logf("session %s: connection %d ended: %v", c.id, count, err)
}

// queueIncoming waits for room: there is nobody else whom that could hold up.
func (c *RedialPacketConn) queueIncoming(p *packet) {
	select {
	case c.incoming <- p:
	case <-c.closed:
		p.release()
	}
}

// ReadFrom is part of net.PacketConn.
func (c *RedialPacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.incoming:
		n := copy(b, p.bytes())
		p.release()
		c.watch.received(b[:n])
		return n, c.id, nil
	case <-c.closed:
		return 0, nil, c.err
	}
}

// WriteTo is part of net.PacketConn. A packet that finds the queue full is dropped, as on a network.
func (c *RedialPacketConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case <-c.closed:
		return 0, c.err
	default:
	}
	c.watch.sent(b)
	p := newPacket(b)
	select {
	case c.outgoing <- p:
	default:
		p.release()
	}
	return len(b), nil
}

func (c *RedialPacketConn) closeWith(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.closed)
	})
}

// Close ends the current connection and all reads and writes.
func (c *RedialPacketConn) Close() error {
	c.closeWith(net.ErrClosed)
	return nil
}

// LocalAddr is part of net.PacketConn.
func (c *RedialPacketConn) LocalAddr() net.Addr { return c.id }

// SetDeadline is part of net.PacketConn; kcp-go sets no deadlines.
func (c *RedialPacketConn) SetDeadline(time.Time) error { return errNoDeadlines }

// SetReadDeadline is part of net.PacketConn.
func (c *RedialPacketConn) SetReadDeadline(time.Time) error { return errNoDeadlines }

// SetWriteDeadline is part of net.PacketConn.
func (c *RedialPacketConn) SetWriteDeadline(time.Time) error { return errNoDeadlines }
