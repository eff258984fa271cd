// Package pool has connections of which none ever comes back.
package pool

// Pool hands out values.
type Pool[T any] struct{ free chan T }

// Get waits for a free value.
func (p *Pool[T]) Get() T {
	return <-p.free
}
