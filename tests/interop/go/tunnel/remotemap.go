// SPDX-License-Identifier: MIT

package tunnel

import (
	"sync"
	"time"
)

// remoteMap keeps a queue of outgoing packets for each session ID, and forgets those that nobody has
// used for a while. What is forgotten costs no data: KCP sends it again.
type remoteMap struct {
	lock    sync.Mutex
	remotes map[SessionID]*remote
	length  int
}

type remote struct {
	queue    chan *packet
	lastUsed time.Time
}

func newRemoteMap(length int, timeout time.Duration) *remoteMap {
	m := &remoteMap{remotes: make(map[SessionID]*remote), length: length}
	go func() {
		for now := range time.Tick(timeout / 2) {
			m.expire(now.Add(-timeout))
		}
	}()
	return m
}

// use returns the queue of id, made if need be. The lock is held.
func (m *remoteMap) use(id SessionID) chan *packet {
	r, ok := m.remotes[id]
	if !ok {
		r = &remote{queue: make(chan *packet, m.length)}
		m.remotes[id] = r
	}
	r.lastUsed = time.Now()
	return r.queue
}

// queue returns the queue to take packets of id from; it is closed when it expires.
func (m *remoteMap) queue(id SessionID) <-chan *packet {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.use(id)
}

// put adds p to the queue of id; false when that is full. Under the lock, so that no packet is put
// into a queue that has been closed.
func (m *remoteMap) put(id SessionID, p *packet) bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	select {
	case m.use(id) <- p:
		return true
	default:
		return false
	}
}

func (m *remoteMap) expire(before time.Time) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for id, r := range m.remotes {
		if r.lastUsed.Before(before) {
			close(r.queue)
			delete(m.remotes, id)
		}
	}
}
