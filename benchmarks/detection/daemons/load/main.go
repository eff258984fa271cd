// Command load keeps sessions open on real daemons, as its plan says.
//
//	load -plan plan.json -backend 127.0.0.1:21000 -targets targets.json
//
// Sessions of a plan arrive at random (a Poisson process) and live for exponential times, so their number follows the
// rate of arrivals, which swings between Low and High as a cosine, from its lowest point on. Each session closes all
// that it opened. Sessions of which Life is 0 never end: they are planted leaks. Every 15 s, one line of JSON on the
// standard output has the time and the number of open sessions per name.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Plan is one kind of session on one daemon. Times are in seconds.
type Plan struct {
	Name string
	Kind string
	URL  string
	Body string
	// Header has headers of each request.
	Header map[string]string
	// Every is the time between two requests of a session, or two pieces of what it sends.
	Every float64
	// Low and High are the bounds of the number of sessions, Period is the time of one swing, Life the mean life.
	Low, High, Period, Life float64
	// PerHour sessions arrive from After on and never end, at most Limit.
	PerHour, After float64
	Limit          int64

	open    atomic.Int64
	started atomic.Int64
}

// level returns the mean number of sessions after the given seconds.
func (p *Plan) level(after float64) float64 {
	return p.Low + (p.High-p.Low)*(1-math.Cos(2*math.Pi*after/p.Period))/2
}

func main() {
	file := flag.String("plan", "plan.json", "file with the plan, a JSON list")
	backend := flag.String("backend", "127.0.0.1:21000", "address of the server behind proxies and scrapers")
	targets := flag.String("targets", "targets.json", "file of scrape targets, one per session of kind target")
	flag.Parse()
	text, err := os.ReadFile(*file)
	if err != nil {
		log.Fatal(err)
	}
	var plans []*Plan
	if err := json.Unmarshal(text, &plans); err != nil {
		log.Fatalf("%s: %v", *file, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go serve(*backend)
	go discovered.write(ctx, *targets, *backend)
	var sessions sync.WaitGroup
	for _, plan := range plans {
		if kinds[plan.Kind] == nil {
			log.Fatalf("%s: the session %q has the unknown kind %q", *file, plan.Name, plan.Kind)
		}
		sessions.Add(1)
		go func() {
			defer sessions.Done()
			plan.run(ctx, &sessions)
		}()
	}
	report(ctx, plans)
	sessions.Wait()
}

// run starts sessions at random times until ctx ends.
func (p *Plan) run(ctx context.Context, sessions *sync.WaitGroup) {
	begin := time.Now()
	rate := p.High / max(p.Life, 1)
	if p.Life == 0 {
		rate = p.PerHour / 3600
	} else {
		for range rand.N(int(p.Low) + 1) {
			p.start(ctx, sessions)
		}
	}
	for pause(ctx, rand.ExpFloat64()/rate) {
		after := time.Since(begin).Seconds()
		if p.Life == 0 && (after < p.After || p.started.Load() >= p.Limit) {
			continue
		}
		if p.Life == 0 || rand.Float64() < p.level(after)/p.High {
			p.start(ctx, sessions)
		}
	}
}

// start runs one session in the background.
func (p *Plan) start(ctx context.Context, sessions *sync.WaitGroup) {
	cancel := context.CancelFunc(func() {})
	if p.Life > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.ExpFloat64()*p.Life*float64(time.Second)))
	}
	p.open.Add(1)
	number := p.started.Add(1)
	sessions.Add(1)
	go func() {
		defer sessions.Done()
		defer p.open.Add(-1)
		defer cancel()
		if err := kinds[p.Kind](ctx, p, number); err != nil && ctx.Err() == nil {
			log.Printf("session %d of %s: %v", number, p.Name, err)
		}
	}()
}

// report prints the number of open sessions until ctx ends.
func report(ctx context.Context, plans []*Plan) {
	for ok := true; ok; ok = pause(ctx, 15) {
		open := map[string]int64{}
		for _, plan := range plans {
			open[plan.Name] = plan.open.Load()
		}
		line, err := json.Marshal(map[string]any{"time": time.Now().Unix(), "open": open})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(line))
	}
}

// pause waits and returns whether ctx still lasts.
func pause(ctx context.Context, seconds float64) bool {
	timer := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
