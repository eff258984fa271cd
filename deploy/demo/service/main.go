// Command shop is the demo's Go service: a busy little web shop, healthy but for one leak that can be switched
// on and off while it runs.
//
//	GET  /healthz       ok
//	GET  /leak          the rate and how many goroutines have leaked
//	POST /leak?rate=5   leak five goroutines per second; 0 stops
//	GET  /debug/pprof/  net/http/pprof
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve on")
	rate := flag.Float64("leak", 0, "goroutines to leak per second")
	limit := flag.Int64("max", 20000, "goroutines to leak at most")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *rate, *limit); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen string, rate float64, limit int64) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	shop := newShop(rate, limit)
	http.Handle("/", shop.routes())
	server := &http.Server{Handler: http.DefaultServeMux}
	url := "http://" + listener.Addr().String()
	fmt.Println("listening", url)

	go shop.work(ctx)
	go shop.customers(ctx, url)
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
