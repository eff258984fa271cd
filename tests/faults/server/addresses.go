package main

import (
	"fmt"
	"log"
	"net"
	"syscall"
)

// The kinds of this file and of tls.go have an address of their own, because they misbehave before a request.
var listenKinds = []kind{
	{name: "refused", format: text, about: "nothing listens at the address", listen: func(*server, kind) string {
		return "http://" + unused()
	}},
	{name: "never-accepts", format: text, about: "the listener never accepts a connection", listen: func(*server, kind) string {
		deaf = newListener("127.0.0.1:0")
		return "http://" + deaf.Addr().String()
	}},
	{name: "close-at-accept", format: text, about: "closes each connection at once", listen: accepting(func(conn net.Conn) { conn.Close() })},
	{name: "reset-at-accept", format: text, about: "resets each connection at once", listen: accepting(func(conn net.Conn) {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	})},
	{name: "talks-first", format: text, about: "sends a response before the request", listen: accepting(func(conn net.Conn) {
		x := &exchange{conn: conn}
		defer conn.Close()
		defer func() { recover() }() // the client may be gone
		x.answer("200 OK", "goroutine profile: total 0\n")
	})},
}

// deaf holds the listener that never accepts: the collector would close it.
var deaf net.Listener

// unused binds a port without listening, so that connections are refused and the port stays taken.
func unused() string {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		log.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		log.Fatal(err)
	}
	return fmt.Sprint("127.0.0.1:", bound.(*syscall.SockaddrInet4).Port)
}

// accepting returns a listen function that passes each connection to `serve`.
func accepting(serve func(net.Conn)) func(*server, kind) string {
	return func(*server, kind) string {
		listener := newListener("127.0.0.1:0")
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go serve(conn)
			}
		}()
		return "http://" + listener.Addr().String()
	}
}
