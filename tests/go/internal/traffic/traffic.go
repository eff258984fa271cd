// Package traffic is healthy load, so that a leak never stands alone. All that it starts comes and goes or stays as
// many as it was; each kind of load is a function of its own, so that a false alarm says which one it is about.
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

// Run makes every kind of traffic against url until ctx ends: perSecond requests that follow the Day, clients that
// KeepAlive, Bursts, a pool of Workers, Tickers.
func Run(ctx context.Context, url string, period time.Duration, perSecond float64) {
	jobs := make(chan func())
	http.HandleFunc("/quick", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(between(0, 40*time.Millisecond))
	})
	http.HandleFunc("/pooled", func(w http.ResponseWriter, r *http.Request) {
		done := make(chan struct{})
		select {
		case jobs <- func() { time.Sleep(5 * time.Millisecond); close(done) }:
			<-done
		case <-r.Context().Done():
		}
	})
	for range 6 {
		go Worker(ctx, jobs)
	}
	for i := range 3 {
		go Ticker(ctx, time.Duration(i+1)*300*time.Millisecond)
	}
	for range 10 {
		go KeepAlive(ctx, url+"/quick")
	}
	go Bursts(ctx)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 30}}
	Day(ctx, period, perSecond, func() {
		Request(ctx, client, url+[]string{"/quick", "/pooled"}[rand.IntN(2)])
	})
}

// Day starts do perSecond times per second on average, at random moments, until ctx ends. The load swings once per
// period, between a third and five thirds of that, as between night and day.
func Day(ctx context.Context, period time.Duration, perSecond float64, do func()) {
	begin := time.Now()
	for ctx.Err() == nil {
		swing := 1 - 0.67*math.Cos(2*math.Pi*time.Since(begin).Seconds()/period.Seconds())
		time.Sleep(time.Duration(rand.ExpFloat64() / (perSecond * swing) * float64(time.Second)))
		go do()
	}
}

// KeepAlive is a client that holds a connection of its own between its requests. It leaves after some seconds, and
// another one comes.
func KeepAlive(ctx context.Context, url string) {
	for ctx.Err() == nil {
		client := &http.Client{Transport: &http.Transport{}}
		for leave := time.Now().Add(between(5*time.Second, 15*time.Second)); time.Now().Before(leave); {
			Request(ctx, client, url)
			time.Sleep(between(0, time.Second))
		}
		client.CloseIdleConnections()
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
		time.Sleep(between(2*time.Second, 6*time.Second))
		var all sync.WaitGroup
		for range 50 {
			all.Add(1)
			go func() {
				defer all.Done()
				time.Sleep(between(0, 1500*time.Millisecond))
			}()
		}
		all.Wait()
	}
}

func between(least, most time.Duration) time.Duration { return least + rand.N(most-least) }
