// The library from Go, through cgo: blocking calls, one goroutine each. This file is what another
// program takes over.
package main

/*
#cgo pkg-config: turbotunnel
#include <stdlib.h>
#include <turbotunnel/turbotunnel.h>
*/
import "C"

import (
	"errors"
	"io"
	"unsafe"
)

func errorOf(code C.int, why *C.struct_tt_error_text) error {
	if code == C.TT_OK {
		return nil
	}
	if code == C.TT_E_END {
		return io.EOF
	}
	if why != nil && why.text[0] != 0 {
		return errors.New(C.GoString(&why.text[0]))
	}
	return errors.New(C.GoString(C.tt_strerror(code)))
}

// A Stream is a reader and a writer; both may be in use at once.
type Stream struct{ c *C.struct_tt_stream }

func (s Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var n C.size_t
	err := errorOf(C.tt_stream_read(s.c, unsafe.Pointer(&p[0]), C.size_t(len(p)), &n), nil)
	return int(n), err
}

// Write takes all of p, or fails.
func (s Stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := errorOf(C.tt_stream_write(s.c, unsafe.Pointer(&p[0]), C.size_t(len(p))), nil); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite ends our side; reading goes on.
func (s Stream) CloseWrite() error { return errorOf(C.tt_stream_shutdown(s.c), nil) }

// Close invalidates the stream: no other goroutine may be in a call on it.
func (s Stream) Close() { C.tt_stream_close(s.c) }

type Session struct{ c *C.struct_tt_session }

func Dial(address string) (Session, error) {
	var s Session
	var why C.struct_tt_error_text
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	err := errorOf(C.tt_dial(text, nil, &s.c, &why), &why)
	return s, err
}

func (s Session) OpenStream() (Stream, error) {
	var stream Stream
	err := errorOf(C.tt_session_open_stream(s.c, &stream.c), nil)
	return stream, err
}

func (s Session) AcceptStream() (Stream, error) {
	var stream Stream
	err := errorOf(C.tt_session_accept_stream(s.c, &stream.c), nil)
	return stream, err
}

// Close waits until what was written has arrived.
func (s Session) Close() error { return errorOf(C.tt_session_close(s.c), nil) }

type Listener struct{ c *C.struct_tt_listener }

func Listen(address string) (Listener, error) {
	var l Listener
	var why C.struct_tt_error_text
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	err := errorOf(C.tt_listen(text, nil, &l.c, &why), &why)
	return l, err
}

func (l Listener) Address() string { return C.GoString(C.tt_listener_address(l.c)) }

func (l Listener) Accept() (Session, error) {
	var s Session
	err := errorOf(C.tt_listener_accept(l.c, &s.c), nil)
	return s, err
}
