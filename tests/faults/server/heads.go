package main

import (
	"fmt"
	"strings"
)

var headKinds = []kind{
	{name: "head-1g", format: text, about: "a header line of 1 GB", serve: func(x *exchange) {
		x.raw("HTTP/1.1 200 OK\r\nX-Header: ")
		repeat(x, "a", 1<<30)
		x.raw("\r\n\r\n")
	}},
	{name: "head-100k-lines", format: text, about: "100,000 header lines", serve: onProfile(func(x *exchange) {
		x.raw("HTTP/1.1 200 OK\r\n")
		for i := range 1000 {
			x.raw(strings.Repeat(fmt.Sprintf("X-Header-%d: value\r\n", i), 100))
		}
		x.raw("Content-Length: 0\r\n\r\n")
	})},
	{name: "head-endless", format: text, about: "header lines for ever", serve: func(x *exchange) {
		x.raw("HTTP/1.1 200 OK\r\n")
		forever(0, func() { x.raw(strings.Repeat("X-Header: value\r\n", 1000)) })
	}},
	{name: "head-no-colon", format: text, about: "a header line without a colon", serve: headed("X-Header")},
	{name: "head-nul", format: text, about: "a NUL byte in a header", serve: headed("X-Header: a\x00b")},
	{name: "head-folded", format: text, about: "a header line that continues on the next", serve: headed("X-Header: a\r\n b")},
	{name: "head-no-reason", format: text, about: "a status line without a reason", serve: onProfile(func(x *exchange) {
		x.answer("200", x.profile(0))
	})},
	{name: "head-cookies", format: text, about: "cookies for other hosts, which no request may return", serve: onProfile(func(x *exchange) {
		x.answer("200 OK", x.profile(0), "Set-Cookie: id=secret; Domain=localhost; Path=/")
	})},
	{name: "head-clock", format: text, about: "dates of other centuries in the head", serve: onProfile(func(x *exchange) {
		x.answer("200 OK", x.profile(0), "Date: Fri, 31 Dec 9999 23:59:59 GMT", "Age: -1", "Expires: 0", "Retry-After: 99999999999")
	})},
	{name: "garbage", format: text, about: "bytes that are not HTTP", serve: rawly("\x00\xff\x17\x03garbage\r\n\r\n")},
	{name: "ssh", format: text, about: "the banner of an SSH server", serve: rawly("SSH-2.0-OpenSSH_9.2\r\n")},
	{name: "http09", format: text, about: "a body without a head", serve: func(x *exchange) {
		x.raw(x.profile(0))
		x.end()
	}},
	{name: "http2", format: text, about: "the settings frame of HTTP/2", serve: rawly("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64")},
	{name: "http3", format: text, about: "a version of HTTP that does not exist here", serve: rawly("HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n")},
	{name: "early-hints", format: text, about: "103 Early Hints before a valid response", serve: onProfile(func(x *exchange) {
		x.head("103 Early Hints", "Link: </style.css>; rel=preload")
		healthy(x)
	})},
	{name: "upgrade", format: text, about: "101 Switching Protocols", serve: onProfile(func(x *exchange) {
		x.head("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
		x.end()
	})},
	{name: "length-negative", format: text, about: "Content-Length: -1", serve: lengths("-1")},
	{name: "length-words", format: text, about: "a Content-Length that is not a number", serve: lengths("many")},
	{name: "length-two", format: text, about: "two different Content-Lengths", serve: lengths("10", "20")},
	{name: "length-and-chunks", format: text, about: "a Content-Length and chunks", serve: onProfile(func(x *exchange) {
		x.head("200 OK", "Content-Length: 3", "Transfer-Encoding: chunked")
		x.chunk(x.profile(0))
		x.raw("0\r\n\r\n")
	})},
	{name: "length-long", format: text, about: "a Content-Length longer than the body", serve: onProfile(func(x *exchange) {
		x.head("200 OK", "Content-Length: 100000")
		x.raw(x.profile(0))
		x.end()
	})},
	{name: "length-short", format: text, about: "a Content-Length shorter than the body", serve: onProfile(func(x *exchange) {
		body := x.profile(0)
		x.head("200 OK", fmt.Sprint("Content-Length: ", len(body)/2))
		x.raw(body)
		x.end()
	})},
	{name: "length-huge", format: text, about: "a Content-Length of 10^18, and a body for ever", serve: onProfile(func(x *exchange) {
		x.head("200 OK", "Content-Length: 1000000000000000000")
		x.raw("goroutine profile: total 1000000\n")
		repeat(x, group(1, 0, function(0)), 1<<50)
	})},
	{name: "extra-response", format: text, about: "a second response without a request", serve: onProfile(func(x *exchange) {
		healthy(x)
		x.answer("200 OK", "goroutine profile: total 0\n")
	})},
}

// headed answers with a profile below an unusual header line.
func headed(line string) func(*exchange) {
	return onProfile(func(x *exchange) { x.answer("200 OK", x.profile(0), line) })
}

// rawly answers every request with the same bytes, and ends the connection.
func rawly(data string) func(*exchange) {
	return func(x *exchange) {
		x.raw(data)
		x.end()
	}
}

func lengths(values ...string) func(*exchange) {
	return onProfile(func(x *exchange) {
		var headers []string
		for _, value := range values {
			headers = append(headers, "Content-Length: "+value)
		}
		x.head("200 OK", headers...)
		x.raw(x.profile(0))
		x.end()
	})
}
