package main

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/go-redis/redis/v8"
	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"google.golang.org/grpc"
)

func init() {
	sql.Register("fake", fakeDriver{})
	initSQL()
	leaks["pgx-pool-not-closed"] = func() { hold(must(pgxpool.New(background, "postgres://a@127.0.0.1:1/a"))) }
	leaks["redis-client-not-closed"] = func() { hold(redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})) }
	pool := sync.OnceValue(func() *redis.Client {
		return redis.NewClient(&redis.Options{Addr: server("redis"), IdleCheckFrequency: -1})
	})
	leaks["redis-subscription-not-closed"] = func() {
		subscription := pool().Subscribe(background, "events")
		hold(subscription, subscription.Channel())
	}
	leaks["mongo-client-not-disconnected"] = func() {
		hold(must(mongo.Connect(options.Client().ApplyURI("mongodb://127.0.0.1:1"))))
	}
	leaks["nats-connection-not-closed"] = func() { hold(must(nats.Connect(server("nats")))) }
	shared := sync.OnceValue(func() *nats.Conn { return must(nats.Connect(server("nats"))) })
	leaks["nats-subscription-not-ended"] = func() {
		hold(must(shared().Subscribe("events", func(*nats.Msg) {})))
	}
	leaks["franz-go-client-not-closed"] = func() { hold(must(kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1")))) }
	leaks["sarama-not-closed"] = newProducer
	leaks["kafka-go-reader-not-closed"] = func() {
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{"127.0.0.1:1"}, Topic: "a", Partition: 0})
		ctx, cancel := context.WithTimeout(background, time.Millisecond)
		defer cancel()
		reader.FetchMessage(ctx)
		hold(reader)
	}
	leaks["kafka-go-reader-not-closed.group"] = func() {
		hold(kafka.NewReader(kafka.ReaderConfig{Brokers: []string{"127.0.0.1:1"}, Topic: "a", GroupID: "b"}))
	}
	leaks["kafka-go-transport-per-writer"] = func() {
		writer := &kafka.Writer{Addr: kafka.TCP("127.0.0.1:1"), Topic: "a", Transport: &kafka.Transport{}, MaxAttempts: 1}
		writer.WriteMessages(background, kafka.Message{Value: []byte("a")})
		hold(writer)
	}
	leaks["rabbitmq-connection-not-closed"] = func() { hold(must(amqp.Dial("amqp://" + server("amqp") + "/"))) }
	etcd := sync.OnceValue(func() *clientv3.Client {
		return must(clientv3.New(clientv3.Config{Endpoints: []string{server("etcd")}}))
	})
	leaks["etcd-keepalive-again"] = func() {
		ctx, cancel := context.WithCancel(background)
		hold(must(etcd().KeepAlive(ctx, 7)), cancel)
	}
	leaks["etcd-watch-not-ended"] = func() {
		ctx, cancel := context.WithCancel(background)
		hold(etcd().Watch(ctx, "key"), cancel)
	}
	leaks["grpc-client-connection.etcd"] = func() {
		hold(must(clientv3.New(clientv3.Config{Endpoints: []string{server("grpc")}, DialOptions: []grpc.DialOption{}})))
	}
	leaks["pgx-pool-exhausted"] = func() { go loadOrders(exhausted()) }
	broker := sync.OnceValue(func() *amqp.Channel {
		return must(must(amqp.Dial("amqp://" + server("amqp") + "/")).Channel())
	})
	leaks["rabbitmq-consumer-not-cancelled"] = func() {
		hold(must(broker().Consume("jobs", "", true, false, false, false, nil)))
	}
	servers["etcd"] = func() string {
		server := grpc.NewServer()
		etcdserverpb.RegisterWatchServer(server, watchServer{})
		etcdserverpb.RegisterLeaseServer(server, leaseServer{})
		listener := listen()
		go server.Serve(listener)
		return listener.Addr().String()
	}
	unlimited := sync.OnceValue(func() *sql.DB { return must(sql.Open("mysql", "a@tcp("+server("mysql")+")/a")) })
	leaks["mysql-connection-not-closed"] = func() { hold(must(unlimited().Conn(background))) }
	servers["mysql"] = func() string { return accept(serveMySQL) }
	servers["postgres"] = func() string { return accept(servePostgres) }
	servers["amqp"] = func() string { return accept(serveAMQP) }
}

func newProducer() {
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Metadata.Retry.Max = 0
	config.Metadata.Full = false
	hold(must(sarama.NewAsyncProducer([]string{"127.0.0.1:1"}, config)))
}

