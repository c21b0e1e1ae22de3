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
	home, err := given.open()
	if err != nil {
		return nil, err
	}
	defer home.Close()
	member, cloud, err := atWork(home)
	if err != nil {
		return nil, err
	}
	defer cloud.Close()
	statement, err := cloud.Renew(ctx)
	if err != nil {
		return nil, err
	}
	return renewed{member.Identity(), hex.EncodeToString(statement.GetKeyId()), statement.GetNotAfter()}, nil
}
