// Package token keeps a party's keys in a PKCS#11 token: PRK_X, the sealing key, the P-256 half of each epoch and S_X are made or
// imported there, not readable, and never leave it. It needs cgo; the command line says so where it was built without.
package token

import (
	"net/url"
	"path/filepath"
	"strings"

	"medunion.example/clients/go/refusal"
)

// location says which token, through which module (RFC 7512, narrowed to what selects one token safely): never by a slot number, which
// moves; the module by an absolute path, so that no search path decides which code gets the PIN.
type location struct {
	module                             string
	label, serial, manufacturer, model string
}

// parse reads a URI such as pkcs11:token=A;serial=1?module-path=/lib/p11.so. Refuses with TOKEN_URI_INVALID, without repeating the text,
// anything else: a PIN has no place in it, for it comes from --pin-file.
func parse(text string) (location, error) {
	var found location
	rest, isToken := strings.CutPrefix(text, "pkcs11:")
	path, query, _ := strings.Cut(rest, "?")
	known := map[string]*string{
		"token": &found.label, "serial": &found.serial, "manufacturer": &found.manufacturer, "model": &found.model,
	}
	if !isToken || !attributes(path, ";", known) || !attributes(query, "&", map[string]*string{"module-path": &found.module}) {
		return found, refusal.New(refusal.TokenURIInvalid, "a token's URI reads pkcs11:token=LABEL?module-path=/PATH, with no PIN in it")
	}
	if found.label == "" && found.serial == "" || !filepath.IsAbs(found.module) {
		return found, refusal.New(refusal.TokenURIInvalid, "a token's URI names its label or serial number, and its module by an absolute path")
	}
	return found, nil
}

// attributes reads a=b;c=d into known names, each at most once.
func attributes(text, separator string, known map[string]*string) bool {
	for part := range strings.SplitSeq(text, separator) {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		into := known[name]
		decoded, err := url.PathUnescape(value)
		if into == nil || *into != "" || err != nil || decoded == "" {
			return false
		}
		*into = decoded
	}
	return true
}
