package main

import (
	"io"
	"math/rand"
	"strings"
	"time"
)

var slowKinds = []kind{
	{name: "silent", format: text, about: "reads the request and never answers", serve: (*exchange).wait},
	{name: "head-then-silent", format: text, about: "sends a head, and never the body", serve: func(x *exchange) {
		x.head("200 OK", "Content-Length: 1000")
		x.wait()
	}},
	{name: "half-then-silent", format: text, about: "sends half of the body, and never the rest", serve: onProfile(func(x *exchange) {
		body := x.profile(0)
		x.head("200 OK", "Content-Length: 100000")
		x.raw(body[:len(body)/2])
		x.wait()
	})},
	{name: "drip", format: text, about: "a valid body, one byte per 100 ms", serve: onProfile(func(x *exchange) {
		x.head("200 OK", "Content-Length: 100000")
		drip(x, x.profile(0))
		x.wait()
	})},
	{name: "head-drip", format: text, about: "a valid head, one byte per 100 ms", serve: func(x *exchange) {
		drip(x, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-Header: value\r\n", 10_000))
	}},
	{name: "head-slow", format: text, about: "a header line per 100 ms for ever", serve: func(x *exchange) {
		x.raw("HTTP/1.1 200 OK\r\n")
		forever(slow, func() { x.raw("X-Header: value\r\n") })
	}},
	{name: "endless", format: text, about: "valid groups for ever, as fast as the client reads", serve: onProfile(func(x *exchange) {
		endless(x, 0)
	})},
	{name: "endless-slow", format: text, about: "a valid group per 100 ms for ever", serve: onProfile(func(x *exchange) {
		endless(x, slow)
	})},
	{name: "endless-continue", format: text, about: "100 Continue for ever, as fast as the client reads", serve: func(x *exchange) {
		forever(0, func() { x.raw(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100)) })
	}},
	{name: "endless-continue-slow", format: text, about: "100 Continue per 100 ms for ever", serve: func(x *exchange) {
		forever(slow, func() { x.raw("HTTP/1.1 100 Continue\r\n\r\n") })
	}},
	{name: "endless-noise", format: text, about: "random bytes for ever", serve: onProfile(func(x *exchange) {
		noise := rand.New(rand.NewSource(1))
		x.stream(func(w io.Writer) {
			for {
				io.CopyN(w, noise, mega)
			}
		})
	})},
	{name: "jitter", format: text, about: "a valid body after a pause of up to 20 ms", serve: onProfile(func(x *exchange) {
		time.Sleep(time.Duration(x.number*7%20) * time.Millisecond)
		healthy(x)
	})},
}

func drip(x *exchange, body string) {
	for i := range body {
		x.raw(body[i : i+1])
		time.Sleep(slow)
	}
}

func endless(x *exchange, pause time.Duration) {
	x.head("200 OK", "Transfer-Encoding: chunked")
	x.chunk("goroutine profile: total 1000000\n")
	forever(pause, func() { x.chunk(strings.Repeat(group(1, 0, function(0)), 200)) })
}

func (x *exchange) chunk(data string) { x.write("%x\r\n%s\r\n", len(data), data) }
