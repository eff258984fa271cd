// Command heavy leaks goroutines that hold a known amount of heap each, and serves metrics as most services do.
package main

import (
	"context"
	"flag"
	"net/http"
	"time"

	"example.com/leaks/internal/serve"
	"example.com/leaks/internal/traffic"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	options := serve.Flags()
	holds := flag.Int("holds", 64<<10, "bytes of heap that each goroutine holds")
	metrics := flag.Bool("metrics", true, "serve /metrics")
	serve.Main(func(ctx context.Context, url string) {
		if *metrics {
			http.Handle("/metrics", promhttp.Handler())
		}
		go traffic.Run(ctx, url, 40*time.Second, 100)
		options.Each(ctx, func() { go Convert(make(chan []byte), *holds) })
	})
}

// Convert fills a page and hands it to nobody.
func Convert(pages chan<- []byte, size int) {
	page := make([]byte, size)
	for i := range page {
		page[i] = byte(i)
	}
	pages <- page
}
