// Package traffic is healthy load, so that a leak never stands alone: keep-alive clients in a load that swings,
// bursts, a worker pool, tickers. All that it starts comes and goes or stays as many as it was.
package traffic

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Run makes traffic against url until ctx ends; its load swings once per period between a third and five thirds.
func Run(ctx context.Context, url string, period time.Duration) {
	jobs := make(chan func())
	for range 6 {
		go Worker(ctx, jobs)
	}
	for i := range 3 {
		go Ticker(ctx, time.Duration(i+1)*300*time.Millisecond)
	}
	go Bursts(ctx)
	http.HandleFunc("/quick", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
	})
	http.HandleFunc("/pooled", func(w http.ResponseWriter, r *http.Request) {
		done := make(chan struct{})
		select {
		case jobs <- func() { time.Sleep(5 * time.Millisecond); close(done) }:
			<-done
		case <-r.Context().Done():
		}
	})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 30}}
	begin := time.Now()
	for ctx.Err() == nil {
		swing := 1 - 0.67*math.Cos(2*math.Pi*time.Since(begin).Seconds()/period.Seconds())
		time.Sleep(time.Duration(rand.ExpFloat64() / (100 * swing) * float64(time.Second)))
		go Request(ctx, client, url+[]string{"/quick", "/pooled"}[rand.IntN(2)])
	}
}

// Request makes one request and reads its answer.
func Request(ctx context.Context, client *http.Client, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	if response, err := client.Do(request); err == nil {
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}

// Worker does jobs.
func Worker(ctx context.Context, jobs <-chan func()) {
	for {
		select {
		case job := <-jobs:
			job()
		case <-ctx.Done():
			return
		}
	}
}

// Ticker does a little, again and again.
func Ticker(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Bursts starts fifty goroutines every few seconds and waits for them.
func Bursts(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(2+rand.IntN(4)) * time.Second)
		var all sync.WaitGroup
		for range 50 {
			all.Add(1)
			go func() {
				defer all.Done()
				time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
			}()
		}
		all.Wait()
	}
}
