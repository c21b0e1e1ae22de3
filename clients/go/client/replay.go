package client

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"medunion.example/clients/go/internal/files"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// admit inserts a replay key, durably, and says whether it was new. Whoever can't say so admits nothing.
func (h *Home) admit(replayKey []byte, now, until protocol.Instant) (bool, error) {
	kept := map[string]protocol.Instant{}
	encoded, err := os.ReadFile(h.path(replayFile))
	if err == nil {
		err = json.Unmarshal(encoded, &kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, refusal.Because(err, refusal.ProfileUnusable, "the replay memory can't be read")
	}
	name := hex.EncodeToString(replayKey)
	if _, taken := kept[name]; taken {
		return false, nil
	}
	for old, over := range kept {
		if over < now {
			delete(kept, old)
		}
	}
	kept[name] = until
	if encoded, err = json.Marshal(kept); err == nil {
		err = files.Write(h.path(replayFile), encoded)
	}
	if err != nil {
		return false, refusal.Because(err, refusal.ProfileUnusable, "the replay memory can't be written")
	}
	return true, nil
}
