// SPDX-License-Identifier: MIT

package tunnel

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync"
)

const (
	lengthBytes     = 2
	packetBytesMax  = 1500 // kcp-go reads no more of a packet than this
	bufferBytesTCP  = 4096
	bufferBytesFast = 65536
)

// packet is one KCP packet on its way between KCP and a carrier.
type packet struct {
	used int
	data [packetBytesMax]byte
}

var packetPool = sync.Pool{New: func() interface{} { return new(packet) }}

// newPacket copies b, cut to what kcp-go would look at. The caller releases the packet.
func newPacket(b []byte) *packet {
	p := packetPool.Get().(*packet)
	p.used = copy(p.data[:], b)
	return p
}

func (p *packet) bytes() []byte { return p.data[:p.used] }

func (p *packet) release() { packetPool.Put(p) }

// readPacket reads one length and the packet that follows it. The caller releases the packet.
func readPacket(r *bufio.Reader) (*packet, error) {
	head, err := r.Peek(lengthBytes)
	if err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(head))
	r.Discard(lengthBytes)

	p := packetPool.Get().(*packet)
	p.used = length
	if p.used > packetBytesMax {
		p.used = packetBytesMax
	}
	if _, err := io.ReadFull(r, p.bytes()); err != nil {
		p.release()
		return nil, err
	}
	if _, err := r.Discard(length - p.used); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// writePacket writes a length and a packet; the bytes leave when w is flushed.
func writePacket(w *bufio.Writer, p *packet) error {
	var head [lengthBytes]byte
	binary.BigEndian.PutUint16(head[:], uint16(p.used))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(p.bytes())
	return err
}
