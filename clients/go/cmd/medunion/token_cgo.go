//go:build cgo

package main

import "medunion.example/clients/go/keys/token"

var openToken = token.Open
