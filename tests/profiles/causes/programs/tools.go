package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/allegro/bigcache/v3"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/fsnotify/fsnotify"
	"github.com/getsentry/sentry-go"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/moby/spdystream"
	"github.com/patrickmn/go-cache"
	"github.com/robfig/cron/v3"
	"github.com/sirupsen/logrus"
	"github.com/spf13/viper"
	"go.opencensus.io/stats/view"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"gopkg.in/natefinch/lumberjack.v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

func init() {
	leaks["otel-span-processor-not-shut-down"] = func() {
		hold(trace.NewTracerProvider(trace.WithBatcher(tracetest.NewInMemoryExporter())))
	}
	leaks["otel-metric-reader-not-shut-down"] = func() {
		exporter := must(stdoutmetric.New(stdoutmetric.WithWriter(io.Discard)))
		hold(metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(exporter))))
	}
	leaks["opencensus-worker-again"] = func() {
		meter := view.NewMeter()
		meter.Start()
		hold(meter)
	}
	leaks["bigcache-not-closed"] = func() { hold(must(bigcache.New(background, bigcache.DefaultConfig(time.Hour)))) }
	leaks["sentry-client-not-closed"] = func() {
		hold(must(sentry.NewClient(sentry.ClientOptions{Dsn: "http://a@127.0.0.1:1/1"})))
	}
	leaks["lumberjack-logger-again"] = func() {
		logger := &lumberjack.Logger{Filename: filepath.Join(folder(), "a.log")}
		must(io.WriteString(logger, "line\n"))
		check(logger.Rotate())
		check(logger.Close())
	}
	leaks["logrus-writer-not-closed"] = func() { hold(logrus.New().Writer()) }
	leaks["fsnotify-watcher-not-closed"] = func() { hold(must(fsnotify.NewWatcher())) }
	leaks["viper-watch-config-again"] = func() {
		path := filepath.Join(folder(), "config.yaml")
		check(os.WriteFile(path, []byte("a: 1\n"), 0o600))
		v := viper.New()
		v.SetConfigFile(path)
		check(v.ReadInConfig())
		v.WatchConfig()
		hold(v)
	}
	leaks["go-cache-again"] = func() { hold(cache.New(time.Minute, time.Minute)) }
	leaks["ristretto-cache-not-closed"] = func() {
		hold(must(ristretto.NewCache(&ristretto.Config[string, string]{NumCounters: 100, MaxCost: 10, BufferItems: 64})))
	}
	leaks["expirable-lru-again"] = func() { hold(expirable.NewLRU[string, int](10, nil, time.Hour)) }
	leaks["cron-not-stopped"] = func() {
		scheduler := cron.New()
		scheduler.Start()
		hold(scheduler)
	}
	leaks["k8s-spdy-stream-not-closed"] = func() {
		connection := must(spdystream.NewConnection(must(net.Dial("tcp", server("silent"))), false))
		go connection.Serve(spdystream.NoOpStreamHandler)
		hold(connection)
	}
	initKubernetes()
}

var folder = sync.OnceValue(func() string { return must(os.MkdirTemp("", "leaks")) })

func initKubernetes() {
	for suffix, cluster := range map[string]func() dynamic.Interface{"": cluster, ".http2": clusterOverTLS} {
		leaks["k8s-watch-not-stopped"+suffix] = func() {
			hold(must(cluster().Resource(configMaps).Watch(background, metav1.ListOptions{})))
		}
		leaks["k8s-informer-not-stopped"+suffix] = func() {
			go newInformer(cluster()).Run(make(chan struct{}))
		}
	}
	running := sync.OnceValue(func() toolscache.SharedIndexInformer {
		informer := newInformer(cluster())
		go informer.Run(make(chan struct{}))
		return informer
	})
	leaks["k8s-informer-handler-not-removed"] = func() {
		hold(must(running().AddEventHandler(toolscache.ResourceEventHandlerFuncs{})))
	}
	leaks["k8s-workqueue-not-shut-down"] = func() {
		hold(workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()))
	}
	leaks["k8s-event-broadcaster-not-shut-down"] = func() { hold(record.NewBroadcaster()) }
	leaks["k8s-client-per-request"] = newCertificateClient
}

var cluster = sync.OnceValue(func() dynamic.Interface {
	return must(dynamic.NewForConfig(&rest.Config{Host: server("kubernetes"), QPS: -1}))
})

var clusterOverTLS = sync.OnceValue(func() dynamic.Interface {
	return must(dynamic.NewForConfig(&rest.Config{
		Host: server("kubernetes-h2"), QPS: -1, TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}))
})

func newInformer(cluster dynamic.Interface) toolscache.SharedIndexInformer {
	resource := cluster.Resource(configMaps)
	return toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListFunc:  func(o metav1.ListOptions) (runtime.Object, error) { return resource.List(background, o) },
		WatchFunc: func(o metav1.ListOptions) (watch.Interface, error) { return resource.Watch(background, o) },
	}, &unstructured.Unstructured{}, 0, toolscache.Indexers{})
}

// newCertificateClient makes a client whose certificate is in files.
func newCertificateClient() {
	certificate, key := certificateFiles()
	config := &rest.Config{Host: "https://127.0.0.1:1", TLSClientConfig: rest.TLSClientConfig{
		Insecure: true, CertFile: certificate, KeyFile: key,
	}}
	config.Dial = (&net.Dialer{}).DialContext // another function each time, as a constructor of clients has
	hold(must(rest.HTTPClientFor(config)))
}
