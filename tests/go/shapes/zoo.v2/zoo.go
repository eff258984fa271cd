// Package zoo has a dot in the last element of its path, which symbol names escape: shapes/zoo%2ev2.Block.
package zoo

// Block never returns.
func Block() { select {} }
