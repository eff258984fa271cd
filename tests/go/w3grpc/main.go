// Command w3grpc leaks like a gRPC client did in production: it dials in every request and never closes.
//
// The profile then has stacks of google.golang.org/grpc that grow in step. For each connection there are
// transport.(*http2Client).reader in http2.readFrameHeader (IO wait), a closure of transport.newHTTP2Client in
// transport.(*controlBuffer).get (select), and three goroutines in grpcsync.(*CallbackSerializer).run (select).
// The server is in the same process, so its side grows too: transport.(*http2Server).HandleStreams (IO wait),
// a closure of transport.NewServerTransport in controlBuffer.get and (*http2Server).keepalive (select both).
//
// With -alerts there is a second leak: one unbounded goroutine per log line in main.(*SREClient).IMAlert (IO wait),
// which waits for a server that never answers.
package main

import (
	"context"
	"flag"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"example.com/leaks/internal/serve"
	"example.com/leaks/internal/traffic"
)

func main() {
	options := serve.Flags()
	alerts := flag.Bool("alerts", false, "also leak a goroutine per log line")
	serve.Main(func(ctx context.Context, url string) {
		options.Sockets(4) // both ends of a connection, of either leak
		address := serveGRPC()
		go traffic.Run(ctx, url, 80*time.Second, 40)
		if *alerts {
			logger := &logger{sreCli: &SREClient{silent: serve.Silent()}}
			go options.Each(ctx, func() { logger.Error("something is wrong") })
		}
		options.Each(ctx, func() { check(ctx, address) })
	})
}

func serveGRPC() string {
	listener := serve.Listen()
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	return listener.Addr().String()
}

// check asks for the health of a service, over a connection of its own that it forgets to close. It never idles
// either: by default a connection that nobody uses would give most of its goroutines back after half an hour.
func check(ctx context.Context, address string) {
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	conn, err := grpc.NewClient(address, plain, grpc.WithIdleTimeout(0))
	if err != nil {
		return
	}
	healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
}

type logger struct{ sreCli *SREClient }

// Error tells the people on call, without waiting.
func (l *logger) Error(line string) { go l.sreCli.IMAlert(line) }

// SREClient sends instant messages to the people on call.
type SREClient struct{ silent string }

// IMAlert waits for an answer without a deadline.
func (c *SREClient) IMAlert(line string) {
	conn, err := net.Dial("tcp", c.silent)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write([]byte(line))
	conn.Read(make([]byte, 1))
}
