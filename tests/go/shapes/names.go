package main

// Generic is shown as main.Generic[...], whatever T is.
func Generic[T any]() { <-make(chan T) }

// Box is generic.
type Box[T any] struct{}

// Wait is shown as main.(*Box[...]).Wait.
func (b *Box[T]) Wait() { <-make(chan T) }

// keeper has methods that are used as method values.
type keeper struct{}

// Feed is shown as main.keeper.Feed.
func (keeper) Feed() { select {} }

// Wash is shown as main.(*keeper).Wash.
func (*keeper) Wash() { select {} }

// feeder returns a method value of an interface.
func feeder(f interface{ Feed() }) func() { return f.Feed }

// outer is not shown: its closure's closure is, as main.outer.func1.1 or as the compiler's version names it.
func outer() {
	go func() {
		go func() { select {} }()
	}()
}

// literal is a function without a name: main.init.func1, or main.glob..func1.
var literal = func() { select {} }

// The goroutine that an init function starts is main.init.0.func1.
func init() {
	for range each {
		go func() { select {} }()
	}
}

func größe() { select {} }

func 待つ() { select {} }

// rangeFunc is shown with the body of its loop as a function, main.rangeFunc-range1.
func rangeFunc() {
	for range numbers {
		selectNone()
	}
}

// deferred waits in a deferred closure.
func deferred() {
	defer func() { selectNone() }()
}

// recursive is 40 frames of main.descend above main.recursive.
func recursive() { descend(40) }

// deep is 200 frames of main.descend, of which Go records 128 program counters: neither main.deep nor runtime.goexit.
func deep() { descend(200) }

func descend(frames int) {
	if frames == 1 {
		select {}
	}
	descend(frames - 1)
}

// mutual is main.ping and main.pong in turn, 20 of each.
func mutual() { ping(40) }

//go:noinline
func ping(frames int) {
	if frames == 1 {
		select {}
	}
	pong(frames - 1)
}

//go:noinline
func pong(frames int) {
	if frames == 1 {
		select {}
	}
	ping(frames - 1)
}
