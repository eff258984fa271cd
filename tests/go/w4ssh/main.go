// Command w4ssh leaks like a runner of SSH commands did in production: ssh.Dial has a timeout for the connection but
// no deadline for the handshake, and some hosts accept the connection and never say a word.
//
// The profile then has main.(*Runner).Run in ssh.Dial, and below that io.ReadFull <- ssh.readVersion, in IO wait. The
// commands that succeed pass through the same stack, each for a moment.
package main

import (
	"context"
	"crypto/ed25519"
	"io"
	"log"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"example.com/leaks/internal/serve"
	"example.com/leaks/internal/traffic"
)

func main() {
	options := serve.Flags()
	serve.Main(func(ctx context.Context, url string) {
		options.Sockets(2)
		runner := &Runner{Timeout: time.Second}
		healthy, silent := serveSSH(), serve.Silent()
		go traffic.Run(ctx, url, 80*time.Second, 40)
		go traffic.Day(ctx, 80*time.Second, 5, func() { runner.Run(healthy, "uptime") })
		options.Each(ctx, func() { go runner.Run(silent, "uptime") })
	})
}

// Runner runs commands on other hosts.
type Runner struct{ Timeout time.Duration }

// Run returns what command prints on the host at address.
func (r *Runner) Run(address, command string) ([]byte, error) {
	config := &ssh.ClientConfig{
		User:            "runner",
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		Timeout:         r.Timeout, // the mistake: it ends with the TCP connection, before the handshake
	}
	client, err := ssh.Dial("tcp", address, config)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	defer session.Close()
	return session.Output(command)
}

// serveSSH is the address of a host that answers.
func serveSSH() string {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		log.Fatal(err)
	}
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	listener := serve.Listen()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(conn, config)
		}
	}()
	return listener.Addr().String()
}

// answer runs the commands of one client: each prints its own name after a moment, and succeeds.
func answer(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	defer server.Close()
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		session, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for request := range requests {
			request.Reply(request.Type == "exec", nil)
			if request.Type == "exec" {
				time.Sleep(100 * time.Millisecond)
				io.WriteString(session, string(request.Payload[4:]))
				session.SendRequest("exit-status", false, make([]byte, 4))
				session.Close()
			}
		}
	}
}
