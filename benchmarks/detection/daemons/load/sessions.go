package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// kinds has the body of each kind of session: it runs until its context ends, and then closes all that it opened.
var kinds = map[string]func(context.Context, *Plan, int64) error{
	"poll":   poll,
	"stream": stream,
	"hold":   hold,
	"upload": upload,
	"alert":  alert,
	"nats":   subscribe,
	"target": discover,
}

// poll sends a request every so often, all on one connection.
func poll(ctx context.Context, plan *Plan, number int64) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for {
		response, err := send(ctx, transport, plan, number)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
		if !pause(ctx, plan.Every) {
			return nil
		}
	}
}

// stream reads one endless response.
func stream(ctx context.Context, plan *Plan, number int64) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := send(ctx, transport, plan, number)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// hold does not read the response that it requested.
func hold(ctx context.Context, plan *Plan, number int64) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := send(ctx, transport, plan, number)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	<-ctx.Done()
	return nil
}

// send sends the request of a plan: a POST if the plan has a body, with # for the number of the session.
func send(ctx context.Context, transport *http.Transport, plan *Plan, number int64) (*http.Response, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if plan.Body != "" {
		method, body = http.MethodPost, strings.NewReader(strings.ReplaceAll(plan.Body, "#", fmt.Sprint(number)))
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.ReplaceAll(plan.URL, "#", fmt.Sprint(number)), body)
	if err != nil {
		return nil, err
	}
	for key, value := range plan.Header {
		request.Header.Set(key, value)
	}
	response, err := transport.RoundTrip(request)
	if err == nil && response.StatusCode >= 300 {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", plan.URL, response.Status)
	}
	return response, err
}

// upload sends a body piece by piece. If the plan has no body, it first opens an upload as registries of images do.
func upload(ctx context.Context, plan *Plan, number int64) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	method, place, piece := http.MethodPost, plan.URL, plan.Body
	if piece == "" {
		response, err := transport.RoundTrip(must(http.NewRequestWithContext(ctx, method, place, nil)))
		if err != nil {
			return err
		}
		response.Body.Close()
		method, place, piece = http.MethodPatch, response.Header.Get("Location"), "0123456789abcdef"
	}
	reader, writer := io.Pipe()
	go func() {
		for {
			fmt.Fprint(writer, strings.ReplaceAll(piece, "#", fmt.Sprint(number)))
			if !pause(ctx, plan.Every) {
				writer.Close()
				return
			}
		}
	}()
	// The request outlives ctx: the server sees the end of the body, not a lost connection.
	request := must(http.NewRequest(method, place, reader))
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	location := response.Header.Get("Location")
	response.Body.Close()
	if method == http.MethodPatch && location != "" {
		if response, err = transport.RoundTrip(must(http.NewRequest(http.MethodDelete, location, nil))); err == nil {
			response.Body.Close()
		}
	}
	return err
}

// alert lets one alert fire, and resolves it at the end.
func alert(ctx context.Context, plan *Plan, number int64) error {
	send := func(ends time.Time) error {
		body := fmt.Sprintf(`[{"labels":{"alertname":"a","id":"%d"},"endsAt":%q}]`, number, ends.Format(time.RFC3339))
		response, err := http.Post(plan.URL, "application/json", strings.NewReader(body))
		if err != nil {
			return err
		}
		response.Body.Close()
		return nil
	}
	for {
		if err := send(time.Now().Add(time.Hour)); err != nil {
			return err
		}
		if !pause(ctx, plan.Every) {
			return send(time.Now())
		}
	}
}

// subscribe is a NATS client with one subscription, that answers pings and publishes every so often, unless Every is 0.
func subscribe(ctx context.Context, plan *Plan, number int64) error {
	place := must(url.Parse(plan.URL))
	conn, err := net.Dial("tcp", place.Host)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"name\":\"load\"}\r\nSUB load.%d 1\r\n", number)
	if plan.Every > 0 {
		go func() {
			for pause(ctx, plan.Every) {
				fmt.Fprintf(conn, "PUB load.%d 2\r\nhi\r\n", number)
			}
		}()
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if lines.Text() == "PING" {
			fmt.Fprint(conn, "PONG\r\n")
		}
	}
	return lines.Err()
}

// discover is one scrape target, for as long as the session lives.
func discover(ctx context.Context, _ *Plan, number int64) error {
	discovered.add(number)
	defer discovered.remove(number)
	<-ctx.Done()
	return nil
}

// must returns a value that cannot be missing: addresses are those of the plan and of the daemons' own answers.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
