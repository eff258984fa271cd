package main

import (
	"fmt"
	"strings"
)

var statusKinds = []kind{
	{name: "status-204", format: text, about: "204 No Content", serve: status("204 No Content")},
	{name: "status-206", format: text, about: "206 Partial Content with a valid profile", serve: status("206 Partial Content")},
	{name: "status-304", format: text, about: "304 Not Modified", serve: status("304 Not Modified")},
	{name: "status-401", format: text, about: "401 Unauthorized", serve: status("401 Unauthorized")},
	{name: "status-403", format: text, about: "403 Forbidden", serve: status("403 Forbidden")},
	{name: "status-404", format: text, about: "404 Not Found", serve: status("404 Not Found")},
	{name: "status-429", format: text, about: "429 Too Many Requests", serve: status("429 Too Many Requests")},
	{name: "status-500", format: text, about: "500 with an HTML page", serve: onProfile(func(x *exchange) {
		x.answer("500 Internal Server Error", "<!doctype html><title>error</title>\n")
	})},
	{name: "status-503", format: text, about: "503 Service Unavailable", serve: status("503 Service Unavailable")},
	{name: "status-999", format: text, about: "a status that does not exist", serve: status("999 Unknown")},
	{name: "status-letters", format: text, about: "a status that is not a number", serve: status("OK 200")},
	{name: "status-500-endless", format: text, about: "500 with a line for ever", serve: onProfile(func(x *exchange) {
		x.head("500 Internal Server Error", "Content-Length: 1000000000000")
		repeat(x, "error ", 1<<39)
	})},
	{name: "status-escapes", format: text, about: "500 with terminal escapes", serve: onProfile(func(x *exchange) {
		x.answer("500 \x1b[31mred", "\x1b]0;title\x07\u202ereversed\n")
	})},
}

var redirectKinds = []kind{
	{name: "redirect-within", format: text, about: "a redirect to a valid path of the same address", serve: redirect(func(x *exchange) string {
		return "/healthy/debug/pprof/goroutine?debug=1"
	})},
	{name: "redirect-loop", format: text, about: "a redirect to itself", serve: redirect(func(x *exchange) string {
		return x.request.URL.String()
	})},
	{name: "redirect-grows", format: text, about: "redirects to longer and longer paths", serve: redirect(func(x *exchange) string {
		return x.request.URL.String() + strings.Repeat("&a=b", 1000)
	})},
	{name: "redirect-host", format: text, about: "a redirect to another host", serve: redirect(func(x *exchange) string {
		return "http://" + strings.Replace(x.server.sink, "127.0.0.1", "127.0.0.2", 1) + "/debug/pprof/goroutine?debug=1"
	})},
	{name: "redirect-port", format: text, about: "a redirect to another port", serve: redirect(func(x *exchange) string {
		return "http://" + x.server.sink + "/debug/pprof/goroutine?debug=1"
	})},
	{name: "redirect-slashes", format: text, about: "a redirect to another host without a scheme", serve: redirect(func(x *exchange) string {
		return "//" + x.server.sink + "/debug/pprof/goroutine?debug=1"
	})},
	{name: "redirect-user", format: text, about: "a redirect to another port with the own address as user", serve: redirect(func(x *exchange) string {
		return "http://" + x.server.address + "@" + x.server.sink + "/debug/pprof/goroutine?debug=1"
	})},
	{name: "redirect-https", format: text, about: "a redirect to https", serve: redirect(func(x *exchange) string {
		return "https://" + x.server.sink + "/"
	})},
	{name: "redirect-file", format: text, about: "a redirect to file:///etc/passwd", serve: redirect(func(*exchange) string { return "file:///etc/passwd" })},
	{name: "redirect-gopher", format: text, about: "a redirect to another scheme", serve: redirect(func(x *exchange) string {
		return "gopher://" + x.server.sink + "/"
	})},
	{name: "redirect-invalid", format: text, about: "a Location that is not a URL", serve: redirect(func(*exchange) string { return "http://[::1/%zz" })},
	{name: "redirect-empty", format: text, about: "an empty Location", serve: redirect(func(*exchange) string { return "" })},
	{name: "redirect-without", format: text, about: "302 without a Location", serve: status("302 Found")},
}

// status answers each scrape with a status and a valid profile.
func status(line string) func(*exchange) {
	return onProfile(func(x *exchange) {
		if strings.HasPrefix(line, "204") || strings.HasPrefix(line, "304") {
			x.head(line)
		} else {
			x.answer(line, x.profile(0))
		}
	})
}

func redirect(location func(*exchange) string) func(*exchange) {
	return onProfile(func(x *exchange) {
		x.answer("302 Found", "moved\n", fmt.Sprint("Location: ", location(x)))
	})
}
