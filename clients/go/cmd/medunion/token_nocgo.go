//go:build !cgo

package main

import (
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

func openToken(string, string, bool) (keys.Store, error) {
	return nil, refusal.New(refusal.TokenUnavailable, "this program was built without cgo, which a PKCS#11 module needs")
}
