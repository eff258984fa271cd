// Command leaks leaks goroutines in one of many ways, with real libraries, for the recordings in the folder above.
//
//	leaks -leak NAME [-times N]     leaks, then prints the address of its pprof handlers
//	leaks -serve NAME               runs a server that leaks need, in a process of its own
//	leaks -list                     prints the names of all leaks
//
// With -drop nothing keeps what leaks reachable: /debug/pprof/goroutineleak of Go 1.27 then reports what it can.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/exec"
	"sort"
	"strings"
	"sync"
)

// A leak is called many times, and leaves goroutines behind each time.
var leaks = map[string]func(){}

// Servers run until their standard input ends.
var servers = map[string]func() (address string){}

var (
	heldMu  sync.Mutex
	held    []any
	dropped bool
)

// hold keeps values reachable, so that no finalizer closes them.
func hold(values ...any) {
	if dropped {
		return
	}
	heldMu.Lock()
	defer heldMu.Unlock()
	held = append(held, values...)
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

var (
	startedMu sync.Mutex
	started   = map[string]string{} // key -> first line of the output
	inputs    []io.Closer           // the standard inputs of children, which run until theirs ends
)

// server returns the address of a server, which runs in another process. It is started once.
func server(name string) string {
	return child(name, "-serve", name)
}

// child runs this program with other arguments and returns the first line of its output.
func child(key string, args ...string) string {
	startedMu.Lock()
	defer startedMu.Unlock()
	if line, ok := started[key]; ok {
		return line
	}
	cmd := exec.Command(must(os.Executable()), args...)
	cmd.Stderr = os.Stderr
	inputs = append(inputs, must(cmd.StdinPipe()))
	output := must(cmd.StdoutPipe())
	check(cmd.Start())
	line := strings.TrimSpace(must(bufio.NewReader(output).ReadString('\n')))
	started[key] = line
	return line
}

func listen() net.Listener { return must(net.Listen("tcp", "127.0.0.1:0")) }

func main() {
	leak := flag.String("leak", "", "name of the leak")
	serve := flag.String("serve", "", "name of the server")
	clients := flag.String("clients", "", "address of a server whose clients leak")
	kind := flag.String("kind", "", "kind of these clients")
	times := flag.Int("times", 40, "number of calls")
	flag.BoolVar(&dropped, "drop", false, "do not keep what leaks reachable")
	list := flag.Bool("list", false, "print the names of all leaks")
	flag.Parse()
	switch {
	case *list:
		names := make([]string, 0, len(leaks))
		for name := range leaks {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Println(strings.Join(names, "\n"))
	case *serve != "":
		fmt.Println(servers[*serve]())
		io.Copy(io.Discard, os.Stdin) // the parent's end closes when it ends
	case *clients != "":
		for range *times {
			leaving[*kind](*clients)
		}
		fmt.Println("connected")
		io.Copy(io.Discard, os.Stdin)
	default:
		run, ok := leaks[*leak]
		if !ok {
			log.Fatalf("there is no leak %q", *leak)
		}
		for range *times {
			run()
		}
		listener := listen()
		fmt.Println(listener.Addr())
		log.Fatal(http.Serve(listener, nil))
	}
}
