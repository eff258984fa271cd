// Command fleet is one process of a service with several listeners, each of which serves its profiles, so that a few
// programs make a fleet of many targets. With -every it leaks: one more goroutine in main.(*Order).await each time.
//
// It prints "listening URL" once per listener.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	listeners := flag.Int("listeners", 5, "how many")
	every := flag.Duration("every", 0, "of one more goroutine that leaks; 0 for none")
	flag.Parse()
	for range *listeners {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("listening http://%s\n", listener.Addr())
		go func() { log.Fatal(http.Serve(listener, nil)) }()
	}
	for range 8 {
		go worker()
	}
	if *every > 0 {
		go leak(*every)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}

// worker is busy: its helpers come and go.
func worker() {
	var group sync.WaitGroup
	for i := 0; ; i++ {
		for range i % 4 {
			group.Add(1)
			go func() {
				defer group.Done()
				time.Sleep(70 * time.Millisecond)
			}()
		}
		group.Wait()
		time.Sleep(30 * time.Millisecond)
	}
}

// Order waits for a payment that nobody sends.
type Order struct{ paid chan struct{} }

func (o *Order) await() { <-o.paid }

func leak(every time.Duration) {
	for range time.Tick(every) {
		order := &Order{paid: make(chan struct{})}
		go order.await()
	}
}