// serveAMQP opens connections as RabbitMQ does, and answers nothing afterwards.
func serveAMQP(conn net.Conn) {
	reader := bufio.NewReader(conn)
	must(reader.Discard(8)) // the protocol header
	var channel byte
	frame := func(class, method byte, arguments string) {
		payload := string([]byte{0, class, 0, method}) + arguments
		size := byte(len(payload))
		must(io.WriteString(conn, string([]byte{1, 0, channel, 0, 0, 0, size})+payload+"\xce"))
	}
	read := func() []byte {
		head := make([]byte, 7)
		must(io.ReadFull(reader, head))
		payload := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		must(io.ReadFull(reader, payload))
		channel = head[2]
		return payload
	}
	frame(10, 10, "\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US") // start
	read()
	frame(10, 30, "\x00\x00\x00\x02\x00\x00\x00\x0a") // tune: 131072 bytes per frame, heartbeat of 10 s
	read()
	read()
	frame(10, 41, "\x00") // open-ok
	go func() {
		for {
			time.Sleep(5 * time.Second)
			if _, err := io.WriteString(conn, "\x08\x00\x00\x00\x00\x00\x00\xce"); err != nil {
				return
			}
		}
	}()
	for {
		switch payload := read(); {
		case payload[1] == 20 && payload[3] == 10: // open a channel
			frame(20, 11, "\x00\x00\x00\x00")
		case payload[1] == 60 && payload[3] == 20: // consume
			queue := payload[6:]
			tag := queue[1+queue[0]:]
			frame(60, 21, string(tag[:1+tag[0]]))
		}
	}
}

func initSQL() {
	leaks["sql-db-not-closed"] = func() { hold(must(sql.Open("fake", ""))) }
	open := sync.OnceValue(func() *sql.DB { return must(sql.Open("fake", "")) })
	leaks["sql-rows-not-closed"] = func() {
		ctx, cancel := context.WithCancel(background)
		hold(must(open().QueryContext(ctx, "")), cancel)
	}
	leaks["sql-tx-not-finished"] = func() { hold(must(open().BeginTx(background, nil))) }
	small := sync.OnceValue(func() *sql.DB {
		db := must(sql.Open("fake", ""))
		db.SetMaxOpenConns(2)
		hold(must(db.Query("")), must(db.Query("")))
		return db
	})
	leaks["sql-pool-exhausted"] = func() { go loadUsers(small()) }
}

func loadUsers(db *sql.DB) {
	rows := must(db.Query(""))
	rows.Close()
}

var exhausted = sync.OnceValue(func() *pgxpool.Pool {
	pool := must(pgxpool.New(background, "postgres://a@"+server("postgres")+"/a?pool_max_conns=2&sslmode=disable"))
	hold(must(pool.Acquire(background)), must(pool.Acquire(background)))
	return pool
})

func loadOrders(pool *pgxpool.Pool) {
	connection := must(pool.Acquire(background))
	connection.Release()
}

// servePostgres accepts each client without a password, and answers nothing afterwards.
func servePostgres(conn net.Conn) {
	size := make([]byte, 4)
	must(io.ReadFull(conn, size))
	must(io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size))-4))
	must(io.WriteString(conn, "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"))
	io.Copy(io.Discard, conn)
}

// serveMySQL accepts each client without a password, and answers each command with OK.
func serveMySQL(conn net.Conn) {
	greeting := "\x0a8.0.0\x00\x01\x00\x00\x0012345678\x00\x01\x82\x21\x02\x00\x08\x00\x15" +
		string(make([]byte, 10)) + "123456789012\x00mysql_native_password\x00"
	must(io.WriteString(conn, string([]byte{byte(len(greeting)), 0, 0, 0})+greeting))
	for head := make([]byte, 4); ; {
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		size := int64(head[0]) | int64(head[1])<<8 | int64(head[2])<<16
		must(io.CopyN(io.Discard, conn, size))
		must(io.WriteString(conn, string([]byte{7, 0, 0, head[3] + 1, 0, 0, 0, 2, 0, 0, 0})))
	}
}

type watchServer struct {
	etcdserverpb.UnimplementedWatchServer
}

// Watch confirms each watch, and sends no events.
func (watchServer) Watch(stream etcdserverpb.Watch_WatchServer) error {
	for id := int64(0); ; id++ {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		response := &etcdserverpb.WatchResponse{Header: &etcdserverpb.ResponseHeader{}, WatchId: id, Created: true}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

type leaseServer struct {
	etcdserverpb.UnimplementedLeaseServer
}

// LeaseKeepAlive renews each lease.
func (leaseServer) LeaseKeepAlive(stream etcdserverpb.Lease_LeaseKeepAliveServer) error {
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		response := &etcdserverpb.LeaseKeepAliveResponse{Header: &etcdserverpb.ResponseHeader{}, ID: request.ID, TTL: 3600}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

// fakeDriver has connections that answer each query with rows that never end.
type fakeDriver struct{}

func (fakeDriver) Open(string) (driver.Conn, error) { return fakeConn{}, nil }

type fakeConn struct{}

func (fakeConn) Prepare(string) (driver.Stmt, error)               { return nil, errors.ErrUnsupported }
func (fakeConn) Close() error                                      { return nil }
func (fakeConn) Begin() (driver.Tx, error)                         { return fakeConn{}, nil }
func (fakeConn) Commit() error                                     { return nil }
func (fakeConn) Rollback() error                                   { return nil }
func (fakeConn) Query(string, []driver.Value) (driver.Rows, error) { return fakeConn{}, nil }
func (fakeConn) Columns() []string                                 { return []string{"id"} }
func (fakeConn) Next([]driver.Value) error                         { return nil }
