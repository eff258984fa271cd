// Command vex validates an OpenVEX document and prints the statements that apply to a component of a product, one
// "<vulnerability> <status>" a line: vex FILE PRODUCT COMPONENT.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/openvex/go-vex/pkg/vex"
)

func main() {
	log.SetFlags(0)
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var document vex.VEX
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&document); err != nil {
		log.Fatal(err)
	}
	if document.Context != vex.ContextLocator() || document.ID == "" || document.Author == "" ||
		document.Timestamp == nil || document.Version < 1 || len(document.Statements) == 0 {
		log.Fatal("the document lacks a required field")
	}
	for _, statement := range document.Statements {
		if err := statement.Validate(); err != nil {
			log.Fatal(err)
		}
		if statement.MatchesProduct(os.Args[2], os.Args[3]) {
			fmt.Println(statement.Vulnerability.Name, statement.Status)
		}
	}
}
