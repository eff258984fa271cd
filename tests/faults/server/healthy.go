package main

import (
	"fmt"
	"strings"
)

var healthyKinds = []kind{
	{name: "healthy", format: text, about: "answers as a Go service does; its counts move and stay bounded", serve: healthy},
	{name: "healthy-leak", format: text, about: "answers as a Go service does; 20 goroutines leak per scrape", serve: leaking},
	{name: "healthy-proto", format: proto, about: "answers with a protobuf profile", serve: healthy},
	{name: "healthy-http10", format: text, about: "HTTP/1.0 without a length: the end of the connection ends the body",
		serve: onProfile(func(x *exchange) {
			x.raw("HTTP/1.0 200 OK\r\n\r\n" + x.profile(0))
			x.end()
		})},
}

const (
	stacks  = 12
	parked  = 0x43e0ae // runtime.chanrecv1, hidden above each visible frame
	goexit  = 0x470001
	visible = 0x500001
	perCall = 20 // goroutines that leak per scrape
)

// group is one stack of a text profile: the function `name` in a channel receive.
func group(count, at int, name string) string {
	counter := visible + 0x100*at
	return fmt.Sprintf("%d @ %#x %#x %#x\n#\t%#x\t%s+0x28\t/src/shop/shop.go:%d\n\n", count, parked, counter, goexit, counter-1, name, 10+at)
}

// counts returns the goroutines of each stack at scrape n: they move and stay bounded.
func counts(n int) []int {
	all := make([]int, stacks)
	for i := range all {
		all[i] = 10 + i + (n*7+i*3)%5
	}
	return all
}

func function(i int) string { return fmt.Sprintf("example.com/shop.worker%02d", i) }

// profile returns a whole text profile, with `leaked` goroutines in a stack of their own if there are any.
func (x *exchange) profile(leaked int) string {
	var body strings.Builder
	total := 0
	if leaked > 0 {
		body.WriteString(group(leaked, stacks, "example.com/shop.Leak"))
		total = leaked
	}
	for i, count := range counts(x.number) {
		body.WriteString(group(count, i, function(i)))
		total += count
	}
	return fmt.Sprintf("goroutine profile: total %d\n", total) + body.String()
}

func healthy(x *exchange) { x.service(0) }

func leaking(x *exchange) { x.service(perCall * x.number) }

// service answers each path that leakwatch requests.
func (x *exchange) service(leaked int) {
	switch x.path {
	case "goroutine?debug=1":
		x.answer("200 OK", x.profile(leaked))
	case "goroutine?debug=0":
		x.answer("200 OK", zipped(x.protoProfile().bytes()))
	case "threadcreate", "threadcreate?debug=0":
		x.answer("200 OK", zipped(threads(processStart, processBuild).bytes()))
	case "symbol":
		x.answer("200 OK", names(x.request.URL.RawQuery))
	case "metrics":
		total := leaked
		for _, count := range counts(x.number) {
			total += count
		}
		x.answer("200 OK", fmt.Sprintf("# TYPE go_goroutines gauge\ngo_goroutines %d\nprocess_resident_memory_bytes 3e7\n", total))
	default:
		x.answer("404 Not Found", "404 page not found\n")
	}
}

// names answers /symbol for the addresses of a query.
func names(query string) string {
	var body strings.Builder
	body.WriteString("num_symbols: 1\n")
	for _, address := range strings.Split(query, "+") {
		var at int
		if _, err := fmt.Sscanf(address, "0x%x", &at); err != nil {
			continue
		}
		switch i := (at - visible + 1) / 0x100; {
		case at == parked-1:
			fmt.Fprintf(&body, "%#x runtime.chanrecv1\n", at)
		case i == stacks:
			fmt.Fprintf(&body, "%#x example.com/shop.Leak\n", at)
		case i >= 0 && i < stacks:
			fmt.Fprintf(&body, "%#x %s\n", at, function(i))
		}
	}
	return body.String()
}

// onProfile misbehaves in answer to a scrape, and answers all other requests as a service does.
func onProfile(serve func(*exchange)) func(*exchange) {
	return func(x *exchange) {
		if x.isProfile() {
			serve(x)
		} else {
			healthy(x)
		}
	}
}

// always answers each scrape with the same body.
func always(body string, headers ...string) func(*exchange) {
	return onProfile(func(x *exchange) { x.answer("200 OK", body, headers...) })
}
