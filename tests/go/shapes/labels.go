package main

import (
	"context"
	"runtime/pprof"
)

func labelled() {
	pprof.Do(context.Background(), pprof.Labels("worker", "w1"), wait)
}

// oddlyLabelled has labels that no parser should trip over.
func oddlyLabelled() {
	odd := pprof.Labels(
		"quoted", `a "quoted" word`,
		`key "quoted"`, `c:\dir`,
		"brace", `}, {"b":"c"`,
		"newline", "one\ntwo\tthree",
		"group", "one\n\n1 @ 0x1",
		"invalid", "\xff\xfe\x00\x7f\u200b",
		"unicode", "größe-日本-😀",
		"empty", "",
	)
	pprof.Do(context.Background(), odd, wait)
}

// sameStack is one stack under three labels, which makes three groups of the profile.
func sameStack() {
	for _, worker := range []string{"a", "b", "c"} {
		go pprof.Do(context.Background(), pprof.Labels("worker", worker), wait)
	}
}

func wait(context.Context) { select {} }
