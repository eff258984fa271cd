package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gorilla/websocket"
	"golang.org/x/crypto/ssh"
)

// Clients that a server under test has, by kind; they run in another process.
var leaving = map[string]func(address string){}

func init() {
	servers["silent"] = func() string { return accept(func(net.Conn) { select {} }) }
	servers["http"] = func() string {
		listener := listen()
		go http.Serve(listener, mux())
		return "http://" + listener.Addr().String()
	}
	servers["h2"] = func() string {
		server := httptest.NewUnstartedServer(mux())
		server.EnableHTTP2 = true
		server.StartTLS()
		return server.URL
	}
	servers["grpc"] = func() string {
		server := newGRPCServer()
		listener := listen()
		go server.Serve(listener)
		return listener.Addr().String()
	}
	servers["ssh"] = func() string {
		config := &ssh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(hostKey())
		return accept(func(conn net.Conn) { serveSSH(conn, config) })
	}
	servers["nats"] = func() string { return accept(serveNATS) }
	servers["redis"] = func() string { return accept(serveRedis) }
	servers["rpc"] = func() string {
		check(rpc.Register(new(Sleeper)))
		return accept(func(conn net.Conn) { rpc.ServeConn(conn) })
	}
	servers["kubernetes"] = func() string {
		listener := listen()
		go http.Serve(listener, http.HandlerFunc(kubernetes))
		return "http://" + listener.Addr().String()
	}
	servers["kubernetes-h2"] = func() string {
		server := httptest.NewUnstartedServer(http.HandlerFunc(kubernetes))
		server.EnableHTTP2 = true
		server.StartTLS()
		return server.URL
	}
}

// accept returns the address of a listener; each connection is served in a goroutine.
func accept(serve func(net.Conn)) string {
	listener := listen()
	go func() {
		for {
			go serve(must(listener.Accept()))
		}
	}()
	return listener.Addr().String()
}

func mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/start", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first line\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	upgrader := websocket.Upgrader{}
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		hold(must(upgrader.Upgrade(w, r, nil)))
	})
	return mux
}

func newGRPCServer() *grpc.Server {
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		<-stream.Context().Done()
		return nil
	}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	return server
}

func serveSSH(conn net.Conn, config *ssh.ServerConfig) {
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	hold(server)
	go func() {
		for range requests { // a keepalive is never answered
		}
	}()
	for range channels {
	}
}

func serveNATS(conn net.Conn) {
	fmt.Fprintf(conn, "INFO {\"server_id\":\"a\",\"version\":\"2.10.0\",\"proto\":1,\"max_payload\":1048576}\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "PING") {
			fmt.Fprint(conn, "PONG\r\n")
		}
	}
}

func serveRedis(conn net.Conn) {
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch strings.ToLower(lines.Text()) {
		case "subscribe":
			fmt.Fprint(conn, "*3\r\n$9\r\nsubscribe\r\n$6\r\nevents\r\n:1\r\n")
		case "ping":
			fmt.Fprint(conn, "*2\r\n$4\r\npong\r\n$0\r\n\r\n")
		case "hello":
			fmt.Fprint(conn, "-ERR unknown command 'hello'\r\n")
		}
	}
}

// Sleeper is a service whose method never answers.
type Sleeper struct{}

func (*Sleeper) Sleep(_ int, _ *int) error { select {} }

// kubernetes answers lists of config maps, and watches without events.
func kubernetes(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") != "" {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	json.NewEncoder(w).Encode(map[string]any{
		"kind": "ConfigMapList", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": "1"}, "items": []any{},
	})
}

func noVerify() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

var background = context.Background()
