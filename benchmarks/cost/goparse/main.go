// Command goparse times google/pprof's own parser on profiles: one JSON line per file named.
package main

import (
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/google/pprof/profile"
)

const (
	atLeast = time.Second
	runs    = 5
)

type result struct {
	File      string  `json:"file"`
	Bytes     int     `json:"bytes"`
	NsPerOp   float64 `json:"ns_per_op"`
	MBPerSecs float64 `json:"mb_per_s"`
}

func main() {
	out := json.NewEncoder(os.Stdout)
	for _, file := range os.Args[1:] {
		body, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		best := time.Duration(1 << 62)
		for n, begin := 0, time.Now(); n < runs || time.Since(begin) < atLeast; n++ {
			start := time.Now()
			if _, err := profile.ParseData(body); err != nil {
				log.Fatalf("%s: %v", file, err)
			}
			best = min(best, time.Since(start))
		}
		rate := float64(len(body)) / best.Seconds() / 1e6
		out.Encode(result{file, len(body), float64(best.Nanoseconds()), rate})
	}
}
