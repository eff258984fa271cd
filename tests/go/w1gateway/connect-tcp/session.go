// Package connecttcp is a TCP gateway: one goroutine per connection, in a read loop. A packet is a byte with the
// length of its content, and the content; it comes with one Read.
package connecttcp

import (
	"errors"
	"math/rand/v2"
	"net"
	"time"
)

var errEmpty = errors.New("a packet without content")

// Serve starts a session for each connection. pause is the mean time that a session does without the processor after
// a packet that is not whole.
func Serve(listener net.Listener, pause time.Duration) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go tcpStartSession(conn, pause)
	}
}

// tcpStartSession answers each packet with itself.
func tcpStartSession(conn net.Conn, pause time.Duration) {
	defer conn.Close()
	packet := make([]byte, 256)
	for {
		n, err := conn.Read(packet)
		if err != nil {
			return
		}
		whole, _ := IsWhole(packet[:n]) // the mistake: the error says that there is nothing more to wait for
		if !whole {
			time.Sleep(time.Duration(rand.ExpFloat64() * float64(pause)))
			continue
		}
		conn.Write(packet[:n])
	}
}

// IsWhole tells whether packet has all its content; one without any is an error and will never be whole.
func IsWhole(packet []byte) (bool, error) {
	if packet[0] == 0 {
		return false, errEmpty
	}
	return len(packet) > int(packet[0]), nil
}
