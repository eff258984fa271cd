// Command shop is the demo's Go service: a small, busy web shop with one leak that can be switched on and off
// while it runs.
//
//	GET  /healthz       ok
//	GET  /leak          the rate and the number of leaked goroutines
//	POST /leak?rate=5   leak five goroutines per second; 0 stops
//	GET  /debug/pprof/  net/http/pprof; with -pprof at a separate address
//
// The leak: a request handler starts pipeline.FilterService, which sends its answer on an unbuffered channel. A
// request with a short patience leaves through the timer case of its select before the answer arrives, so the
// answer has no receiver. In the goroutine profile, example.com/shop/pipeline.FilterService, alone on its stack
// and in chan send, then grows at one line. The other stacks follow the load, among others main.customer,
// main.(*shop).browse, main.(*shop).order and main.(*shop).log below net/http.(*conn).serve, main.(*shop).worker,
// and the connections' net/http.(*persistConn).readLoop and writeLoop.
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
	profiles := flag.String("pprof", "", "separate address to serve net/http/pprof on")
	rate := flag.Float64("leak", 0, "goroutines to leak per second")
	limit := flag.Int("max", 20000, "maximum number of goroutines to leak")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *profiles, *rate, *limit); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen, profiles string, rate float64, limit int) error {
	shop := &shop{orders: make(chan int)}
	if err := shop.setRate(rate); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	handler := shop.routes()
	if profiles == "" {
		http.Handle("/", handler)
		handler = http.DefaultServeMux
	} else {
		apart, err := net.Listen("tcp", profiles)
		if err != nil {
			return err
		}
		go http.Serve(apart, http.DefaultServeMux)
	}
	server := &http.Server{Handler: handler}
	url := "http://" + listener.Addr().String()
	fmt.Println("listening", url)

	shop.open(ctx)
	go shop.customers(ctx, url)
	go shop.impatient(ctx, url, limit)
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
