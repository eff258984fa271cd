package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"example.com/shop/pipeline"
)

const (
	workers  = 8
	patience = 10 * time.Second // default of a request
	maxRate  = 1000
)

// shop serves requests and filters log lines.
type shop struct {
	orders chan int
	rate   atomic.Uint64 // goroutines to leak per second, as math.Float64bits
	leaked atomic.Int64
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /browse", s.browse)
	mux.HandleFunc("GET /order", s.order)
	mux.HandleFunc("GET /log", s.log)
	mux.HandleFunc("GET /leak", s.showLeak)
	mux.HandleFunc("POST /leak", s.changeLeak)
	return mux
}

// browse takes some time and does not leak.
func (s *shop) browse(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(between(5, 80))
	fmt.Fprintln(w, "a hat, a coat")
}

// order waits for a worker.
func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	select {
	case s.orders <- rand.IntN(100):
		fmt.Fprintln(w, "thank you")
	case <-r.Context().Done():
	}
}

// log filters a line. The leak: it waits for the answer only as long as the request's patience, but the goroutine
// that it started waits for a receiver forever.
func (s *shop) log(w http.ResponseWriter, r *http.Request) {
	patience := patience
	if asked, err := time.ParseDuration(r.FormValue("patience")); err == nil {
		patience = asked
	}
	answer := make(chan string)
	go pipeline.FilterService(answer, "a customer's secret wish", between(10, 30))
	select {
	case line := <-answer:
		fmt.Fprintln(w, line)
	case <-time.After(patience):
		s.leaked.Add(1)
		http.Error(w, "no answer in time", http.StatusGatewayTimeout)
	}
}

func (s *shop) showLeak(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "rate %g\nleaked %d\n", s.leakRate(), s.leaked.Load())
}

func (s *shop) changeLeak(w http.ResponseWriter, r *http.Request) {
	rate, err := strconv.ParseFloat(r.FormValue("rate"), 64)
	if err == nil {
		err = s.setRate(rate)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.showLeak(w, r)
}

func (s *shop) leakRate() float64 { return math.Float64frombits(s.rate.Load()) }

func (s *shop) setRate(rate float64) error {
	if !(rate >= 0 && rate <= maxRate) { // false for NaN
		return fmt.Errorf("rate must be between 0 and %d goroutines per second", maxRate)
	}
	s.rate.Store(math.Float64bits(rate))
	return nil
}

// open starts the workers and the restocking.
func (s *shop) open(ctx context.Context) {
	for range workers {
		go s.worker(ctx)
	}
	go s.restock(ctx)
}

func (s *shop) worker(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.orders:
			time.Sleep(between(2, 12))
		}
	}
}

// restock regularly sends many orders at once.
func (s *shop) restock(ctx context.Context) {
	tick := time.NewTicker(3 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range 3 * workers {
			s.orders <- rand.IntN(100)
		}
	}
}

// between returns a random number of milliseconds.
func between(least, most int) time.Duration {
	return time.Duration(least+rand.IntN(most-least)) * time.Millisecond
}
