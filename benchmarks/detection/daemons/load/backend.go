package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
)

// targetSet is the scrape targets of Prometheus and VictoriaMetrics.
type targetSet struct {
	mutex   sync.Mutex
	numbers map[int64]bool
}

var discovered = &targetSet{numbers: map[int64]bool{}}

func (s *targetSet) add(number int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.numbers[number] = true
}

func (s *targetSet) remove(number int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.numbers, number)
}

// write keeps the file of targets up to date until ctx ends.
func (s *targetSet) write(ctx context.Context, path, address string) {
	for ok := true; ok; ok = pause(ctx, 5) {
		s.mutex.Lock()
		numbers := slices.Sorted(maps.Keys(s.numbers))
		s.mutex.Unlock()
		groups := []map[string]any{}
		for _, number := range numbers {
			groups = append(groups, map[string]any{
				"targets": []string{address}, "labels": map[string]string{"number": fmt.Sprint(number)},
			})
		}
		text, err := json.Marshal(groups)
		if err == nil {
			err = os.WriteFile(path+".new", text, 0o644)
		}
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			log.Print(err)
		}
	}
}

// serve answers the requests of the daemons: metrics, webhooks, and endless responses, slow and fast.
func serve(address string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "load_value 1") })
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		for ok := true; ok; ok = pause(r.Context(), 5) {
			fmt.Fprintln(w, "line")
			http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("/silent", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "line")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { pause(r.Context(), 8) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for piece := make([]byte, 1<<16); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	log.Fatal(http.ListenAndServe(address, mux))
}
