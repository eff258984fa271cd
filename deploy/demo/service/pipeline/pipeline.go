// Package pipeline filters log lines, and leaks when it is told to.
//
// FilterService hands its result over an unbuffered channel. Whoever asked waits for it no longer than a
// deadline: when the answer comes later than that, nobody is left to receive it and the sender waits for ever.
// In a goroutine profile that is example.com/shop/pipeline.(*Pipeline).FilterService in chan send, started by
// example.com/shop/pipeline.(*Pipeline).Filter.
package pipeline

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"
)

// ErrLate says that the answer did not come before the deadline.
var ErrLate = errors.New("pipeline: no answer in time")

// Pipeline filters lines.
type Pipeline struct {
	leaked atomic.Int64
}

// Leaked says how many goroutines were left behind.
func (p *Pipeline) Leaked() int64 { return p.leaked.Load() }

// Filter returns line without secrets, or ErrLate after the deadline. If the work takes longer than the
// deadline, the goroutine that did it stays for ever.
func (p *Pipeline) Filter(line string, work, deadline time.Duration) (string, error) {
	answer := make(chan string)
	go p.FilterService(answer, line, work)
	select {
	case filtered := <-answer:
		return filtered, nil
	case <-time.After(deadline):
		p.leaked.Add(1)
		return "", ErrLate
	}
}

// FilterService filters one line and hands it to whoever waits for it.
func (p *Pipeline) FilterService(answer chan<- string, line string, work time.Duration) {
	time.Sleep(work)
	filtered := strings.ReplaceAll(line, "secret", "******")
	answer <- filtered // the leak: nobody receives after the deadline
}
