// SPDX-License-Identifier: MIT

// Package tunnel holds what a Turbo Tunnel in Go puts under KCP: packet connections whose addresses
// are session IDs and whose packets travel in TCP connections that may end at any time.
package tunnel

import (
	"crypto/rand"
	"encoding/hex"
	"io"
)

const sessionIDBytes = 8

// SessionID names a session in place of a network address. It is kept as text (16 hexadecimal
// digits), because kcp-go asks an address for its text once per packet.
type SessionID string

// NewSessionID returns a random ID.
func NewSessionID() (SessionID, error) {
	return ReadSessionID(rand.Reader)
}

// ReadSessionID takes the 8 bytes that begin every connection of a client.
func ReadSessionID(r io.Reader) (SessionID, error) {
	var raw [sessionIDBytes]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return "", err
	}
	return SessionID(hex.EncodeToString(raw[:])), nil
}

// Bytes returns the ID as it is on the wire.
func (id SessionID) Bytes() []byte {
	raw, err := hex.DecodeString(string(id))
	if err != nil {
		panic(err) // only ReadSessionID makes IDs
	}
	return raw
}

// Network is part of net.Addr.
func (id SessionID) Network() string { return "session" }

// String is part of net.Addr.
func (id SessionID) String() string { return string(id) }
