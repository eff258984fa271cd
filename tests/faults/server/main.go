// Command faults is a set of targets that misbehave, each in one way, for tests of leakwatch.
//
// It prints a line "kind format URL" per kind and then "listening URL" of its main address. The path of a profile is
// URL/debug/pprof/goroutine. Bodies are generated while they are sent, so the largest ones take no memory.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Formats of the profile that a kind is asked for.
const (
	text  = "text"  // goroutine?debug=1
	proto = "proto" // goroutine?debug=0
)

// A kind is one way to misbehave. Kinds without `listen` share the main address.
type kind struct {
	name   string
	format string
	about  string
	serve  func(*exchange)
	listen func(*server, kind) string // returns the URL of an address of its own
}

func kinds() []kind {
	var all []kind
	for _, some := range [][]kind{healthyKinds, slowKinds, headKinds, chunkKinds, closeKinds, statusKinds, redirectKinds,
		codingKinds, textKinds, nameKinds, protoKinds, identityKinds, probeKinds, listenKinds, tlsKinds} {
		all = append(all, some...)
	}
	return all
}

// A server counts the requests of each kind by path, and holds the certificates.
type server struct {
	mutex    sync.Mutex
	requests map[string]map[string]int
	address  string // of the main listener
	sink     string // an address that no request may reach
	ca       *authority
}

// count adds a request, and returns the number of scrapes of its kind so far.
func (s *server) count(kind, path string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.requests[kind] == nil {
		s.requests[kind] = map[string]int{}
	}
	s.requests[kind][path]++
	return s.requests[kind]["goroutine?debug=1"] + s.requests[kind]["goroutine?debug=0"]
}

// report answers with kind -> path -> number of requests.
func (s *server) report(x *exchange) {
	s.mutex.Lock()
	body, err := json.Marshal(s.requests)
	s.mutex.Unlock()
	if err != nil {
		log.Fatal(err)
	}
	x.answer("200 OK", string(body), "Content-Type: application/json")
}

func main() {
	list := flag.Bool("list", false, "print the kinds and exit")
	listen := flag.String("listen", "127.0.0.1:0", "main address; the other ports are free ones of the same host")
	ca := flag.String("ca", "", "file for the certificate of the authority that signs the TLS kinds")
	flag.Parse()
	if *list {
		for _, kind := range kinds() {
			fmt.Printf("%-24s %-5s %s\n", kind.name, kind.format, kind.about)
		}
		return
	}
	s := &server{requests: map[string]map[string]int{}, ca: newAuthority()}
	if *ca != "" {
		if err := os.WriteFile(*ca, s.ca.pem, 0o600); err != nil {
			log.Fatal(err)
		}
	}
	s.start(*listen)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
}

// start listens for all kinds, and prints their URLs.
func (s *server) start(listen string) {
	all := kinds()
	byName := map[string]kind{"-": {name: "-", serve: s.report}}
	for _, kind := range all {
		byName[kind.name] = kind
	}
	listener := newListener(listen)
	s.address = listener.Addr().String()
	s.sink = s.serveKind(newListener("127.0.0.1:0"), kind{name: "sink", serve: healthy})
	go s.accept(listener, func(request *http.Request) (kind, bool) {
		found, ok := byName[firstSegment(request.URL.Path)]
		return found, ok
	})
	for _, kind := range all {
		url := "http://" + s.address + "/" + kind.name
		if kind.listen != nil {
			url = kind.listen(s, kind)
		}
		fmt.Println(kind.name, kind.format, url)
	}
	fmt.Println("listening http://" + s.address)
}
