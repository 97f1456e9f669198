// Makes the vectors of sealed sessions: make_vectors FILE (crypto, noise, keys or data), to standard
// output. It stands on Debian's Go packages alone: flynn/noise for the handshakes, x/crypto for the rest,
// none of which uses libcrypto. How it is run: tests/interop/seal_vectors_test.py.
package main

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"hash"
	"os"
	"reflect"
	"strings"

	"github.com/flynn/noise"
	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/curve25519"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "make_vectors:", err)
		os.Exit(1)
	}
}

// n bytes that depend on nothing but the label.
func fixed(label string, n int) []byte {
	var out []byte
	for i := byte(0); len(out) < n; i++ {
		block := blake2s.Sum256(append([]byte(label), i))
		out = append(out, block[:]...)
	}
	return out[:n]
}

func item(key string, value interface{}) {
	text := ""
	switch v := value.(type) {
	case []byte:
		text = fmt.Sprintf("%x", v)
	default:
		text = fmt.Sprint(v)
	}
	fmt.Println(strings.TrimRight(key+": "+text, " "))
}

func hmacOf(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(func() hash.Hash {
		h, err := blake2s.New256(nil)
		must(err)
		return h
	}, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

func publicOf(private []byte) []byte {
	public, err := curve25519.X25519(private, curve25519.Basepoint)
	must(err)
	return public
}

// Noise's nonce: 4 zero bytes, then the number, little-endian.
func seal(key []byte, nonce uint64, ad, plain []byte) []byte {
	aead, err := chacha20poly1305.New(key)
	must(err)
	n := make([]byte, chacha20poly1305.NonceSize)
	binary.LittleEndian.PutUint64(n[4:], nonce)
	return aead.Seal(nil, n, plain, ad)
}

func makeCrypto() {
	for _, n := range []int{0, 1, 3, 63, 64, 65, 127, 128, 129, 1000} {
		data := fixed("hashed", n)
		sum := blake2s.Sum256(data)
		item("data", data)
		item("hash", sum[:])
		item("key", fixed("hmac key", 32))
		item("hmac", hmacOf(fixed("hmac key", 32), data))
	}
	for i := 0; i < 8; i++ {
		a, b := fixed(fmt.Sprint("private a", i), 32), fixed(fmt.Sprint("private b", i), 32)
		shared, err := curve25519.X25519(a, publicOf(b))
		must(err)
		item("private", a)
		item("public", publicOf(a))
		item("peer", publicOf(b))
		item("shared", shared)
	}
	nonces := []uint64{0, 1, 255, 256, 0x0102030405060708, 1<<32 - 1, 1<<64 - 2}
	for i, n := range []int{0, 1, 15, 16, 17, 63, 64, 65, 256, 1400, 5000} {
		key, nonce := fixed(fmt.Sprint("aead key", i), 32), nonces[i%len(nonces)]
		ad, plain := fixed("associated", (i*5)%33), fixed(fmt.Sprint("plain", i), n)
		item("key", key)
		item("nonce", nonce)
		item("ad", ad)
		item("plain", plain)
		item("sealed", seal(key, nonce, ad, plain))
	}
}

func pairOf(label string) noise.DHKey {
	private := fixed(label, 32)
	return noise.DHKey{Private: private, Public: publicOf(private)}
}

type handshake struct {
	name               string
	number             byte
	pattern            noise.HandshakePattern
	payload1, payload2 []byte
}

func (h handshake) prologue(id []byte) []byte {
	return append(append([]byte("turbotunnel sealed 1"), 1, 1, h.number, 0), id...)
}

// The package keeps it to itself.
func keyIn(c *noise.CipherState) []byte {
	k := reflect.ValueOf(c).Elem().FieldByName("k")
	key := make([]byte, k.Len())
	for i := range key {
		key[i] = byte(k.Index(i).Uint())
	}
	return key
}

// What was said and agreed, at both ends the same, or it is no vector.
func (h handshake) run() {
	server, client := pairOf(h.name+" server"), pairOf(h.name+" client")
	eInit, eResp := pairOf(h.name+" initiator's ephemeral"), pairOf(h.name+" responder's ephemeral")
	id := fixed(h.name+" session", 8)
	suite := noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashBLAKE2s)
	config := noise.Config{CipherSuite: suite, Pattern: h.pattern, Prologue: h.prologue(id)}
	up, down := config, config
	up.Initiator, up.PeerStatic, up.Random = true, server.Public, bytes.NewReader(eInit.Private)
	down.StaticKeypair, down.Random = server, bytes.NewReader(eResp.Private)
	if h.number == 2 {
		up.StaticKeypair = client
	}
	initiator, err := noise.NewHandshakeState(up)
	must(err)
	responder, err := noise.NewHandshakeState(down)
	must(err)

	message1, _, _, err := initiator.WriteMessage(nil, h.payload1)
	must(err)
	got1, _, _, err := responder.ReadMessage(nil, message1)
	must(err)
	h1 := append([]byte(nil), responder.ChannelBinding()...)
	message2, rUp, rDown, err := responder.WriteMessage(nil, h.payload2)
	must(err)
	got2, iUp, iDown, err := initiator.ReadMessage(nil, message2)
	must(err)
	keyUp, keyDown := keyIn(iUp), keyIn(iDown)
	if !bytes.Equal(got1, h.payload1) || !bytes.Equal(got2, h.payload2) || !bytes.Equal(keyIn(rUp), keyUp) ||
		!bytes.Equal(keyIn(rDown), keyDown) || !bytes.Equal(initiator.ChannelBinding(), responder.ChannelBinding()) {
		must(fmt.Errorf("%s: the ends do not agree", h.name))
	}

	item("handshake", h.name)
	item("pattern", h.number)
	item("prologue", h.prologue(id))
	item("server_private", server.Private)
	item("server_public", server.Public)
	if h.number == 2 {
		item("client_private", client.Private)
		item("client_public", client.Public)
	}
	item("initiator_ephemeral", eInit.Private)
	item("responder_ephemeral", eResp.Private)
	item("payload1", h.payload1)
	item("message1", message1)
	item("h1", h1)
	item("payload2", h.payload2)
	item("message2", message2)
	item("up", keyUp)
	item("down", keyDown)
	item("h", initiator.ChannelBinding())
}

func makeNoise() {
	for _, n := range []int{0, 10, 256} {
		one, two := fixed("first payload", n), fixed("second payload", n)
		handshake{fmt.Sprint("NK ", n), 1, noise.HandshakeNK, one, two}.run()
		handshake{fmt.Sprint("IK ", n), 2, noise.HandshakeIK, one, two}.run()
	}
}

// Of epoch 0, and those of the epochs up to the last one.
func secretsUpTo(last int) [][]byte {
	secrets := [][]byte{fixed("secret of epoch 0", 32)}
	for len(secrets) <= last {
		secrets = append(secrets, hmacOf(secrets[len(secrets)-1], []byte{1}))
	}
	return secrets
}

func keyOf(secrets [][]byte, carrier uint32) []byte {
	number := []byte{byte(carrier >> 16), byte(carrier >> 8), byte(carrier)}
	return hmacOf(secrets[carrier/64], []byte{2}, number)
}

func makeKeys() {
	const last = 1030
	secrets := secretsUpTo(last)
	item("secret", secrets[0])
	for _, epoch := range []int{1, 2, 3, 64, 65, 1029, last} {
		item("epoch", epoch)
		item("epoch_secret", secrets[epoch])
	}
	for _, carrier := range []uint32{0, 1, 63, 64, 127, 128, 255, 256, 4095, 4160, 0xffff, 0x10000, 0x1017f} {
		item("carrier", carrier)
		item("key", keyOf(secrets, carrier))
	}
}

func makeData() {
	secrets := secretsUpTo(1032)
	item("secret", secrets[0])
	for _, d := range []struct {
		carrier, counter uint32
		kind             byte
		body, padding    int
	}{
		{0, 0, 1, 9, 0}, {0, 1, 0, 24, 0}, {1, 0, 2, 8, 31}, {64, 7, 0, 1375, 0}, {0x10203, 0x04050607, 0, 300, 0},
		{63, 1<<32 - 2, 0, 0, 0}, {128, 3, 0, 100, 300}, {5, 2, 0x7f, 0, 1}, {5, 3, 4, 1, 0},
	} {
		plain := append([]byte{d.kind}, fixed("body", d.body)...)
		if d.padding > 0 {
			plain[0] |= 0x80
			plain = append(plain, make([]byte, d.padding)...)
			plain = append(plain, byte(d.padding>>8), byte(d.padding))
		}
		header := []byte{3, byte(d.carrier >> 16), byte(d.carrier >> 8), byte(d.carrier), 0, 0, 0, 0}
		binary.BigEndian.PutUint32(header[4:], d.counter)
		item("carrier", d.carrier)
		item("counter", d.counter)
		item("kind", d.kind)
		item("padding", d.padding)
		item("body", fixed("body", d.body))
		item("plain", plain)
		item("packet", append(header, seal(keyOf(secrets, d.carrier), uint64(d.counter), header, plain)...))
	}
}

func main() {
	makers := map[string]func(){"crypto": makeCrypto, "noise": makeNoise, "keys": makeKeys, "data": makeData}
	if len(os.Args) != 2 || makers[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: make_vectors crypto|noise|keys|data")
		os.Exit(2)
	}
	fmt.Println("# Made by make_vectors.go; the format is described in ../README.md.")
	makers[os.Args[1]]()
}
