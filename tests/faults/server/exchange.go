package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

// A connection ends by a panic with gone if the client has closed it, as net/http does with ErrAbortHandler.
type gone struct{}

// An exchange is one request and the raw connection to answer on.
type exchange struct {
	server  *server
	conn    net.Conn
	request *http.Request
	kind    string
	path    string // below the kind, with the query: "goroutine?debug=1", "metrics"
	number  int    // of the scrapes of this kind so far
	closes  bool   // whether the connection ends after this exchange
}

func newListener(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// serveKind serves one kind on a listener of its own, and returns its address.
func (s *server) serveKind(listener net.Listener, only kind) string {
	go s.accept(listener, func(*http.Request) (kind, bool) { return only, true })
	return listener.Addr().String()
}

func (s *server) accept(listener net.Listener, choose func(*http.Request) (kind, bool)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go s.serve(conn, choose)
	}
}

func (s *server) serve(conn net.Conn, choose func(*http.Request) (kind, bool)) {
	defer conn.Close()
	defer func() {
		if cause := recover(); cause != nil && cause != (gone{}) {
			panic(cause)
		}
	}()
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		x := &exchange{server: s, conn: conn, request: request}
		kind, ok := choose(request)
		if !ok {
			x.answer("404 Not Found", "no such kind\n")
			continue
		}
		x.kind, x.path = kind.name, below(kind.name, request)
		x.number = s.count(x.kind, x.path)
		if request.Header.Get("Cookie") != "" {
			s.count("sink", "a cookie came back")
		}
		kind.serve(x)
		if x.closes {
			return
		}
	}
}

func firstSegment(path string) string {
	segment, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return segment
}

// below returns the path without the kind and without /debug/pprof; only a query with debug belongs to it.
func below(kind string, request *http.Request) string {
	path := strings.TrimPrefix(strings.TrimPrefix(request.URL.Path, "/"+kind), "/debug/pprof")
	path = strings.TrimPrefix(path, "/")
	if debug := request.URL.Query().Get("debug"); debug != "" {
		return path + "?debug=" + debug
	}
	return path
}

// isProfile returns whether the request is a scrape, rather than a probe.
func (x *exchange) isProfile() bool {
	return x.path == "goroutine?debug=1" || x.path == "goroutine?debug=0"
}

func (x *exchange) Write(data []byte) (int, error) {
	if _, err := x.conn.Write(data); err != nil {
		panic(gone{})
	}
	return len(data), nil
}

func (x *exchange) write(format string, values ...any) { fmt.Fprintf(x, format, values...) }

func (x *exchange) raw(data string) { io.WriteString(x, data) }

// head sends the status line and headers, with the blank line.
func (x *exchange) head(status string, headers ...string) {
	lines := append([]string{"HTTP/1.1 " + status}, headers...)
	x.raw(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// answer sends a whole response.
func (x *exchange) answer(status, body string, headers ...string) {
	x.head(status, append(headers, fmt.Sprint("Content-Length: ", len(body)))...)
	x.raw(body)
}

// stream sends a chunked body, in chunks of 32 KiB, as `fill` writes it.
func (x *exchange) stream(fill func(io.Writer), headers ...string) {
	x.head("200 OK", append(headers, "Transfer-Encoding: chunked")...)
	chunks := httputil.NewChunkedWriter(x)
	buffered := bufio.NewWriterSize(chunks, 32<<10)
	fill(buffered)
	buffered.Flush()
	chunks.Close()
	x.raw("\r\n")
}

// wait returns when the client has closed the connection, never to answer.
func (x *exchange) wait() {
	io.Copy(io.Discard, x.conn)
	panic(gone{})
}

// end closes the connection after this exchange.
func (x *exchange) end() { x.closes = true }

// reset closes the connection with a TCP reset.
func (x *exchange) reset() {
	if tcp, ok := x.conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	x.end()
}

// forever repeats `send` with a pause until the client has closed the connection.
func forever(pause time.Duration, send func()) {
	for {
		send()
		time.Sleep(pause)
	}
}

// repeat writes the same text until it has `size` bytes.
func repeat(w io.Writer, text string, size int) {
	block := []byte(strings.Repeat(text, max(1, (64<<10)/len(text))))
	for size > 0 {
		n := min(size, len(block))
		w.Write(block[:n])
		size -= n
	}
}

const (
	mega = 1 << 20
	slow = 100 * time.Millisecond
)
