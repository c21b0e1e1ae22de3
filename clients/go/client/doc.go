// Package client carries the protocol's messages: gRPC calls to the public cloud, relays and hospitals, and the home directory of a
// patient or a doctor. What a message means, and whether to believe it, is package protocol's affair.
package client
