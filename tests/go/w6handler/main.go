// Command w6handler leaks like a handler that opens a client per request: below an HTTP handler, (*supplier).Stock
// makes a gRPC connection and never closes it.
//
// No leaking goroutine has own code in its stack, and the goroutines that created them have ended. The place is in the
// heap profile, and in a full dump with GODEBUG=tracebackancestors=10. The goroutines have the label `trace endpoint`,
// as tracers set it. The gRPC server is another process, which ends with this one: only the client's side grows here.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"example.com/leaks/internal/serve"
	"example.com/leaks/internal/traffic"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		serveGRPC()
		return
	}
	options := serve.Flags()
	client := &supplier{address: startServer()}
	serve.Main(func(ctx context.Context, url string) {
		options.Sockets(1)
		http.HandleFunc("/stock", func(w http.ResponseWriter, r *http.Request) {
			pprof.Do(r.Context(), pprof.Labels("trace endpoint", "/stock"), client.Stock)
		})
		options.Each(ctx, func() { traffic.Request(ctx, http.DefaultClient, url+"/stock") })
	})
}

// startServer returns the address of a gRPC server in a process of its own.
func startServer() string {
	command := exec.Command(os.Args[0], "-serve")
	if _, err := command.StdinPipe(); err != nil {
		log.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := command.Start(); err != nil {
		log.Fatal(err)
	}
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// serveGRPC serves until standard input ends.
func serveGRPC() {
	listener := serve.Listen()
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	fmt.Println(listener.Addr())
	io.Copy(io.Discard, os.Stdin)
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
