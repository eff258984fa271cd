// Command w5pipeline leaks like a log pipeline did in production: FilterService sends on an unbuffered channel
// after its only reader has left through the timer case of a select.
//
// The profile then has main.FilterService in chan send, alone on its stack, once per lost answer.
package main

import (
	"context"
	"time"

	"example.com/leaks/internal/serve"
	"example.com/leaks/internal/traffic"
)

func main() {
	options := serve.Flags()
	serve.Main(func(ctx context.Context, url string) {
		go traffic.Run(ctx, url, 80*time.Second, 40)
		options.Each(ctx, func() { collect("an error", 2*time.Millisecond) })
	})
}

// collect asks the filter and waits no longer than patience.
func collect(line string, patience time.Duration) string {
	filtered := make(chan string)
	go FilterService(filtered, line)
	select {
	case line := <-filtered:
		return line
	case <-time.After(patience):
		return ""
	}
}

// FilterService needs longer than collect waits.
func FilterService(filtered chan<- string, line string) {
	time.Sleep(10 * time.Millisecond)
	filtered <- line
}
