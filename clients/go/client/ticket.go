package client

import (
	"encoding/base32"
	"strings"

	"medunion.example/clients/go/refusal"
)

// ParseTicket reads a registration ticket as a desk shows it: 16 bytes in base32 (RFC 4648, section 6), in groups of four; case, white
// space and dashes are no part of it. Refuses with TICKET_INVALID.
func ParseTicket(text string) ([]byte, error) {
	letters := strings.Join(strings.Fields(strings.ReplaceAll(strings.ToUpper(text), "-", " ")), "")
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	ticket, err := encoding.DecodeString(letters)
	if err != nil || len(ticket) != 16 || encoding.EncodeToString(ticket) != letters {
		return nil, refusal.New(refusal.TicketInvalid, "a ticket has 26 letters and digits, in groups of four")
	}
	return ticket, nil
}
