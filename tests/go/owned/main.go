// Command owned leaks in a package below its own, whose name has a dot in its path: whoever looks for the owner of the
// function must find the directory pool.v3.
package main

import (
	"context"

	"example.com/leaks/internal/serve"
	pool "example.com/leaks/owned/pool.v3"
)

func main() {
	options := serve.Flags()
	serve.Main(func(ctx context.Context, _ string) {
		var connections pool.Pool[int]
		options.Each(ctx, func() { go connections.Get() })
	})
}
