package main

import (
	"fmt"
	"io"
	"strings"
)

// The kinds of this file leak, so that leakwatch probes them; only the answer to one probe is bad.
var probeKinds = []kind{
	{name: "metrics-backtracking", format: text, about: "a metric of 60 kB of braces, which made a pattern backtrack", serve: probed("metrics",
		once("go_goroutines {"+strings.Repeat("}", 60_000)+"\n"))},
	{name: "metrics-spaces", format: text, about: "a metric of 60 kB of spaces", serve: probed("metrics", once("go_goroutines"+strings.Repeat(" ", 60_000)+"x\n"))},
	{name: "metrics-endless", format: text, about: "metrics for ever", serve: probed("metrics", ever("", "other_metric 1\n"))},
	{name: "metrics-line", format: text, about: "a metric that does not end", serve: probed("metrics", ever("go_goroutines ", "1"))},
	{name: "metrics-values", format: text, about: "metrics that are not numbers", serve: probed("metrics", once("go_goroutines NaN\nprocess_resident_memory_bytes -Inf\n"))},
	{name: "metrics-html", format: text, about: "a page in place of metrics", serve: probed("metrics", once("<!doctype html>\n"))},
	{name: "metrics-silent", format: text, about: "no answer to /metrics", serve: probed("metrics", (*exchange).wait)},
	{name: "threads-parts", format: text, about: "990,000 empty mappings in threadcreate, 3 kB in gzip", serve: probed("threadcreate", unzippedParts)},
	{name: "threads-endless", format: text, about: "a threadcreate profile for ever", serve: probed("threadcreate", ever("", "\x32\x01a"))},
	{name: "threads-noise", format: text, about: "a threadcreate profile that is none", serve: probed("threadcreate", once(allBytes()))},
	{name: "threads-silent", format: text, about: "no answer to threadcreate", serve: probed("threadcreate", (*exchange).wait)},
	{name: "symbol-endless", format: text, about: "names for ever", serve: probed("symbol", ever("num_symbols: 1\n", "0x43e0ad runtime.chanrecv1\n"))},
	{name: "symbol-other", format: text, about: "a name for another address", serve: probed("symbol", once("num_symbols: 1\n0x1 main.main\n"))},
	{name: "symbol-long", format: text, about: "a name of 900 kB", serve: probed("symbol", once("num_symbols: 1\n0x43e0ad "+strings.Repeat("f", 900_000)+"\n"))},
	{name: "symbol-silent", format: text, about: "no answer to symbol", serve: probed("symbol", (*exchange).wait)},
	{name: "dump-endless", format: text, about: "a full dump for ever", serve: probed("goroutine?debug=2", ever("", dumped))},
	{name: "dump-line", format: text, about: "a line of 60 MB in a full dump", serve: probed("goroutine?debug=2", ever("goroutine 1 [chan send]:\nmain.f(", "0x1, "))},
	{name: "dump-labels", format: text, about: "60 MB of labels in a full dump", serve: probed("goroutine?debug=2", func(x *exchange) {
		x.stream(func(w io.Writer) {
			io.WriteString(w, "goroutine 1 [chan send] {a: b")
			repeat(w, ", a: b", 60_000_000)
			io.WriteString(w, "}:\nmain.f()\n\t/main.go:1 +0x28\n")
		})
	})},
	{name: "dump-deep", format: text, about: "a goroutine of a million frames in a full dump", serve: probed("goroutine?debug=2", func(x *exchange) {
		x.stream(func(w io.Writer) {
			io.WriteString(w, "goroutine 1 [chan send]:\n")
			frame := "main.f()\n\t/main.go:1 +0x28\n"
			repeat(w, frame, 1_000_000*len(frame))
		})
	})},
	{name: "allocations-endless", format: text, about: "a heap profile for ever", serve: allocating(ever(heapHeader, dead))},
	{name: "allocations-line", format: text, about: "a heap profile with a line that does not end", serve: allocating(ever(heapHeader+"1: 16 [1: 16] @", " 0x500000"))},
	{name: "allocations-statistics", format: text, about: "statistics of a heap profile for ever", serve: allocating(ever(heapHeader+"\n\n# runtime.MemStats\n", "# Alloc = 1\n"))},
	{name: "allocations-other", format: text, about: "a page in place of a heap profile", serve: allocating(once("<!doctype html>\n"))},
	{name: "allocations-sums", format: text, about: "a heap profile without most of its records", serve: allocating(once(heapHeader + dead))},
	{name: "allocations-silent", format: text, about: "no answer to heap", serve: allocating((*exchange).wait)},
	{name: "proof-endless", format: text, about: "a goroutineleak profile for ever", serve: probed("goroutineleak?debug=1", ever("goroutineleak profile: total 1\n", group(1, 0, function(0))))},
	{name: "proof-other", format: text, about: "a goroutineleak profile that is another one", serve: probed("goroutineleak?debug=1", once("goroutine profile: total 0\n"))},
}

const dumped = "goroutine 1 [chan send, 5 minutes]:\nexample.com/shop.Leak()\n\t/src/shop/shop.go:22 +0x28\n\n"

// probed leaks, and answers the probe at `path` by `serve`. The query of threadcreate does not matter.
func probed(path string, serve func(*exchange)) func(*exchange) {
	return func(x *exchange) {
		if requested, _, _ := strings.Cut(x.path, "?"); x.path == path || requested == path {
			serve(x)
			return
		}
		x.service(perCall * x.number)
	}
}

const (
	heapHeader = "heap profile: 9: 9216 [9: 9216] @ heap/1048576\n"
	dead       = "0: 0 [1: 16] @ 0x500001\n#\t0x500000\texample.com/shop.Leak+0x28\t/src/shop/shop.go:22\n\n"
)

// allocating leaks in a library, which makes leakwatch look for own code in the heap profile, and answers that by `serve`.
func allocating(serve func(*exchange)) func(*exchange) {
	inLibrary := strings.NewReplacer("example.com/shop.Leak", "golang.org/x/shop.Leak")
	return func(x *exchange) {
		switch x.path {
		case "heap?debug=1":
			serve(x)
		case "goroutine?debug=1":
			x.answer("200 OK", inLibrary.Replace(x.profile(perCall*x.number)))
		case "symbol":
			x.answer("200 OK", inLibrary.Replace(names(x.request.URL.RawQuery)))
		default:
			x.service(perCall * x.number)
		}
	}
}

func once(body string) func(*exchange) {
	return func(x *exchange) { x.answer("200 OK", body) }
}

func ever(begin, text string) func(*exchange) {
	return func(x *exchange) {
		x.head("200 OK", "Content-Length: "+fmt.Sprint(1<<50))
		io.WriteString(x, begin)
		repeat(x, text, 1<<50)
	}
}

func unzippedParts(x *exchange) {
	var body strings.Builder
	body.Write(threads(processStart, processBuild).bytes())
	repeat(&body, "\x1a\x00", 2*990_000)
	x.answer("200 OK", zipped([]byte(body.String())))
}
