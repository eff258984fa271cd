package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"strings"
)

// Fields of google/pprof's profile.proto.
const (
	sampleTypes = 1 + iota
	samples
	mappings
	locations
	functions
	stringTable
)

const (
	processStart = 0x7fff00001000
	processBuild = "0123456789abcdef"
)

var protoKinds = []kind{
	{name: "proto-60m-ids", format: proto, about: "a sample with 60 million locations, 60 kB in gzip", serve: zippedStream(func(w io.Writer) {
		w.Write(basics().bytes())
		lengthOf(w, samples, 60_000_000+12)
		lengthOf(w, 1, 60_000_000)
		repeat(w, "\x01", 60_000_000)
		w.Write(fields().number(2, 1).bytes())
	})},
	{name: "proto-10m-lines", format: proto, about: "a location with 10 million calls", serve: zippedStream(func(w io.Writer) {
		w.Write(basics().part(samples, sample(1, 1)).bytes())
		call := string(fields().part(4, fields().number(1, 1)).bytes())
		n := 10_000_000 * len(call)
		lengthOf(w, locations, n+2)
		w.Write(fields().number(1, 1).bytes())
		repeat(w, call, n)
	})},
	{name: "proto-5m-labels", format: proto, about: "a sample with 5 million labels", serve: zippedStream(func(w io.Writer) {
		w.Write(basics().part(locations, location(1)).bytes())
		label := string(fields().part(3, fields().number(1, 1).number(2, 1)).bytes())
		n := 5_000_000 * len(label)
		one := sample(1, 1).bytes()
		lengthOf(w, samples, n+len(one))
		w.Write(one)
		repeat(w, label, n)
	})},
	{name: "proto-empty-parts", format: proto, about: "990,000 empty samples, 3 kB in gzip", serve: zippedStream(func(w io.Writer) {
		w.Write(basics().bytes())
		repeat(w, "\x12\x00", 2*990_000)
	})},
	{name: "proto-empty-functions", format: proto, about: "990,000 empty functions, 3 kB in gzip", serve: zippedStream(func(w io.Writer) {
		w.Write(basics().part(locations, location(1)).part(samples, sample(1, 1)).bytes())
		repeat(w, "\x2a\x00", 2*990_000)
	})},
	{name: "proto-endless", format: proto, about: "strings for ever", serve: zippedStream(func(w io.Writer) {
		w.Write(basics().bytes())
		repeat(w, string(fields().text(stringTable, strings.Repeat("s", 120)).bytes()), 1<<40)
	})},
	{name: "proto-endless-varint", format: proto, about: "a number of 64 MB", serve: zippedStream(func(w io.Writer) {
		w.Write(basics().bytes())
		repeat(w, "\xff", 64*mega)
	})},
	{name: "proto-long-field", format: proto, about: "a field of 2^62 bytes", serve: protoOf(basics().varint(samples<<3 | 2).varint(1 << 62))},
	{name: "proto-short-field", format: proto, about: "a field longer than its message", serve: protoOf(basics().text(samples, "\x0a\x7f\x01"))},
	{name: "proto-string-index", format: proto, about: "a name with the index 2^62", serve: protoOf(basics().
		part(samples, sample(1, 1)).part(locations, location(1)).part(functions, fields().number(1, 1).number(2, 1<<62)))},
	{name: "proto-no-location", format: proto, about: "a sample whose location is missing", serve: protoOf(basics().part(samples, sample(1, 77)))},
	{name: "proto-two-locations", format: proto, about: "two locations with one id", serve: protoOf(basics().
		part(samples, sample(1, 1)).part(locations, location(1)).part(locations, location(1)))},
	{name: "proto-no-function", format: proto, about: "a call of a function that is missing", serve: protoOf(basics().
		part(samples, sample(1, 1)).part(locations, location(1)))},
	{name: "proto-no-values", format: proto, about: "a sample without a count", serve: protoOf(basics().part(samples, fields().number(1, 1)))},
	{name: "proto-negative", format: proto, about: "a count of -1", serve: protoOf(basics().
		part(samples, sample(math.MaxUint64, 1)).part(locations, location(1)))},
	{name: "proto-wire-type", format: proto, about: "a wire type that does not exist", serve: protoOf(basics().varint(samples<<3 | 7))},
	{name: "proto-types", format: proto, about: "numbers in place of messages", serve: protoOf(basics().number(samples, 5))},
	{name: "proto-heap", format: proto, about: "a heap profile", serve: protoOf(fields().
		part(sampleTypes, fields().number(1, 1)).text(stringTable, "").text(stringTable, "inuse_space"))},
	{name: "proto-text", format: proto, about: "a text profile", serve: onProfile(func(x *exchange) { x.answer("200 OK", x.profile(0)) })},
	{name: "proto-empty", format: proto, about: "an empty body", serve: always("")},
	{name: "proto-cut", format: proto, about: "gzip that ends early", serve: onProfile(func(x *exchange) {
		body := zipped(x.protoProfile().bytes())
		x.answer("200 OK", body[:len(body)/2])
	})},
}

