package main

import (
	"context"
	"fmt"
	"io"
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
	deadline = 100 * time.Millisecond
	swing    = 40 * time.Second // of the load, up and down
)

// shop serves customers and writes what they do to a log, through the pipeline.
type shop struct {
	orders   chan int
	pipeline pipeline.Pipeline
	rate     atomic.Uint64 // goroutines to leak per second, as math.Float64bits
	limit    int64
	slow     chan struct{} // a token makes the next log line slow
}

func newShop(rate float64, limit int64) *shop {
	s := &shop{orders: make(chan int), limit: limit, slow: make(chan struct{}, 1)}
	s.rate.Store(math.Float64bits(rate))
	return s
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /browse", s.browse)
	mux.HandleFunc("GET /order", s.order)
	mux.HandleFunc("GET /log", s.log)
	mux.HandleFunc("GET /leak", s.showLeak)
	mux.HandleFunc("POST /leak", s.setLeak)
	return mux
}

// browse takes a while and leaves nothing behind.
func (s *shop) browse(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(time.Duration(5+rand.IntN(75)) * time.Millisecond)
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

// log writes a line; now and then, as the leak's rate says, so slowly that nobody waits for it.
func (s *shop) log(w http.ResponseWriter, _ *http.Request) {
	work := time.Duration(1+rand.IntN(20)) * time.Millisecond
	select {
	case <-s.slow:
		if s.pipeline.Leaked() < s.limit {
			work = 2 * deadline
		}
	default:
	}
	line, err := s.pipeline.Filter("a customer's secret wish", work, deadline)
	if err != nil {
		http.Error(w, err.Error(), http.StatusGatewayTimeout)
		return
	}
	fmt.Fprintln(w, line)
}

func (s *shop) showLeak(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "rate %g\nleaked %d\n", math.Float64frombits(s.rate.Load()), s.pipeline.Leaked())
}

func (s *shop) setLeak(w http.ResponseWriter, r *http.Request) {
	rate, err := strconv.ParseFloat(r.FormValue("rate"), 64)
	if err != nil || rate < 0 || rate > 1000 {
		http.Error(w, "rate must be between 0 and 1000 goroutines per second", http.StatusBadRequest)
		return
	}
	s.rate.Store(math.Float64bits(rate))
	s.showLeak(w, r)
}

// work runs the worker pool and hands out the leak's tokens.
func (s *shop) work(ctx context.Context) {
	for range workers {
		go s.worker(ctx)
	}
	owed := 0.0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		owed = min(owed+math.Float64frombits(s.rate.Load())/100, 100)
		if owed >= 1 {
			select {
			case s.slow <- struct{}{}:
				owed--
			default: // the next log line has not come yet
			}
		}
	}
}

func (s *shop) worker(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.orders:
			time.Sleep(time.Duration(2+rand.IntN(10)) * time.Millisecond)
		}
	}
}

// customers come in a load that swings slowly up and down, over kept-alive connections.
func (s *shop) customers(ctx context.Context, url string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 40}, Timeout: 5 * time.Second}
	start := time.Now()
	for ctx.Err() == nil {
		phase := 2 * math.Pi * time.Since(start).Seconds() / swing.Seconds()
		perSecond := 200 * (1 - 0.6*math.Cos(phase))
		time.Sleep(time.Duration(rand.ExpFloat64() / perSecond * float64(time.Second)))
		go customer(ctx, client, url+[]string{"/browse", "/browse", "/order", "/log"}[rand.IntN(4)])
	}
}

func customer(ctx context.Context, client *http.Client, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	response, err := client.Do(request)
	if err != nil {
		return
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
}
