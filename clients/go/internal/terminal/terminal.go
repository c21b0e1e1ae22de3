// Package terminal is the one way of texts to a person's terminal: what a peer wrote can't move the cursor, name a window or turn the
// direction of writing.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
)

const mostShown = 4000 // characters of a line

// Line gives text as one line of bounded length, with nothing in it but what can be seen.
func Line(text string) string {
	characters := []rune(text)
	return strings.Map(func(char rune) rune {
		if unicode.IsPrint(char) {
			return char
		}
		return ' '
	}, string(characters[:min(len(characters), mostShown)]))
}

// JSON gives a JSON text that means the same, in which whatever can't be seen is escaped.
func JSON(encoded []byte) string {
	var shown strings.Builder
	for _, char := range string(encoded) {
		switch {
		case unicode.IsPrint(char):
			shown.WriteRune(char)
		case char > 0xffff: // RFC 8259, section 7: a pair of surrogates
			fmt.Fprintf(&shown, `\u%04x\u%04x`, 0xd800+(char-0x10000)>>10, 0xdc00+(char-0x10000)&0x3ff)
		default:
			fmt.Fprintf(&shown, `\u%04x`, char)
		}
	}
	return shown.String()
}
