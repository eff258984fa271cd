// Command healthy is a busy service without a leak.
package main

import (
	"context"
	"flag"
	"time"

	"example.com/leaks/internal/serve"
	"example.com/leaks/internal/traffic"
)

func main() {
	period := flag.Duration("period", time.Minute, "of the load's swing")
	serve.Main(func(ctx context.Context, url string) { traffic.Run(ctx, url, *period) })
}
