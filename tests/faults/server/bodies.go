package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

var textKinds = []kind{
	{name: "empty", format: text, about: "an empty body", serve: always("")},
	{name: "html", format: text, about: "a page", serve: always("<!doctype html>\n<html><body>login</body></html>\n", "Content-Type: text/html")},
	{name: "json", format: text, about: "JSON", serve: always(`{"goroutines": 12}`)},
	{name: "binary", format: text, about: "all 256 bytes", serve: always(allBytes())},
	{name: "zeros", format: text, about: "64 MB of zeros", serve: filled("", "\x00", 64*mega)},
	{name: "heap", format: text, about: "another profile", serve: always("heap profile: 3: 4 [5: 6] @ heap/1048576\n")},
	{name: "only-head", format: text, about: "the first line without its end", serve: always("goroutine profile: total 12")},
	{name: "total-endless", format: text, about: "a total of 64 MB of digits", serve: filled("goroutine profile: total ", "1", 64*mega)},
	{name: "total-negative", format: text, about: "a total of -5", serve: always("goroutine profile: total -5\n")},
	{name: "total-huge", format: text, about: "a total of 10^30", serve: always("goroutine profile: total 1" + strings.Repeat("0", 30) + "\n")},
	{name: "total-wrong", format: text, about: "a total that is not the sum of the counts", serve: onProfile(func(x *exchange) {
		x.answer("200 OK", "goroutine profile: total 99999\n"+group(1, 0, function(0)))
	})},
	{name: "count-negative", format: text, about: "a count of -5", serve: always("goroutine profile: total 5\n" + group(-5, 0, function(0)))},
	{name: "count-huge", format: text, about: "a count of 10^30", serve: always("goroutine profile: total 5\n" + strings.Replace(group(7, 0, function(0)), "7 ", "1"+strings.Repeat("0", 30)+" ", 1))},
	{name: "count-17-digits", format: text, about: "a count of 10^17", serve: always("goroutine profile: total 100000000000000000\n" + group(100000000000000000, 0, function(0)))},
	{name: "count-clock", format: text, about: "a count that is the time in nanoseconds", serve: onProfile(func(x *exchange) {
		now := int(time.Now().UnixNano())
		x.answer("200 OK", fmt.Sprintf("goroutine profile: total %d\n", now)+group(now, 0, function(0)))
	})},
	{name: "counters-60m", format: text, about: "60 MB of counters in one group", serve: filled("goroutine profile: total 1\n1 @", " 0x1", 60*mega)},
	{name: "labels-54m", format: text, about: "a line of labels of 54 MB", serve: onProfile(func(x *exchange) {
		x.stream(func(w io.Writer) {
			io.WriteString(w, "goroutine profile: total 1\n1 @ 0x500001\n# labels: {\"a\":\"b\"")
			repeat(w, `, "a":"b"`, 54*mega/9*9)
			io.WriteString(w, "}\n#\t0x500000\tmain.f+0x28\t/main.go:1\n\n")
		})
	})},
	{name: "frames-100k", format: text, about: "100,000 frames in one group", serve: onProfile(func(x *exchange) {
		x.stream(func(w io.Writer) {
			io.WriteString(w, "goroutine profile: total 1\n1 @ 0x500001\n")
			frame := "#\t0x500000\tmain.f+0x28\t/main.go:1\n"
			repeat(w, frame, 100_000*len(frame))
			io.WriteString(w, "\n")
		})
	})},
	{name: "stacks-10k-new", format: text, about: "10,000 new stacks at each scrape", serve: newStacks(10_000)},
	{name: "stacks-100k-new", format: text, about: "100,000 new stacks at each scrape", serve: newStacks(100_000)},
	{name: "stacks-60m", format: text, about: "60 MB of tiny new stacks", serve: newStacks(700_000)},
	{name: "groups-equal", format: text, about: "one stack in 100,000 groups", serve: onProfile(func(x *exchange) {
		x.stream(func(w io.Writer) {
			io.WriteString(w, "goroutine profile: total 100000\n")
			one := group(1, 0, function(0))
			repeat(w, one, 100_000*len(one))
		})
	})},
	{name: "lines-crlf", format: text, about: "line ends of Windows", serve: onProfile(func(x *exchange) {
		x.answer("200 OK", strings.ReplaceAll(x.profile(0), "\n", "\r\n"))
	})},
	{name: "lines-blank", format: text, about: "64 MB of blank lines", serve: filled("goroutine profile: total 1\n", "\n", 64*mega)},
	{name: "line-1g", format: text, about: "a line of 1 GB", serve: filled("goroutine profile: total 1\n1 @ ", "a", 1<<30)},
	{name: "not-a-frame", format: text, about: "a line that is not a frame", serve: always("goroutine profile: total 1\n1 @ 0x500001\nmain.f()\n\n")},
}

