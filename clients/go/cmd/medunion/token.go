package main

import (
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

func openToken(uri, pin string, create bool) (keys.Store, error) {
	return nil, refusal.New(refusal.TokenUnavailable, "tokens come next")
}
