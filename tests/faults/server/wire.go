package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
)

// A message is a protobuf message under construction.
type message struct{ data []byte }

func (m *message) varint(n uint64) *message {
	m.data = binary.AppendUvarint(m.data, n)
	return m
}

func (m *message) number(field int, n uint64) *message { return m.varint(uint64(field) << 3).varint(n) }

func (m *message) text(field int, value string) *message {
	m.varint(uint64(field)<<3 | 2).varint(uint64(len(value)))
	m.data = append(m.data, value...)
	return m
}

func (m *message) part(field int, part *message) *message { return m.text(field, string(part.data)) }

func (m *message) bytes() []byte { return m.data }

func fields() *message { return &message{} }

// zipped returns data in gzip.
func zipped(data []byte) string {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	w.Write(data)
	w.Close()
	return out.String()
}
