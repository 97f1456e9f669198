// An echo client and server over turbotunnel.go, which is the library through cgo.
//
//	echo server ADDR:PORT      says "listening on ADDR:PORT" on standard error, and echoes
//	echo client ADDR:PORT      standard input -> server -> standard output
package main

import (
	"fmt"
	"io"
	"os"
	"sync"
)

func serveSession(session Session) {
	var streams sync.WaitGroup
	for {
		stream, err := session.AcceptStream()
		if err != nil { // the session is over, and so are its streams
			break
		}
		streams.Add(1)
		go func() {
			defer streams.Done()
			defer stream.Close()
			io.Copy(stream, stream)
		}()
	}
	streams.Wait()
	session.Close()
}

func serve(address string) error {
	listener, err := Listen(address)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "listening on", listener.Address())
	for {
		session, err := listener.Accept()
		if err != nil {
			return err
		}
		go serveSession(session)
	}
}

func talk(address string) error {
	session, err := Dial(address)
	if err != nil {
		return err
	}
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	go func() {
		if _, err := io.Copy(stream, os.Stdin); err == nil {
			stream.CloseWrite()
		}
	}()
	if _, err := io.Copy(os.Stdout, stream); err != nil {
		return err
	}
	return session.Close()
}

func main() {
	run, known := map[string]func(string) error{"server": serve, "client": talk}[append(os.Args, "", "")[1]]
	if !known || len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "Usage: echo server|client ADDR:PORT")
		os.Exit(2)
	}
	if err := run(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}
