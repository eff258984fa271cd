// Command kustomize renders a folder as `kubectl kustomize FOLDER` does, by the same library.
package main

import (
	"fmt"
	"log"
	"os"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	log.SetFlags(0)
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(text))
}
