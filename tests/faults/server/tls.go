package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"strings"
	"time"
)

var tlsKinds = []kind{
	{name: "tls-healthy", format: text, about: "a valid certificate", listen: serving(certificate{})},
	{name: "tls-expired", format: text, about: "a certificate that has expired", listen: serving(certificate{from: -48, until: -24})},
	{name: "tls-future", format: text, about: "a certificate that is not valid yet", listen: serving(certificate{from: 24, until: 48})},
	{name: "tls-name", format: text, about: "a certificate for another name", listen: serving(certificate{name: "other.example"})},
	{name: "tls-self-signed", format: text, about: "a certificate that no authority signed", listen: serving(certificate{selfSigned: true})},
	{name: "tls-old", format: text, about: "TLS 1.1 at most", listen: serving(certificate{version: tls.VersionTLS11})},
	{name: "tls-client", format: text, about: "requires a client certificate", listen: serving(certificate{client: true})},
	{name: "tls-silent", format: text, about: "never answers the handshake", listen: https(accepting(func(conn net.Conn) {
		io.Copy(io.Discard, conn)
		conn.Close()
	}))},
	{name: "tls-closed", format: text, about: "closes the connection within the handshake", listen: https(accepting(func(conn net.Conn) {
		conn.Read(make([]byte, 16))
		conn.Close()
	}))},
	{name: "tls-garbage", format: text, about: "answers the handshake with noise", listen: https(accepting(func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		conn.Write([]byte(allBytes()))
		conn.Close()
	}))},
	{name: "plain-on-tls", format: text, about: "plain HTTP at an https address", listen: https(accepting(func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request"))
		conn.Close()
	}))},
	{name: "tls-on-plain", format: text, about: "TLS at an http address", listen: func(s *server, kind kind) string {
		return strings.Replace(serving(certificate{})(s, kind), "https:", "http:", 1)
	}},
}

// A certificate is how one differs from a valid one. `from`, `until`: hours from now.
type certificate struct {
	from, until int
	name        string
	selfSigned  bool
	version     uint16
	client      bool
}

// An authority signs certificates; it is made anew at each start.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority() *authority {
	key := newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "faults"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-96 * time.Hour), NotAfter: time.Now().Add(96 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, SubjectKeyId: []byte{1},
	}
	der := sign(template, template, key, key)
	return &authority{parsed(der), key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue returns a certificate for 127.0.0.1 with the given differences.
func (a *authority) issue(wanted certificate) tls.Certificate {
	if wanted.from == wanted.until {
		wanted.from, wanted.until = -24, 24
	}
	key := newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "target"}, SubjectKeyId: []byte{2},
		NotBefore:   time.Now().Add(time.Duration(wanted.from) * time.Hour),
		NotAfter:    time.Now().Add(time.Duration(wanted.until) * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if wanted.name != "" {
		template.DNSNames = []string{wanted.name}
	} else {
		template.IPAddresses = []net.IP{net.ParseIP("127.0.0.1")}
	}
	parent, signer := a.certificate, a.key
	if wanted.selfSigned {
		parent, signer = template, key
	}
	return tls.Certificate{Certificate: [][]byte{sign(template, parent, key, signer)}, PrivateKey: key}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	return key
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		log.Fatal(err)
	}
	return der
}

func parsed(der []byte) *x509.Certificate {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return certificate
}

// serving returns a listen function that serves a healthy service over TLS.
func serving(wanted certificate) func(*server, kind) string {
	return func(s *server, kind kind) string {
		config := &tls.Config{Certificates: []tls.Certificate{s.ca.issue(wanted)}, MaxVersion: wanted.version}
		if wanted.version != 0 {
			config.MinVersion = tls.VersionTLS10
		}
		if wanted.client {
			config.ClientAuth = tls.RequireAnyClientCert
		}
		kind.serve = healthy
		return "https://" + s.serveKind(tls.NewListener(newListener("127.0.0.1:0"), config), kind)
	}
}

// https returns a listen function whose URL has the scheme https.
func https(listen func(*server, kind) string) func(*server, kind) string {
	return func(s *server, kind kind) string { return strings.Replace(listen(s, kind), "http:", "https:", 1) }
}
