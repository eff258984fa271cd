// Command w2push leaks like a push service did in production: each socket has a reader and a writer goroutine.
// At the end of a connection the reader counts it in a channel that a slow statistics server empties. Once its
// buffer is full the reader stays in chan send, and so does the writer that the reader would have stopped.
//
// The profile then has main.(*session).reader in chan send and main.(*session).writer in select, each alone on its
// stack, growing in step. A quick statistics server (-slow 1ms) makes the same program healthy.
package main

import (
	"bytes"
	"context"
	"flag"
	"net"
	"time"

	"example.com/leaks/internal/serve"
	"example.com/leaks/internal/traffic"
)

func main() {
	options := serve.Flags()
	buffer := flag.Int("buffer", 10, "of the statistics' channel")
	slow := flag.Duration("slow", time.Minute, "what the statistics server needs for one connection")
	serve.Main(func(ctx context.Context, url string) {
		options.Sockets(1)
		listener := serve.Listen()
		push := &service{statistics: make(chan int, *buffer)}
		go push.count(*slow)
		go push.accept(listener)
		go traffic.Run(ctx, url, 80*time.Second, 40)
		options.Each(ctx, func() { connectAndLeave(listener.Addr().String()) })
	})
}

type service struct {
	statistics chan int // bytes received over each connection that ended
}

// count is the statistics server.
func (s *service) count(slow time.Duration) {
	for range s.statistics {
		time.Sleep(slow)
	}
}

func (s *service) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		session := &session{service: s, conn: conn, messages: make(chan []byte, 1), done: make(chan struct{})}
		go session.reader()
		go session.writer()
	}
}

type session struct {
	service  *service
	conn     net.Conn
	messages chan []byte
	done     chan struct{}
}

func (s *session) reader() {
	defer close(s.done)
	defer s.conn.Close()
	received := 0
	message := make([]byte, 64)
	for {
		n, err := s.conn.Read(message)
		if err != nil {
			break
		}
		received += n
		s.messages <- bytes.Clone(message[:n])
	}
	s.service.statistics <- received // blocks once the buffer is full
}

func (s *session) writer() {
	for {
		select {
		case message := <-s.messages:
			s.conn.Write(message)
		case <-s.done:
			return
		}
	}
}

// connectAndLeave is a user who says hello, waits for the echo and closes.
func connectAndLeave(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write([]byte("hello"))
	conn.Read(make([]byte, 64))
}
