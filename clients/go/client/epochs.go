package client

import (
	"time"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const (
	epochLife      = 7 * 24 * time.Hour
	renewBeforeEnd = 24 * time.Hour
	keptAfterEnd   = 5 * time.Minute
	begunBefore    = time.Minute // clocks differ: an epoch is stated to have begun
)

// epochState is what the home keeps of an epoch. Its key opens until it is swept, announced or not: the cloud may have taken an EK_X
// although no receipt for it came.
type epochState struct {
	keys.Epoch
	Statement []byte           `json:"statement"`
	NotAfter  protocol.Instant `json:"not_after"`
}

// lasts says whether an epoch goes on for longer than that.
func (e *epochState) lasts(now protocol.Instant, duration time.Duration) bool {
	return e.NotAfter > now+uint64(duration.Milliseconds())
}

func (e *epochState) signed() (*pb.SignedStatement, error) {
	signed := &pb.SignedStatement{}
	if err := proto.Unmarshal(e.Statement, signed); err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "a kept encryption key statement is none")
	}
	return signed, nil
}

// presentEpoch gives the epoch to act in: the announced one. Once that has ended, for the cloud could not be asked for days, it is the next
// one, since whoever gets an EK_X verifies it by PUK_X alone.
func (m *Member) presentEpoch(now protocol.Instant) (*epochState, error) {
	if epochs := m.home.state.Epochs; len(epochs) > 0 && epochs[0].lasts(now, 0) {
		return &epochs[0], nil
	}
	return m.nextEpoch(now, 0)
}

// renewalIsDue says whether the next epoch should begin: a day before the announced one ends.
func (m *Member) renewalIsDue(now protocol.Instant) bool {
	epochs := m.home.state.Epochs
	return len(epochs) == 0 || !epochs[0].lasts(now, renewBeforeEnd)
}

// nextEpoch gives the epoch that waits for the cloud's receipt, after a crash the one that was made before it. One that does not last that
// long is put aside for another: its key stays until it ends.
func (m *Member) nextEpoch(now protocol.Instant, duration time.Duration) (*epochState, error) {
	before := m.home.state.Next
	if before != nil && before.lasts(now, duration) {
		return before, nil
	}
	made, err := m.newEpoch(now)
	if err != nil {
		return nil, err
	}
	if before != nil {
		m.home.state.Epochs = append(m.home.state.Epochs, *before)
	}
	m.home.state.Next = made
	return made, m.home.save()
}

func (m *Member) newEpoch(now protocol.Instant) (*epochState, error) {
	signer := m.home.Store.Signer()
	key, epoch, err := keys.NewEpoch(m.home.Store, m.entropy)
	if err != nil {
		return nil, err
	}
	verifyingKey, err := keys.VerifyingKey(signer)
	if err != nil {
		return nil, err
	}
	notAfter := now + uint64(epochLife.Milliseconds())
	signed, err := protocol.SignStatement("ek", &pb.EncryptionKeyStatement{
		Identity:           proto.String(m.Identity()),
		VerifyingKeyDigest: transcript.Digest(verifyingKey),
		KeyId:              key.KeyID,
		Kem:                proto.Uint32(keys.KEM),
		EncryptionKey:      key.EncryptionKey,
		NotBefore:          proto.Uint64(now - uint64(begunBefore.Milliseconds())),
		NotAfter:           proto.Uint64(notAfter),
	}, signer)
	if err != nil {
		return nil, err
	}
	kept, err := proto.Marshal(signed)
	return &epochState{epoch, kept, notAfter}, err
}

// announceNext makes the next epoch the one that is announced. The caller saves it.
func (m *Member) announceNext() {
	if next := m.home.state.Next; next != nil {
		m.home.state.Epochs, m.home.state.Next = append([]epochState{*next}, m.home.state.Epochs...), nil
	}
}

// sweepEpochs destroys the keys of epochs that ended 5 minutes ago: what was sealed to them stays sealed for ever (B5).
func (m *Member) sweepEpochs() error {
	now, kept, next := m.clock(), []epochState{}, m.home.state.Next
	isOver := func(epoch *epochState) bool { return epoch.NotAfter+uint64(keptAfterEnd.Milliseconds()) <= now }
	for _, epoch := range m.home.state.Epochs {
		if !isOver(&epoch) {
			kept = append(kept, epoch)
		} else if err := m.home.Store.Destroy(epoch.Label); err != nil {
			return err
		}
	}
	if next != nil && isOver(next) {
		if err := m.home.Store.Destroy(next.Label); err != nil {
			return err
		}
		next = nil
	}
	if len(kept) == len(m.home.state.Epochs) && next == m.home.state.Next {
		return nil
	}
	m.home.state.Epochs, m.home.state.Next = kept, next
	return m.home.save()
}

// keyring gives the keys of all epochs, the next one's too.
func (m *Member) keyring() (keys.Keyring, error) {
	epochs, ring := m.home.state.Epochs, keys.Keyring{}
	if m.home.state.Next != nil {
		epochs = append([]epochState{*m.home.state.Next}, epochs...)
	}
	for _, epoch := range epochs {
		key, err := keys.OpenEpoch(m.home.Store, epoch.Epoch)
		if err != nil {
			return nil, err
		}
		ring = append(ring, key)
	}
	return ring, nil
}