var nameKinds = []kind{
	{name: "name-10m", format: text, about: "a function with a name of 10 MB", serve: named("main.", "f", 10*mega)},
	{name: "name-brackets", format: text, about: "a function with 10 million brackets", serve: named("main.f", "[", 10_000_000)},
	{name: "name-parentheses", format: text, about: "a function with 10 million parentheses", serve: named("main.f", "(*", 20_000_000)},
	{name: "name-dots", format: text, about: "a function with 10 million dots and slashes", serve: named("main", "./", 20_000_000)},
	{name: "names-escapes", format: text, about: "names with terminal escapes and text from right to left", serve: stacksOf("main.\x1b[31mred", "main.\u202eesrever", "main.\x07bell")},
	{name: "names-markup", format: text, about: "names with markup and scripts", serve: stacksOf("main.<script>alert(1)</script>", `main."onload="x`, "main.{{7*7}}", "main.${jndi:ldap://x}")},
	{name: "names-metrics", format: text, about: "names that end a metric", serve: stacksOf(`main.f"} 1\nup 1`, `main.\`, `main.a\"b`, "main.\xff\xfe")},
	{name: "names-paths", format: text, about: "names that leave a folder", serve: stacksOf("../../../etc/passwd.f", "main.%2e%2e%2f", "main.\x00f")},
}

func allBytes() string {
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	return string(all)
}

// filled answers each scrape with `begin` and `size` bytes of `text`.
func filled(begin, text string, size int) func(*exchange) {
	return onProfile(func(x *exchange) {
		x.stream(func(w io.Writer) {
			io.WriteString(w, begin)
			repeat(w, text, size)
		})
	})
}

// newStacks answers each scrape with stacks that no other scrape has.
func newStacks(n int) func(*exchange) {
	return onProfile(func(x *exchange) {
		x.stream(func(w io.Writer) {
			fmt.Fprintf(w, "goroutine profile: total %d\n", n)
			for i := range n {
				at := x.number*n + i
				fmt.Fprintf(w, "1 @ %#x\n#\t%#x\tmain.f%d+0x28\t/main.go:1\n\n", visible+at, visible+at-1, at)
			}
		})
	})
}

// named answers each scrape with one stack; its function is `begin` and `size` bytes of `text`.
func named(begin, text string, size int) func(*exchange) {
	return onProfile(func(x *exchange) {
		x.stream(func(w io.Writer) {
			io.WriteString(w, "goroutine profile: total 1\n1 @ 0x500001\n#\t0x500000\t"+begin)
			repeat(w, text, size)
			io.WriteString(w, "+0x28\t/main.go:1\n\n")
		})
	})
}

// stacksOf answers each scrape with one stack per name.
func stacksOf(names ...string) func(*exchange) {
	return onProfile(func(x *exchange) {
		body := fmt.Sprintf("goroutine profile: total %d\n", len(names))
		for i, name := range names {
			body += group(1, i, name)
		}
		x.answer("200 OK", body)
	})
}
