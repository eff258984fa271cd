// Package pipeline removes secrets from log lines.
package pipeline

import (
	"strings"
	"time"
)

// FilterService processes a line for some time and sends the result on an unbuffered channel. It blocks until the
// result is received, forever if the caller has left.
func FilterService(answer chan<- string, line string, work time.Duration) {
	time.Sleep(work)
	answer <- strings.ReplaceAll(line, "secret", "******") // the leak's line
}
