package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"time"
)

var h1, h2 = &http.Client{}, &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: noVerify()}}

func init() {
	leaks["http-body-not-closed"] = func() { hold(must(h1.Get(server("http") + "/ok"))) }
	leaks["http-transport-per-request"] = func() { fetchWith(&http.Client{Transport: &http.Transport{}}, "http") }
	leaks["http-no-timeout"] = func() { go charge(h1, server("http")+"/hang") }
	leaks["http-no-timeout.http2"] = func() { go charge(h2, server("h2")+"/hang") }
	limited := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 2}}
	leaks["http-waits-for-connection"] = func() { go charge(limited, server("http")+"/hang") }
	leaks["http-body-read-no-timeout"] = func() { go follow(h1, server("http")+"/start") }
	leaks["http-body-read-no-timeout.http2"] = func() { go follow(h2, server("h2")+"/start") }
	leaks["http2-body-not-closed"] = func() { hold(must(h2.Get(server("h2") + "/start"))) }
	leaks["http2-connection-idle"] = func() {
		fetchWith(&http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: noVerify()}}, "h2")
	}
	initServers()
}

func fetchWith(client *http.Client, kind string) {
	response := must(client.Get(server(kind) + "/ok"))
	defer response.Body.Close()
	must(io.ReadAll(response.Body))
	hold(client)
}

func charge(client *http.Client, url string) {
	response := must(client.Post(url, "text/plain", nil))
	response.Body.Close()
}

func follow(client *http.Client, url string) {
	response := must(client.Get(url))
	defer response.Body.Close()
	must(io.ReadAll(response.Body))
}

// The leaks below are in the handlers of a server; its clients run in another process.
func initServers() {
	events := make(chan string)
	handlers := http.NewServeMux()
	handlers.HandleFunc("/events", func(w http.ResponseWriter, _ *http.Request) { stream(w, events) })
	handlers.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) { download(w) })
	handlers.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) { upload(r) })
	handlers.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	own := func(path string, clients string) func() {
		return func() {
			startedMu.Lock()
			address := started["own "+clients]
			if address == "" {
				service := httptest.NewUnstartedServer(handlers)
				service.EnableHTTP2 = true
				if clients == "h2" {
					service.StartTLS()
				} else {
					service.Start()
				}
				address = service.URL
				started["own "+clients] = address
			}
			startedMu.Unlock()
			child("clients "+path, "-clients", address+path, "-kind", clients)
		}
	}
	leaks["http-handler-ignores-client"] = own("/events", "open")
	leaks["http-client-does-not-read"] = own("/big", "raw")
	leaks["http2-client-does-not-read"] = own("/big", "h2")
	leaks["http-request-body-no-timeout"] = own("/upload", "half")
	leaks["http-server-idle-connections"] = own("/ok", "idle")
	leaving["open"] = func(url string) { hold(must(h1.Get(url))) }
	leaving["h2"] = func(url string) { hold(must(h2.Get(url))) }
	leaving["idle"] = func(url string) {
		client := &http.Client{Transport: &http.Transport{}}
		response := must(client.Get(url))
		must(io.ReadAll(response.Body))
		response.Body.Close()
		hold(client)
	}
	leaving["raw"] = func(url string) { raw(url, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n") }
	leaving["half"] = func(url string) { raw(url, "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf") }
}

func raw(url, request string) {
	address := must(http.NewRequest(http.MethodGet, url, nil)).URL.Host
	conn := must(net.Dial("tcp", address))
	must(io.WriteString(conn, request))
	time.Sleep(20 * time.Millisecond)
	hold(conn)
}

func stream(w http.ResponseWriter, events <-chan string) {
	w.(http.Flusher).Flush()
	for event := range events {
		io.WriteString(w, event)
	}
}

func download(w http.ResponseWriter) { io.Copy(w, bytes.NewReader(make([]byte, 50<<20))) }

func upload(r *http.Request) { io.ReadAll(r.Body) }
