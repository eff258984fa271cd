// Package cage has a dot in its path, but not in the last element: symbol names leave it, shapes/zoo.v2/cage.Block.
package cage

// Block never returns.
func Block() { select {} }
