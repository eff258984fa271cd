// recorder says what Prometheus's own Kubernetes discovery finds.
//
// It reads configurations in YAML, by name, and prints for each the labels of all its targets, once nothing new has
// come for two seconds; or why Prometheus refuses it. See ../record.py.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"go.yaml.in/yaml/v2"
)

type found struct {
	Refused string           `json:"refused,omitempty"`
	Targets []model.LabelSet `json:"targets,omitempty"`
}

func find(text []byte) found {
	config := &kubernetes.SDConfig{}
	if err := yaml.UnmarshalStrict(text, config); err != nil {
		return found{Refused: err.Error()}
	}
	registry := prometheus.NewRegistry()
	metrics := config.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry))
	if err := metrics.Register(); err != nil {
		log.Fatal(err)
	}
	options := discovery.DiscovererOptions{Logger: promslog.NewNopLogger(), Metrics: metrics}
	discoverer, err := config.NewDiscoverer(options)
	if err != nil {
		return found{Refused: err.Error()}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	groups := make(chan []*targetgroup.Group)
	go discoverer.Run(ctx, groups)
	known := map[string]*targetgroup.Group{}
	for {
		select {
		case some := <-groups:
			for _, group := range some {
				known[group.Source] = group
			}
			continue
		case <-time.After(2 * time.Second):
		}
		break
	}
	all := found{Targets: []model.LabelSet{}}
	for _, group := range known {
		for _, target := range group.Targets {
			all.Targets = append(all.Targets, group.Labels.Merge(target))
		}
	}
	return all
}

func main() {
	configs := map[string]yaml.MapSlice{}
	if err := yaml.NewDecoder(os.Stdin).Decode(&configs); err != nil {
		log.Fatal(err)
	}
	results := map[string]found{}
	var all sync.WaitGroup
	var lock sync.Mutex
	for name, config := range configs {
		text, err := yaml.Marshal(config)
		if err != nil {
			log.Fatal(err)
		}
		all.Go(func() {
			result := find(text)
			lock.Lock()
			defer lock.Unlock()
			results[name] = result
		})
	}
	all.Wait()
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(results); err != nil {
		log.Fatal(err)
	}
}
