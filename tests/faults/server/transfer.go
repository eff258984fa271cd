package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
)

var chunkKinds = []kind{
	{name: "chunks-one-byte", format: text, about: "valid groups for ever, in chunks of one byte", serve: onProfile(func(x *exchange) {
		x.head("200 OK", "Transfer-Encoding: chunked")
		x.chunk("goroutine profile: total 1000000\n")
		var chunks strings.Builder
		for _, letter := range group(1, 0, function(0)) {
			fmt.Fprintf(&chunks, "1\r\n%c\r\n", letter)
		}
		repeat(x, chunks.String(), 1<<40)
	})},
	{name: "chunks-extension", format: text, about: "a chunk extension for ever", serve: chunked("5;name=", func(x *exchange) {
		repeat(x, "a", 1<<40)
	})},
	{name: "chunks-garbage", format: text, about: "a chunk size that is not a number", serve: chunked("5\r\ngorou\r\nzz\r\n", (*exchange).end)},
	{name: "chunks-negative", format: text, about: "a chunk size of -1", serve: chunked("-1\r\n", (*exchange).end)},
	{name: "chunks-huge", format: text, about: "a chunk size of 2^64 - 1", serve: chunked("ffffffffffffffff\r\ngoroutine", (*exchange).end)},
	{name: "chunks-unended", format: text, about: "a chunk that ends without a line break", serve: chunked("5\r\ngoroutine profile", (*exchange).end)},
	{name: "chunks-trailers", format: text, about: "trailers for ever after the last chunk", serve: chunked("0\r\n", func(x *exchange) {
		forever(0, func() { x.raw(strings.Repeat("X-Trailer: value\r\n", 1000)) })
	})},
	{name: "chunks-cut", format: text, about: "a valid body without the last chunk", serve: onProfile(func(x *exchange) {
		x.head("200 OK", "Transfer-Encoding: chunked")
		x.chunk(x.profile(0))
		x.end()
	})},
}

var closeKinds = []kind{
	{name: "close-at-request", format: text, about: "closes the connection instead of answering", serve: (*exchange).end},
	{name: "reset-at-request", format: text, about: "resets the connection instead of answering", serve: (*exchange).reset},
	{name: "close-in-head", format: text, about: "closes the connection within the head", serve: rawly("HTTP/1.1 200 OK\r\nX-Hea")},
	{name: "close-in-body", format: text, about: "HTTP/1.0, closed within a group", serve: onProfile(func(x *exchange) {
		body := x.profile(0)
		x.raw("HTTP/1.0 200 OK\r\n\r\n" + body[:len(body)-20])
		x.end()
	})},
	{name: "close-between-groups", format: text, about: "HTTP/1.0, closed between two groups", serve: onProfile(func(x *exchange) {
		body := x.profile(0)
		x.raw("HTTP/1.0 200 OK\r\n\r\n" + body[:strings.LastIndex(body[:len(body)-2], "\n\n")+2])
		x.end()
	})},
	{name: "reset-in-body", format: text, about: "resets the connection within the body", serve: onProfile(func(x *exchange) {
		x.head("200 OK", "Content-Length: 100000")
		x.raw(x.profile(0))
		x.reset()
	})},
	{name: "keep-alive-lie", format: text, about: "promises keep-alive and closes after each response", serve: func(x *exchange) {
		healthy(x)
		x.end()
	}},
	{name: "every-second-fails", format: text, about: "answers every second scrape only", serve: onProfile(func(x *exchange) {
		if x.number%2 == 1 {
			healthy(x)
		} else {
			x.reset()
		}
	})},
}

var codingKinds = []kind{
	{name: "gzip", format: text, about: "a valid body in gzip", serve: onProfile(func(x *exchange) {
		x.answer("200 OK", zipped([]byte(x.profile(0))), gzipped)
	})},
	{name: "gzip-zeros", format: text, about: "10 GB of zeros in gzip", serve: onProfile(func(x *exchange) {
		x.stream(func(w io.Writer) { bomb(w, "", strings.Repeat("\x00", mega), 10_000) }, gzipped)
	})},
	{name: "gzip-groups", format: text, about: "10 GB of valid groups in gzip", serve: onProfile(func(x *exchange) {
		groups := strings.Repeat(group(1, 0, function(0)), 10_000)
		x.stream(func(w io.Writer) { bomb(w, "goroutine profile: total 1000000\n", groups, 10_000) }, gzipped)
	})},
	{name: "gzip-in-gzip", format: proto, about: "a profile of 10 GB in gzip, in gzip again", serve: onProfile(func(x *exchange) {
		var inner bytes.Buffer
		bomb(&inner, "", strings.Repeat("\x32\x00", mega/2), 1000)
		x.answer("200 OK", zipped(inner.Bytes()), gzipped)
	})},
	{name: "gzip-cut", format: text, about: "gzip that ends early", serve: onProfile(func(x *exchange) {
		body := zipped([]byte(x.profile(0)))
		x.answer("200 OK", body[:len(body)/2], gzipped)
	})},
	{name: "gzip-not", format: text, about: "announces gzip and sends plain text", serve: onProfile(func(x *exchange) {
		x.answer("200 OK", x.profile(0), gzipped)
	})},
	{name: "gzip-tail", format: text, about: "valid gzip, then other bytes for ever", serve: onProfile(func(x *exchange) {
		x.stream(func(w io.Writer) {
			io.WriteString(w, zipped([]byte(x.profile(0))))
			repeat(w, "tail", 1<<40)
		}, gzipped)
	})},
	{name: "gzip-checksum", format: text, about: "gzip with an invalid checksum", serve: onProfile(func(x *exchange) {
		body := []byte(zipped([]byte(x.profile(0))))
		body[len(body)-6] ^= 0xff
		x.answer("200 OK", string(body), gzipped)
	})},
	{name: "coding-br", format: text, about: "a coding that the request does not accept", serve: always("\x0b\x02\x80profile\x03", "Content-Encoding: br")},
	{name: "coding-list", format: text, about: "a list of codings", serve: always("profile", "Content-Encoding: gzip, gzip, gzip")},
	{name: "coding-long", format: text, about: "a coding with a name of 10 kB", serve: always("profile", "Content-Encoding: "+strings.Repeat("x", 10_000))},
	{name: "utf-16", format: text, about: "a profile in UTF-16", serve: always("\xff\xfeg\x00o\x00r\x00o\x00", "Content-Type: text/plain; charset=utf-16")},
}

const gzipped = "Content-Encoding: gzip"

// bomb writes `begin` and then `block` n times, in gzip. It compresses the block only twice: each flush ends on a byte,
// and from the second block on, all refer to an equal block before them. The checksum is missing.
func bomb(w io.Writer, begin, block string, n int) {
	var out bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	io.WriteString(zip, begin+block)
	zip.Flush()
	w.Write(out.Bytes())
	out.Reset()
	io.WriteString(zip, block)
	zip.Flush()
	for range n - 1 {
		w.Write(out.Bytes())
	}
}

// chunked begins a chunked body with raw bytes.
func chunked(begin string, rest func(*exchange)) func(*exchange) {
	return onProfile(func(x *exchange) {
		x.head("200 OK", "Transfer-Encoding: chunked")
		x.raw(begin)
		rest(x)
	})
}