var identityKinds = []kind{
	{name: "identity-starts", format: proto, about: "another process start at each scrape", serve: identity(func(n int) (uint64, string) {
		return processStart + uint64(n)<<12, processBuild
	})},
	{name: "identity-builds", format: proto, about: "another build at each scrape", serve: identity(func(n int) (uint64, string) {
		return processStart + uint64(n)<<12, fmt.Sprintf("build%d", n)
	})},
	{name: "identity-two", format: proto, about: "two processes in turn, as behind a load balancer", serve: identity(func(n int) (uint64, string) {
		return processStart + uint64(n%2)<<12, processBuild
	})},
	{name: "identity-none", format: proto, about: "no process at all", serve: identity(func(int) (uint64, string) { return 0, "" })},
}

// basics is a profile without samples: its type and the first strings.
func basics() *message { return basicsOf(processBuild) }

func basicsOf(build string) *message {
	m := fields().part(sampleTypes, fields().number(1, 1).number(2, 2))
	for _, value := range []string{"", "goroutine", "count", "[vdso]", build, "/src/shop/shop.go"} {
		m.text(stringTable, value)
	}
	return m
}

func sample(count, location uint64) *message { return fields().number(1, location).number(2, count) }

func location(id uint64) *message {
	return fields().number(1, id).number(3, visible+id<<8).part(4, fields().number(1, id).number(2, 10))
}

// threads is a profile with the mappings of a process, as threadcreate has them.
func threads(start uint64, build string) *message {
	m := basicsOf(build).part(mappings, fields().number(1, 1).number(2, 0x400000).number(6, 4))
	if start != 0 {
		m.part(mappings, fields().number(1, 2).number(2, start).number(5, 3))
	}
	return m
}

// protoProfile returns the profile of the service as protobuf.
func (x *exchange) protoProfile() *message {
	return stacksIn(threads(processStart, processBuild), x.number)
}

func stacksIn(m *message, n int) *message {
	for i, count := range counts(n) {
		id := uint64(i + 1)
		m.part(samples, sample(uint64(count), id)).part(locations, location(id))
		m.part(functions, fields().number(1, id).number(2, 5+id).number(4, 5)).text(stringTable, function(i))
	}
	return m
}

func identity(of func(n int) (uint64, string)) func(*exchange) {
	return onProfile(func(x *exchange) {
		start, build := of(x.number)
		x.answer("200 OK", zipped(stacksIn(threads(start, build), x.number).bytes()))
	})
}

func protoOf(m *message) func(*exchange) { return always(zipped(m.bytes())) }

// zippedStream answers each scrape with gzip that is compressed while it is sent.
func zippedStream(fill func(io.Writer)) func(*exchange) {
	return onProfile(func(x *exchange) {
		x.stream(func(w io.Writer) {
			zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			fill(zip)
			zip.Close()
		})
	})
}

// lengthOf writes the tag and the length of a field whose value follows.
func lengthOf(w io.Writer, field, size int) {
	w.Write(fields().varint(uint64(field)<<3 | 2).varint(uint64(size)).bytes())
}
