// Package serve is what all test programs share: flags, an HTTP server with net/http/pprof, and a clean end.
package serve

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
	"time"
)

// Options are the flags that every leaking program has.
type Options struct {
	Rate  float64       // goroutines to leak per second
	Max   int           // goroutines to leak at most
	Delay time.Duration // before the leak begins
}

// Flags registers the flags of Options; call it before Main.
func Flags() *Options {
	var o Options
	flag.Float64Var(&o.Rate, "rate", 40, "leaks per second, 0 for none")
	flag.IntVar(&o.Max, "max", 20000, "leaks at most")
	flag.DurationVar(&o.Delay, "delay", 0, "before the leak begins")
	return &o
}

// Sockets lowers Max for leaks that keep n open sockets each, so that half of the process's file descriptors
// stay free and it can still answer.
func (o *Options) Sockets(n int) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		o.Max = min(o.Max, int(files.Cur)/2/n)
	}
}

// Each calls leak at the rate of o until its limit is reached or ctx ends; never if the rate is 0.
func (o *Options) Each(ctx context.Context, leak func()) {
	if o.Rate <= 0 {
		return
	}
	select {
	case <-time.After(o.Delay):
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / o.Rate))
	defer tick.Stop()
	for range o.Max {
		select {
		case <-tick.C:
			leak()
		case <-ctx.Done():
			return
		}
	}
}

// Listen listens on a free port of this machine.
func Listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// Silent is the address of a server that accepts and never answers; its own side of a connection costs no goroutine.
func Silent() string {
	listener := Listen()
	go func() {
		var held []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			held = append(held, conn)
		}
	}()
	return listener.Addr().String()
}

// Main serves pprof, says where, starts work, and ends the process on SIGINT and SIGTERM.
func Main(work func(ctx context.Context, url string)) {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve on")
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	url := "http://" + listener.Addr().String()
	fmt.Println("listening", url)
	server := &http.Server{}
	go work(ctx, url)
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
