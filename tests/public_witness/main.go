// Command public_witness is a witness of the public for tests: transparency-dev's, which knows the logs whose keys it is given.
//
//	public_witness NAME VKEY...
//
// It makes itself a key of Ed25519 and one of ML-DSA-44, and prints its address and both keys, a line each, when it serves.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	name, logs := os.Args[1], map[string]note.Verifier{}
	for _, vkey := range os.Args[2:] {
		verifier, err := f_note.NewVerifier(vkey)
		if err != nil {
			log.Fatal(err)
		}
		logs[verifier.Name()] = verifier
	}
	signers, vkeys := keys(name)
	made, err := witness.New(context.Background(), witness.Opts{
		Persistence: inmemory.New(),
		Signers:     signers,
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			verifier, known := logs[origin]
			return verifier, known, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(made).AddCheckpoint)
	fmt.Printf("http://%s\n%s\n", listener.Addr(), strings.Join(vkeys, "\n"))
	log.Fatal(http.Serve(listener, nil))
}

func keys(name string) (signers []note.Signer, vkeys []string) {
	plain, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		log.Fatal(err)
	}
	vkey, err = f_note.VKeyToCosignatureV1(vkey)
	if err != nil {
		log.Fatal(err)
	}
	lattice, latticeVkey, err := f_note.GenerateMLDSAKey(name)
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{plain, lattice} {
		signer, err := f_note.NewSignerForCosignatureV1(key)
		if err != nil {
			log.Fatal(err)
		}
		signers = append(signers, signer)
	}
	return signers, []string{vkey, latticeVkey}
}
