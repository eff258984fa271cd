// Command w1gateway leaks like a TCP gateway did in production: one goroutine per connection reads packets, and a
// mistake in the framing (the error of IsWhole is ignored, and a packet without content `continue`d) keeps it alive
// for as long as the peer sends nothing else.
//
// The profile then has stacks of connect-tcp.tcpStartSession that grow together, next to the sessions of healthy
// clients in the same stacks: each stuck session is now in conn.Read (IO wait), now waiting for its turn.
//
// In production a stuck session spun, and so was running or runnable when it was not in Read. Some hundred that spin
// would take the whole machine that tests run on. So here the peers send their empty packets slowly (-every), and a
// session sleeps (-pause) where it would wait for a processor that all the others want too: the share of sessions
// outside Read is as after a real one's runaway, they change places as fast as the scrapes come, and the processor
// stays free. "running" in the report is "sleep" in time.Sleep here.
package main

import (
	"context"
	"flag"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"example.com/leaks/internal/serve"
	"example.com/leaks/internal/traffic"
	connecttcp "example.com/leaks/w1gateway/connect-tcp"
)

// day is that of the sessions: about 288 blocks, as in production. What swings faster, in the very stack that leaks, is
// another problem than the one of this gateway.
const day = 10 * time.Minute

func main() {
	options := serve.Flags()
	every := flag.Duration("every", 200*time.Millisecond, "mean time between the empty packets of a broken peer")
	pause := flag.Duration("pause", 100*time.Millisecond, "mean time that a stuck session is outside Read after each")
	clients := flag.Float64("clients", 100, "healthy connections per second")
	serve.Main(func(ctx context.Context, url string) {
		options.Sockets(2)
		listener := serve.Listen()
		address := listener.Addr().String()
		go connecttcp.Serve(listener, *pause)
		go traffic.Run(ctx, url, 80*time.Second, 40)
		go traffic.Day(ctx, day, *clients, func() { visit(address) })
		broken := &peers{}
		go broken.send(*every)
		options.Each(ctx, func() { broken.connect(address) })
	})
}

// visit is a healthy client: a few packets with pauses, and the end.
func visit(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	for range 1 + rand.IntN(4) {
		conn.Write([]byte("\x05hello"))
		conn.Read(make([]byte, 6))
		time.Sleep(rand.N(200 * time.Millisecond))
	}
}

// peers are broken ones. One goroutine speaks for all, so that only the gateway's side leaks.
type peers struct {
	lock  sync.Mutex
	conns []net.Conn
}

func (p *peers) connect(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	p.conns = append(p.conns, conn)
}

// send sends packets without content over each connection, at random moments.
func (p *peers) send(every time.Duration) {
	const tick = 10 * time.Millisecond
	for range time.Tick(tick) {
		p.lock.Lock()
		for _, conn := range p.conns {
			if rand.N(every) < tick {
				conn.Write([]byte{0})
			}
		}
		p.lock.Unlock()
	}
}
