package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime/metrics"
	"slices"
	"syscall"
	"time"
)

// report is what a service measured of itself in one phase; times in milliseconds.
type report struct {
	CPU      float64 `json:"cpu_seconds"`
	Pause    float64 `json:"longest_pause"`
	Requests int     `json:"requests"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	P999     float64 `json:"p999"`
	Max      float64 `json:"max"`
}

// pauses has the pauses that stop the process: of the garbage collector, and others, such as those of profiles.
var pauses = []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}, {Name: "/sched/pauses/total/other:seconds"}}

// serve runs a service with n parked goroutines in 100 stacks, under a constant load of its own. For each line on
// standard input it prints a report of the time since the line before.
func serve(n int) {
	for i := range n {
		path := i % 100
		go levels[0][path&1](path >> 1)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/work", func(w http.ResponseWriter, _ *http.Request) {
		sum := [32]byte{}
		for range 200 {
			sum = sha256.Sum256(sum[:])
		}
		fmt.Fprintf(w, "%x", sum)
	})
	go http.Serve(listener, nil)
	latencies := make(chan time.Duration, 1<<16)
	go load("http://"+listener.Addr().String()+"/work", latencies)
	fmt.Printf("target http://%s\nready\n", listener.Addr())
	lines := bufio.NewScanner(os.Stdin)
	cpu, counts := used(), histograms()
	for lines.Scan() {
		var phase []time.Duration
		for len(latencies) > 0 {
			phase = append(phase, <-latencies)
		}
		now, after := used(), histograms()
		slices.Sort(phase)
		at := func(share float64) float64 {
			if len(phase) == 0 {
				return 0
			}
			return phase[min(int(share*float64(len(phase))), len(phase)-1)].Seconds() * 1e3
		}
		json.NewEncoder(os.Stdout).Encode(report{
			now - cpu, longest(counts, after), len(phase), at(0.5), at(0.99), at(0.999), at(1),
		})
		cpu, counts = now, after
	}
}

// load sends 100 requests per second, whether or not the ones before were answered, and measures from when each was due.
func load(url string, latencies chan<- time.Duration) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	for due := time.Now(); ; due = due.Add(10 * time.Millisecond) {
		time.Sleep(time.Until(due))
		go func() {
			response, err := client.Get(url)
			if err != nil {
				log.Fatal(err)
			}
			response.Body.Close()
			latencies <- time.Since(due)
		}()
	}
}

// used returns the CPU seconds of the process.
func used() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// histograms returns the counts of the pauses so far.
func histograms() [][]uint64 {
	metrics.Read(pauses)
	var counts [][]uint64
	for _, sample := range pauses {
		counts = append(counts, slices.Clone(sample.Value.Float64Histogram().Counts))
	}
	return counts
}

// longest returns the upper bound of the longest pause between two readings, in milliseconds.
func longest(before, after [][]uint64) float64 {
	pause := 0.0
	for i, sample := range pauses {
		buckets := sample.Value.Float64Histogram().Buckets
		for j := range after[i] {
			if after[i][j] > before[i][j] && !math.IsInf(buckets[j+1], 1) {
				pause = max(pause, buckets[j+1]*1e3)
			}
		}
	}
	return pause
}
