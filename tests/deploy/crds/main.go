// Command crds prints the JSON Schemas of the Prometheus Operator's resources, made from the operator's own Go types by
// the library that makes its CustomResourceDefinitions: {"PodMonitor": {...}, ...}.
package main

import (
	"encoding/json"
	"log"
	"os"

	_ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-tools/pkg/crd"
	crdmarkers "sigs.k8s.io/controller-tools/pkg/crd/markers"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
)

const types = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"

func main() {
	log.SetFlags(0)
	roots, err := loader.LoadRoots(types)
	if err != nil {
		log.Fatal(err)
	}
	registry := &markers.Registry{}
	if err := crdmarkers.Register(registry); err != nil {
		log.Fatal(err)
	}
	parser := &crd.Parser{Collector: &markers.Collector{Registry: registry}, Checker: &loader.TypeChecker{}}
	crd.AddKnownTypes(parser)
	parser.NeedPackage(roots[0])
	schemas := map[string]*apiext.JSONSchemaProps{}
	for _, kind := range []string{"PodMonitor", "ServiceMonitor", "PrometheusRule"} {
		group := schema.GroupKind{Group: parser.GroupVersions[roots[0]].Group, Kind: kind}
		none := 0 // no descriptions
		parser.NeedCRDFor(group, &none)
		schemas[kind] = parser.CustomResourceDefinitions[group].Spec.Versions[0].Schema.OpenAPIV3Schema
	}
	if err := json.NewEncoder(os.Stdout).Encode(schemas); err != nil {
		log.Fatal(err)
	}
}
