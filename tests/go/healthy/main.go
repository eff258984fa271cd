// Command healthy is a busy service without a leak: a load that swings up and down like day and night, over
// kept-alive connections, with bursts, a worker pool and tickers.
//
// Its profile moves all the time and stays bounded. traffic.Request, net/http.(*conn).serve and both ends' read and
// write loops follow traffic.Day; the connections of traffic.KeepAlive come and go one by one; traffic.Bursts.func1
// jumps by fifty and falls; traffic.Worker and traffic.Ticker stay (all in example.com/leaks/internal). For a restart,
// stop it and start it again with the same -listen.
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
	serve.Main(func(ctx context.Context, url string) { traffic.Run(ctx, url, *period, 100) })
}
