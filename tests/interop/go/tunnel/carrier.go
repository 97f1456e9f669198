// SPDX-License-Identifier: MIT

package tunnel

import (
	"bufio"
	"net"
)

// Options is what the two ends of a packet connection may set.
type Options struct {
	QueuePackets int                                      // length of each queue
	JoinPackets  bool                                     // waiting packets leave in one TCP write
	DialRetry    bool                                     // a dial that fails is tried again
	Logf         func(format string, args ...interface{}) // never nil
}

func (o *Options) bufferBytes() int {
	if o.JoinPackets {
		return bufferBytesFast
	}
	return bufferBytesTCP
}

// exchange moves packets both ways until either direction fails, closes conn, and returns the first
// error. outgoing is called again whenever the queue that it returned is empty.
func exchange(conn net.Conn, r *bufio.Reader, o *Options, outgoing func() <-chan *packet,
	incoming func(*packet)) error {
	over := make(chan struct{})
	errs := make(chan error, 2)
	go func() { errs <- receivePackets(r, incoming) }()
	go func() { errs <- sendPackets(conn, o, outgoing, over) }()
	err := <-errs
	close(over)
	conn.Close()
	<-errs
	return err
}

func receivePackets(r *bufio.Reader, incoming func(*packet)) error {
	for {
		p, err := readPacket(r)
		if err != nil {
			return err
		}
		incoming(p)
	}
}

func sendPackets(conn net.Conn, o *Options, outgoing func() <-chan *packet,
	over <-chan struct{}) error {
	w := bufio.NewWriterSize(conn, o.bufferBytes())
	for {
		queue := outgoing()
		select {
		case p, open := <-queue:
			if !open {
				continue // the queue expired: there is a new one
			}
			if err := sendWaiting(w, o, p, queue); err != nil {
				return err
			}
		case <-over:
			return nil
		}
	}
}

// sendWaiting sends p and everything that waits behind it.
func sendWaiting(w *bufio.Writer, o *Options, p *packet, queue <-chan *packet) error {
	for p != nil {
		err := writePacket(w, p)
		p.release()
		if err != nil {
			return err
		}
		p = nil
		select {
		case p = <-queue: // nil when the queue has expired
		default:
		}
		if p == nil || !o.JoinPackets {
			if err := w.Flush(); err != nil {
				if p != nil {
					p.release()
				}
				return err
			}
		}
	}
	return nil
}
