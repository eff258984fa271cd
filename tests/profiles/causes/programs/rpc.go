package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"strings"
	"sync"
	"syscall"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gorilla/websocket"
	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func dial(address string) *grpc.ClientConn {
	return must(grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials())))
}

func init() {
	shared := sync.OnceValue(func() *grpc.ClientConn { return dial(server("grpc")) })
	leaks["grpc-client-connection"] = func() {
		conn := dial(server("grpc"))
		must(healthpb.NewHealthClient(conn).Check(background, &healthpb.HealthCheckRequest{}))
		hold(conn)
	}
	leaks["grpc-client-connection.no-server"] = func() {
		conn := dial("127.0.0.1:1")
		conn.Connect()
		hold(conn)
	}
	leaks["grpc-stream-not-finished"] = func() {
		ctx, cancel := context.WithCancel(background)
		stream := must(healthpb.NewHealthClient(shared()).Watch(ctx, &healthpb.HealthCheckRequest{}))
		must(stream.Recv())
		hold(stream, cancel)
	}
	leaks["grpc-no-deadline"] = func() { go ask(shared()) }
	leaks["grpc-stream-receive"] = func() { go watchHealth(shared()) }
	leaks["grpc-peer-does-not-read"] = func() { go send(shared()) }
	leaks["grpc-server-connections"] = func() { child("grpc clients", "-clients", ownGRPC(), "-kind", "grpc") }
	leaks["grpc-server-receive"] = func() { child("grpc clients", "-clients", ownGRPC(), "-kind", "grpc stream") }
	leaving["grpc"] = func(address string) {
		conn := dial(address)
		must(healthpb.NewHealthClient(conn).Check(background, &healthpb.HealthCheckRequest{}))
		hold(conn)
	}
	leaving["grpc stream"] = func(address string) {
		hold(must(dial(address).NewStream(background, &grpc.StreamDesc{ClientStreams: true}, "/a/Upload")))
	}

	leaks["net-rpc-client-not-closed"] = func() { hold(must(rpc.Dial("tcp", server("rpc")))) }
	client := sync.OnceValue(func() *rpc.Client { return must(rpc.Dial("tcp", server("rpc"))) })
	leaks["net-rpc-no-timeout"] = func() { go sleepRemotely(client()) }

	leaks["connection-read-no-deadline"] = func() { go readGreeting(server("silent")) }
	leaks["connection-write-no-deadline"] = func() { go push(server("silent")) }
	leaks["tls-handshake-no-deadline"] = func() { go handshake(server("silent")) }
	leaks["dial-no-timeout"] = func() { go connect(fullListener()) }
	leaks["listener-not-closed"] = func() { go acceptAll(listen()) }
	leaks["ssh-handshake-no-deadline"] = func() { go login(server("silent")) }
	leaks["ssh-connection-not-closed"] = func() { hold(login(server("ssh"))) }
	host := sync.OnceValue(func() *ssh.Client { return login(server("ssh")) })
	leaks["ssh-request-no-timeout"] = func() { go keepAlive(host()) }
	leaks["websocket-read-no-deadline"] = func() { go readPump(server("http")) }
	leaks["websocket-read-no-deadline.coder"] = func() { go readCoder(server("http")) }
}

var ownGRPC = sync.OnceValue(func() string {
	server := grpc.NewServer(grpc.UnknownServiceHandler(receive))
	healthpb.RegisterHealthServer(server, healthServer{})
	listener := listen()
	go server.Serve(listener)
	return listener.Addr().String()
})

type healthServer struct {
	healthpb.UnimplementedHealthServer
}

func (healthServer) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{}, nil
}

func receive(_ any, stream grpc.ServerStream) error {
	for {
		if err := stream.RecvMsg(&healthpb.HealthCheckRequest{}); err != nil {
			return err
		}
	}
}

func ask(conn *grpc.ClientConn) {
	conn.Invoke(background, "/a/Hang", &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{})
}

func watchHealth(conn *grpc.ClientConn) {
	stream := must(healthpb.NewHealthClient(conn).Watch(background, &healthpb.HealthCheckRequest{}))
	for {
		must(stream.Recv())
	}
}

func send(conn *grpc.ClientConn) {
	stream := must(conn.NewStream(background, &grpc.StreamDesc{ClientStreams: true}, "/a/Upload"))
	for {
		check(stream.SendMsg(&healthpb.HealthCheckRequest{Service: strings.Repeat("a", 30000)}))
	}
}

func sleepRemotely(client *rpc.Client) { client.Call("Sleeper.Sleep", 1, new(int)) }

func readGreeting(address string) {
	conn := must(net.Dial("tcp", address))
	defer conn.Close()
	must(io.ReadFull(conn, make([]byte, 10)))
}

func connect(address string) {
	conn := must(net.Dial("tcp", address))
	conn.Close()
}

// fullListener accepts nothing: its queue is full, so the kernel drops further requests for connections.
var fullListener = sync.OnceValue(func() string {
	fd := must(syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0))
	check(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(syscall.Listen(fd, 0))
	port := must(syscall.Getsockname(fd)).(*syscall.SockaddrInet4).Port
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		hold(conn)
	}
})

func push(address string) {
	conn := must(net.Dial("tcp", address))
	defer conn.Close()
	for block := make([]byte, 1<<20); ; {
		must(conn.Write(block))
	}
}

func handshake(address string) {
	conn := tls.Client(must(net.Dial("tcp", address)), noVerify())
	defer conn.Close()
	check(conn.Handshake())
}

func acceptAll(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		conn.Close()
	}
}

func login(address string) *ssh.Client {
	return must(ssh.Dial("tcp", address, &ssh.ClientConfig{
		User: "a", HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second,
	}))
}

func keepAlive(client *ssh.Client) { client.SendRequest("keepalive@openssh.com", true, nil) }

func hostKey() ssh.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	check(err)
	return must(ssh.NewSignerFromKey(key))
}

func readPump(url string) {
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(url, "http", "ws", 1)+"/ws", nil)
	check(err)
	defer conn.Close()
	for {
		_, _, err := conn.ReadMessage()
		check(err)
	}
}

func readCoder(url string) {
	conn, _, err := coder.Dial(background, url+"/ws", nil)
	check(err)
	defer conn.CloseNow()
	for {
		_, _, err := conn.Read(background)
		check(err)
	}
}
