// SPDX-License-Identifier: MIT

package tunnel

import (
	"encoding/binary"
	"sync/atomic"
)

// Fields of a KCP segment.
const (
	segmentHeadBytes = 24
	segmentCmdAt     = 4
	segmentNumberAt  = 12
	segmentUnaAt     = 16
	segmentLengthAt  = 20
	segmentCmdPush   = 81
)

// ackWatch reads the packets that pass by to learn whether the peer has all that was sent. kcp-go
// cannot be asked, and drops what is unacknowledged when a session is closed: a program that ends
// right after its last write would never have written it.
type ackWatch struct {
	next  uint32 // after the last segment sent
	acked uint32 // the peer has all before this one
}

// advance moves *mark on to number, if that is later.
func advance(mark *uint32, number uint32) {
	for {
		old := atomic.LoadUint32(mark)
		if int32(number-old) <= 0 || atomic.CompareAndSwapUint32(mark, old, number) {
			return
		}
	}
}

// sent walks the segments of b, which kcp-go made.
func (w *ackWatch) sent(b []byte) {
	for len(b) >= segmentHeadBytes {
		if b[segmentCmdAt] == segmentCmdPush {
			advance(&w.next, binary.LittleEndian.Uint32(b[segmentNumberAt:])+1)
		}
		length := binary.LittleEndian.Uint32(b[segmentLengthAt:])
		b = b[segmentHeadBytes:]
		if uint64(length) > uint64(len(b)) {
			return
		}
		b = b[length:]
	}
}

// received looks at the first segment alone: one packet says one thing about what has arrived.
func (w *ackWatch) received(b []byte) {
	if len(b) >= segmentHeadBytes {
		advance(&w.acked, binary.LittleEndian.Uint32(b[segmentUnaAt:]))
	}
}

func (w *ackWatch) drained() bool {
	return atomic.LoadUint32(&w.next) == atomic.LoadUint32(&w.acked)
}
