// Command shapes parks a few goroutines in each shape of stack that a goroutine profile can show, and adds none.
//
// Unless said otherwise a shape is a function of package main that started as a goroutine and is alone on its stack
// as far as the profile shows it; there are three goroutines of each. blocking.go has one for each way to block,
// names.go for each kind of name and depth, labels.go for labels. The wait reasons are the runtime's (debug=2).
package main

import (
	"context"
	"flag"

	"example.com/leaks/internal/serve"
	"example.com/leaks/shapes/zoo.v2"
	"example.com/leaks/shapes/zoo.v2/cage"
)

const each = 3

func main() {
	busy := flag.Bool("busy", false, "run yield and spin too, which never wait and use two cores")
	for _, shape := range shapes {
		for range each {
			go shape()
		}
	}
	serve.Main(func(context.Context, string) {
		if *busy {
			go yield()
			go spin()
		}
	})
}

var shapes = []func(){
	// blocking.go
	chanSend, nilChanSend, chanReceive, chanReceiveOK, nilChanReceive, rangeChan, selectSingle, selectMany, selectNone,
	mutexLock, rwMutexLock, rwMutexRLock, waitGroupWait, condWait, sleep, tcpRead, tcpWriteLock, pipeRead,
	tcpAccept, iterPull,
	// names.go
	Generic[int], Generic[string], (&Box[int]{}).Wait, keeper{}.Feed, (&keeper{}).Wash, feeder(keeper{}), outer, literal,
	größe, 待つ, rangeFunc, deferred, recursive, mutual, deep, zoo.Block, cage.Block,
	// labels.go
	labelled, oddlyLabelled, sameStack,
}
