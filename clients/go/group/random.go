package group

import "crypto/rand"

// Entropy gives so many fresh, uniform bytes. It is a parameter of every step that needs it.
type Entropy func(size int) []byte

// SystemEntropy draws from the operating system.
func SystemEntropy(size int) []byte {
	drawn := make([]byte, size)
	rand.Read(drawn) // never fails: crypto/rand ends the program if it would
	return drawn
}
