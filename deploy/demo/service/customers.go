package main

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"time"
)

const swing = 40 * time.Second // period of the load

// client reuses its connections.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 40}, Timeout: 15 * time.Second}

// customers generates a load that rises and falls slowly.
func (s *shop) customers(ctx context.Context, url string) {
	start := time.Now()
	for ctx.Err() == nil {
		phase := 2 * math.Pi * time.Since(start).Seconds() / swing.Seconds()
		perSecond := 200 * (1 - 0.6*math.Cos(phase))
		time.Sleep(time.Duration(rand.ExpFloat64() / perSecond * float64(time.Second)))
		go customer(ctx, url+[]string{"/browse", "/browse", "/order", "/log"}[rand.IntN(4)])
	}
}

// impatient sends requests that do not wait for their answer, at the rate of the leak.
func (s *shop) impatient(ctx context.Context, url string, limit int) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	owed, last := 0.0, time.Now()
	for limit > 0 {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			owed += s.leakRate() * now.Sub(last).Seconds()
			last = now
		}
		for ; owed >= 1 && limit > 0; owed-- {
			limit--
			go customer(ctx, url+"/log?patience=2ms")
		}
	}
}

func customer(ctx context.Context, url string) {
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
