package main

import (
	"context"
	"encoding/hex"

	"medunion.example/clients/go/protocol"
)

type renewed struct {
	Identity string           `json:"identity"`
	KeyID    string           `json:"key_id"`
	NotAfter protocol.Instant `json:"not_after"`
}

// renew begins the next epoch of a patient's or a doctor's encryption key, whenever it is typed.
func renew(ctx context.Context, given *arguments) (any, error) {
	if err := given.read(0); err != nil {
		return nil, err
	}
	at, err := given.begin(given.open())
	if err != nil {
		return nil, err
	}
	defer at.close()
	statement, err := at.cloud.Renew(ctx)
	if err != nil {
		return nil, err
	}
	return renewed{at.member.Identity(), hex.EncodeToString(statement.GetKeyId()), statement.GetNotAfter()}, nil
}
