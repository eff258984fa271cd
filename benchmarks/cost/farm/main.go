// Command farm serves the goroutine profiles of a whole fleet from one process, cheaply, so that what is measured
// is who scrapes them. It parks real goroutines in as many different stacks as asked for, takes one real profile
// of them, and serves it from memory on many listeners with counts that change from request to request.
//
//	farm -listeners 1000 -stacks 100
//
// prints a line "target URL" per listener and then "ready". With -distinct the addresses differ from listener to
// listener, as if each ran a build of its own. With -real every listener asks the runtime instead. With -service
// it runs one real service under load, see service.go.
//
// Each stack has fifteen functions: main.left0 or main.right0 at the root, one of main.left1 and main.right1 above
// it and so on, and main.park at the leaf, in select (no cases).
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
	httppprof "net/http/pprof"
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
	service := flag.Int("service", 0, "run a service with so many parked goroutines under load instead of a fleet")
	live := flag.Bool("real", false, "serve the runtime's own profile, the same on all listeners")
	flag.Parse()
	if *service > 0 {
		serve(*service)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	groups := record(*stacks)
	for i := range *listeners {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		var profile http.Handler
		switch {
		case *live:
			profile = httppprof.Handler("goroutine")
		case *distinct:
			profile = recorded(groups, uint64(i+1)<<20)
		default:
			profile = recorded(groups, 0)
		}
		mux := http.NewServeMux()
		mux.Handle("/debug/pprof/goroutine", profile)
		go http.Serve(listener, mux)
		fmt.Printf("target http://%s\n", listener.Addr())
	}
	fmt.Println("ready")
	<-ctx.Done()
}

// group is one group of a profile: its count, and the text after that, cut at the program counters.
type group struct {
	count    int
	pieces   [][]byte
	counters []uint64
}

// record parks goroutines in n different stacks and returns their groups as the runtime prints them.
func record(n int) []group {
	if n > 1<<depth {
		log.Fatalf("at most %d different stacks are possible", 1<<depth)
	}
	for path := range n {
		go levels[0][path&1](path >> 1)
	}
	for {
		time.Sleep(100 * time.Millisecond)
		if groups := parked(); len(groups) == n {
			return groups
		}
	}
}

// parked returns the groups of the goroutines that have come as far as park.
func parked() []group {
	var body bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&body, 1)
	_, text, _ := bytes.Cut(body.Bytes(), []byte("\n"))
	var groups []group
	for _, block := range bytes.Split(text, []byte("\n\n")) {
		if !bytes.Contains(block, []byte("\tmain.park+")) {
			continue
		}
		count, rest, _ := bytes.Cut(block, []byte(" @"))
		number, err := strconv.Atoi(string(count))
		if err != nil {
			log.Fatal(err)
		}
		groups = append(groups, cut(number, fmt.Appendf(nil, " @%s\n\n", rest)))
	}
	return groups
}

// counter matches the counters after "@" and at the start of a frame's line, but no offset: that follows a "+".
var counter = regexp.MustCompile(`[ \t]0x([0-9a-f]+)`)

func cut(count int, text []byte) group {
	g, begin := group{count: count}, 0
	for _, at := range counter.FindAllSubmatchIndex(text, -1) {
		number, err := strconv.ParseUint(string(text[at[2]:at[3]]), 16, 64)
		if err != nil {
			log.Fatal(err)
		}
		g.pieces, g.counters = append(g.pieces, text[begin:at[2]]), append(g.counters, number)
		begin = at[3]
	}
	g.pieces = append(g.pieces, text[begin:])
	return g
}

// text joins what cut has cut, with all program counters moved as in another build.
func (g group) text(by uint64) []byte {
	var text []byte
	for i, counter := range g.counters {
		text = strconv.AppendUint(append(text, g.pieces[i]...), counter+by, 16)
	}
	return append(text, g.pieces[len(g.counters)]...)
}

// recorded serves groups, with up to two goroutines more in each and program counters moved.
func recorded(groups []group, by uint64) http.Handler {
	size := 0
	texts := make([][]byte, len(groups))
	for i, g := range groups {
		texts[i] = g.text(by)
		size += len(texts[i]) + 8 // for the count
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		total := 0
		body := make([]byte, 0, size)
		for i, g := range groups {
			count := g.count + rand.IntN(3)
			total += count
			body = strconv.AppendInt(body, int64(count), 10)
			body = append(body, texts[i]...)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "goroutine profile: total %d\n", total)
		for len(body) > 0 { // net/http makes chunks of 2,048 bytes of small writes, as runtime/pprof does them
			size := min(len(body), 512)
			w.Write(body[:size])
			body = body[size:]
		}
	})
}
