package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"iter"
	"math/big"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

func init() {
	leaks["channel-send-after-return"] = func() { firstOf(time.Millisecond) }
	events := make(chan int)
	leaks["channel-send-without-receiver"] = func() { go publish(events) }
	leaks["channel-not-closed"] = func() { go work(make(chan int)) }
	leaks["select-never-ends"] = func() { newPoller() }
	leaks["select-without-cases"] = func() { go park() }
	leaks["sleep-loop-never-ends"] = func() { go poll() }

	var account account
	account.mu.Lock()
	leaks["mutex-not-unlocked"] = func() { go account.add(1) }
	var gauge gauge
	gauge.mu.Lock()
	leaks["rwmutex-not-unlocked"] = func() { go gauge.value() }
	var loaded sync.Once
	leaks["once-does-not-return"] = func() { go configure(&loaded) }
	queue := newQueue()
	leaks["cond-not-signalled"] = func() { go queue.take() }
	leaks["waitgroup-without-done"] = func() { go runAll(2) }
	leaks["errgroup-task-does-not-end"] = func() { go collect(background) }
	var group singleflight.Group
	leaks["singleflight-call-does-not-return"] = func() { go load(&group, "key") }
	tokens := semaphore.NewWeighted(1)
	check(tokens.Acquire(background, 1))
	leaks["semaphore-not-released"] = func() { go acquire(tokens) }

	leaks["io-pipe-without-reader"] = func() { export(errors.New("no space")) }
	leaks["io-pipe-without-writer"] = func() { importFrom() }
	leaks["exec-not-waited"] = func() { startAndForget() }
	leaks["exec-not-waited.context"] = func() { startWithContext() }
	leaks["exec-output-held-open"] = func() { go runScript("sleep 1000 &") }
	leaks["exec-command-runs-on"] = func() { go runQuietly("exec sleep 1000") }
	leaks["context-never-cancelled"] = func() { derive(custom{background, make(chan struct{})}) }
	leaks["signal-notify-context-not-stopped"] = func() {
		ctx, stop := signal.NotifyContext(background, os.Interrupt)
		hold(ctx, stop)
	}
	leaks["iter-pull-not-stopped"] = func() {
		next, stop := iter.Pull(numbers)
		next()
		hold(next, stop)
	}
	leaks["finalizer-blocked"] = func() {
		runtime.SetFinalizer(&account2{}, func(*account2) { account.add(1) })
		runtime.GC()
	}
}

type account2 struct{ values [100]int }

// firstOf returns before its closure has sent.
func firstOf(timeout time.Duration) int {
	result := make(chan int)
	go func() {
		time.Sleep(5 * timeout)
		result <- 1
	}()
	select {
	case value := <-result:
		return value
	case <-time.After(timeout):
		return 0
	}
}

func publish(events chan<- int) { events <- 1 }

func work(jobs <-chan int) {
	for range jobs {
	}
}

type poller struct {
	done chan struct{}
	tick *time.Ticker
}

func newPoller() *poller {
	p := &poller{done: make(chan struct{}), tick: time.NewTicker(time.Hour)}
	go p.loop()
	return p
}

func (p *poller) loop() {
	for {
		select {
		case <-p.tick.C:
		case <-p.done:
			return
		}
	}
}

func park() { select {} }

func poll() {
	for {
		time.Sleep(time.Hour)
	}
}

type account struct {
	mu  sync.Mutex
	sum int
}

func (a *account) add(n int) {
	a.mu.Lock()
	a.sum += n
	a.mu.Unlock()
}

type gauge struct {
	mu  sync.RWMutex
	now int
}

func (g *gauge) value() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.now
}

func configure(loaded *sync.Once) { loaded.Do(func() { fetch(background) }) }

type queue struct {
	mu    sync.Mutex
	some  *sync.Cond
	items []int
}

func newQueue() *queue {
	q := &queue{}
	q.some = sync.NewCond(&q.mu)
	return q
}

func (q *queue) take() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 {
		q.some.Wait()
	}
	return q.items[0]
}

func runAll(n int) {
	var group sync.WaitGroup
	group.Add(n + 1)
	for range n {
		go group.Done()
	}
	group.Wait()
}

func collect(ctx context.Context) error {
	values := make(chan int)
	group, _ := errgroup.WithContext(ctx)
	group.Go(func() error { return consume(values) })
	return group.Wait()
}

func consume(values <-chan int) error {
	<-values
	return nil
}

func load(group *singleflight.Group, key string) {
	group.Do(key, func() (any, error) { return nil, fetch(background) })
}

func fetch(ctx context.Context) error {
	<-ctx.Done()
	select {}
}

func acquire(tokens *semaphore.Weighted) {
	check(tokens.Acquire(background, 1))
	tokens.Release(1)
}

// export returns at an error without closing the reader.
func export(err error) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeRows(w)) }()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

func writeRows(w io.Writer) error {
	_, err := io.WriteString(w, "row\n")
	return err
}

func importFrom() {
	r, w := io.Pipe()
	go readRows(r)
	hold(w)
}

func readRows(r io.Reader) { io.Copy(io.Discard, r) }

func startAndForget() {
	cmd := exec.Command("sleep", "1000")
	cmd.Stdout = &bytes.Buffer{}
	check(cmd.Start())
	hold(cmd)
}

func startWithContext() {
	ctx, cancel := context.WithCancel(background)
	cmd := exec.CommandContext(ctx, "true")
	check(cmd.Start())
	must(cmd.Process.Wait())
	hold(cancel)
}

func runScript(script string) { must(exec.Command("sh", "-c", script).Output()) }

func runQuietly(script string) { check(exec.Command("sh", "-c", script).Run()) }

type custom struct {
	context.Context
	done chan struct{}
}

func (c custom) Done() <-chan struct{} { return c.done }

func derive(parent context.Context) {
	ctx, cancel := context.WithCancel(parent)
	hold(ctx, cancel)
}

func numbers(yield func(int) bool) {
	for i := 0; yield(i); i++ {
	}
}

var certificateFiles = sync.OnceValues(func() (string, string) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, public, private))
	certificate, key := filepath.Join(folder(), "cert.pem"), filepath.Join(folder(), "key.pem")
	check(os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	pkcs8 := must(x509.MarshalPKCS8PrivateKey(private))
	check(os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return certificate, key
})
