// Command w6handler leaks like a handler that opens a client per request: below an HTTP handler, (*supplier).Stock
// makes a gRPC connection and never closes it.
//
// No leaking goroutine has own code in its stack, and the goroutines that created them have ended. The place is in the
// heap profile, and in a full dump with GODEBUG=tracebackancestors=10. The goroutines have the label `trace endpoint`,
// as tracers set it.
package main

import (
	"context"
	"net/http"
	"runtime/pprof"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"example.com/leaks/internal/serve"
	"example.com/leaks/internal/traffic"
)

func main() {
	options := serve.Flags()
	serve.Main(func(ctx context.Context, url string) {
		options.Sockets(4) // both ends of a connection
		client := &supplier{address: serveGRPC()}
		http.HandleFunc("/stock", func(w http.ResponseWriter, r *http.Request) {
			pprof.Do(r.Context(), pprof.Labels("trace endpoint", "/stock"), func(ctx context.Context) {
				client.Stock(ctx)
			})
		})
		options.Each(ctx, func() { traffic.Request(ctx, http.DefaultClient, url+"/stock") })
	})
}

func serveGRPC() string {
	listener := serve.Listen()
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	return listener.Addr().String()
}

type supplier struct{ address string }

// Stock asks a supplier, over a connection of its own that it forgets to close.
func (s *supplier) Stock(ctx context.Context) {
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	conn, err := grpc.NewClient(s.address, plain, grpc.WithIdleTimeout(0))
	if err != nil {
		return
	}
	healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
}
