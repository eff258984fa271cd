package main

import (
	"iter"
	"log"
	"math"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func chanSend() { make(chan int) <- 1 }

// nilChanSend waits in "chan send (nil chan)".
func nilChanSend() {
	var c chan int
	c <- 1
}

func chanReceive() { <-make(chan int) }

func chanReceiveOK() {
	_, ok := <-make(chan int)
	log.Fatal(ok)
}

// nilChanReceive waits in "chan receive (nil chan)".
func nilChanReceive() {
	var c chan int
	<-c
}

// rangeChan waits in "chan receive".
func rangeChan() {
	for range make(chan int) {
	}
}

// selectSingle waits in "chan receive": the compiler makes a select of one case a plain operation.
func selectSingle() {
	select {
	case <-make(chan int):
	}
}

func selectMany() {
	select {
	case <-make(chan int):
	case make(chan string) <- "":
	}
}

// selectNone waits in "select (no cases)".
func selectNone() { select {} }

func mutexLock() {
	var mu sync.Mutex
	mu.Lock()
	mu.Lock()
}

func rwMutexLock() {
	var mu sync.RWMutex
	mu.RLock()
	mu.Lock()
}

func rwMutexRLock() {
	var mu sync.RWMutex
	mu.Lock()
	mu.RLock()
}

func waitGroupWait() {
	var group sync.WaitGroup
	group.Add(1)
	group.Wait()
}

func condWait() {
	cond := sync.NewCond(&sync.Mutex{})
	cond.L.Lock()
	cond.Wait()
}

func sleep() { time.Sleep(math.MaxInt64) }

// tcpRead waits in "IO wait" below net.(*conn).Read, for a peer that accepts and never answers.
func tcpRead() {
	listener := listen()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	conn.Read(make([]byte, 1))
	runtime.KeepAlive(listener)
}

// tcpWriteLock is one goroutine in "IO wait", which writes to a peer that reads nothing, and the others in "semacquire",
// which wait for their turn.
func tcpWriteLock() { oneConn().Write(make([]byte, 64<<20)) }

var oneConn = sync.OnceValue(func() net.Conn {
	listener := listen()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	held = append(held, listener)
	return conn
})

var held []net.Listener

// pipeRead waits in "syscall", in a read that the runtime knows nothing of.
func pipeRead() {
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		log.Fatal(err)
	}
	syscall.Read(ends[0], make([]byte, 1))
}

// yield never waits: it is "runnable" most of the time.
func yield() {
	for {
		runtime.Gosched()
	}
}

// spin never waits: the runtime interrupts it.
func spin() {
	for {
	}
}

// tcpAccept waits in "IO wait" below net.(*TCPListener).Accept.
func tcpAccept() { listen().Accept() }

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// iterPull is two goroutines: one waits in selectNone, the other in "coroutine", where main.numbers was suspended
// after its first number, in a closure of iter.Pull[...].
func iterPull() {
	next, stop := iter.Pull(numbers)
	defer stop()
	next()
	selectNone()
}

func numbers(yield func(int) bool) {
	for i := 0; yield(i); i++ {
	}
}
