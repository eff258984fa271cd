// Command farm serves the goroutine profiles of a whole fleet from one process, cheaply, so that what is measured
// is who scrapes them. It parks real goroutines in as many different stacks as asked for, takes one real profile
// of them, and serves it on many listeners with counts that change from request to request.
//
//	farm -listeners 1000 -stacks 100
//
// prints a line "target URL" per listener and then "ready". With -distinct the addresses differ from listener to
// listener, as if each ran a build of its own.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"
)

func main() {
	listeners := flag.Int("listeners", 1, "targets to serve")
	stacks := flag.Int("stacks", 100, "different stacks in each profile")
	distinct := flag.Bool("distinct", false, "different addresses on each listener")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	groups := record(*stacks)
	for i := range *listeners {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		served := groups
		if *distinct {
			served = shifted(groups, uint64(i+1)<<20)
		}
		go http.Serve(listener, handler(served))
		fmt.Printf("target http://%s\n", listener.Addr())
	}
	fmt.Println("ready")
	<-ctx.Done()
}

// group is one group of a profile without its count.
type group struct {
	count int
	rest  []byte // from " @" to the blank line
}

// record parks goroutines in n different stacks and returns the groups of the profile that then exists.
func record(n int) []group {
	for i := range n {
		go left(i, 14)
	}
	time.Sleep(200*time.Millisecond + time.Duration(n)*50*time.Microsecond)
	var body bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&body, 1)
	_, text, _ := bytes.Cut(body.Bytes(), []byte("\n"))
	var groups []group
	for _, block := range bytes.Split(text, []byte("\n\n")) {
		count, rest, found := bytes.Cut(block, []byte(" @"))
		if !found || len(groups) == n {
			continue
		}
		number, err := strconv.Atoi(string(count))
		if err != nil {
			log.Fatal(err)
		}
		groups = append(groups, group{number, fmt.Appendf(nil, " @%s\n\n", named(rest))})
	}
	return groups
}

// named gives left and right a name of their own at each depth: to leakwatch a recursion is one stack, however
// deep, and a service has a hundred functions rather than two.
func named(block []byte) []byte {
	lines := bytes.Split(block, []byte("\n"))
	for i := range lines {
		for _, name := range []string{"main.left", "main.right"} {
			lines[i] = bytes.Replace(lines[i], []byte(name+"+"), fmt.Appendf(nil, "%s%d+", name, len(lines)-i), 1)
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

// left and right call each other in the pattern of the bits of path, so that each path is a stack of its own.
//
//go:noinline
func left(path, depth int) {
	if depth == 0 {
		select {}
	}
	if path&1 == 0 {
		left(path>>1, depth-1)
	} else {
		right(path>>1, depth-1)
	}
}

//go:noinline
func right(path, depth int) {
	if depth == 0 {
		select {}
	}
	if path&1 == 0 {
		left(path>>1, depth-1)
	} else {
		right(path>>1, depth-1)
	}
}

var address = regexp.MustCompile(`0x[0-9a-f]+`)

// shifted returns groups with all program counters moved, as in another build.
func shifted(groups []group, by uint64) []group {
	moved := make([]group, len(groups))
	for i, g := range groups {
		lines := bytes.Split(g.rest, []byte("\n"))
		for j, line := range lines {
			cells := bytes.SplitN(line, []byte("\t"), 3)
			target := &lines[j]
			if len(cells) == 3 {
				target = &cells[1]
			}
			*target = address.ReplaceAllFunc(*target, func(old []byte) []byte {
				number, _ := strconv.ParseUint(string(old[2:]), 16, 64)
				return strconv.AppendUint([]byte("0x"), number+by, 16)
			})
			if len(cells) == 3 {
				lines[j] = bytes.Join(cells, []byte("\t"))
			}
		}
		moved[i] = group{g.count, bytes.Join(lines, []byte("\n"))}
	}
	return moved
}

func handler(groups []group) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/goroutine", func(w http.ResponseWriter, _ *http.Request) {
		total := 0
		var body []byte
		for _, g := range groups {
			count := g.count + rand.IntN(3)
			total += count
			body = strconv.AppendInt(body, int64(count), 10)
			body = append(body, g.rest...)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "goroutine profile: total %d\n", total)
		w.Write(body)
	})
	return mux
}
