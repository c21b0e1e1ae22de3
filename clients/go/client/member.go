package client

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/group"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const (
	epochLife        = 7 * 24 * time.Hour
	renewBeforeEnd   = 24 * time.Hour
	keptAfterEnd     = 5 * time.Minute
	begunBefore      = time.Minute // clocks differ: an epoch is stated to have begun
	registrationName = "registration"
)

// Member is one party as it acts: the trust that it follows, its credential, its epochs.
type Member struct {
	home    *Home
	clock   func() protocol.Instant
	entropy group.Entropy
	bundle  *protocol.TrustedBundle
	lists   protocol.Lists
}

// NewMember gives who is at home. Refuses as protocol.Pin.
func NewMember(home *Home) (*Member, error) {
	member := &Member{home: home, clock: systemClock, entropy: group.SystemEntropy}
	signed := &pb.SignedStatement{}
	if err := proto.Unmarshal(home.state.TrustBundle, signed); err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "the kept trust bundle is none")
	}
	var err error
	if member.bundle, err = protocol.Pin(signed); err != nil { // who can write here needs no forged bundle
		return nil, err
	}
	if kept := member.keptDirectory(); kept != nil {
		// Nothing is at hand of a list whose PRK_C has been revoked since.
		member.lists, _ = protocol.ReadLists(member.bundle.Anchors, kept.GetRevocationList(), kept.GetCertificateRevocationLists())
	}
	return member, member.sweepEpochs()
}

func systemClock() protocol.Instant { return protocol.Instant(time.Now().UnixMilli()) }

// Identity gives ID_X.
func (m *Member) Identity() string { return m.home.Identity() }

// Anchors gives the roots of all checks, by the newest trust bundle.
func (m *Member) Anchors() *protocol.Anchors { return m.bundle.Anchors }

// Verifier gives the checks with the newest lists.
func (m *Member) Verifier() protocol.Verifier {
	return protocol.Verifier{Anchors: m.bundle.Anchors, Lists: m.lists, Freshness: protocol.DefaultFreshness}
}

// Party gives the party to act as. Refuses with NOT_REGISTERED, BUNDLE_STALE, and as Verifier.Party if the party's own credential fell.
func (m *Member) Party() (*protocol.Party, error) {
	now := m.clock()
	if !m.home.IsRegistered() {
		return nil, refusal.New(refusal.NotRegistered, "%s is not registered yet", m.Identity())
	}
	if err := m.bundle.RequireUsable(m.lists.Revocations(), now); err != nil {
		return nil, err
	}
	signed := &pb.SignedStatement{}
	if err := proto.Unmarshal(m.home.state.KeyStatement, signed); err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "the kept key statement is none")
	}
	own, err := m.Verifier().Party(signed, roleOf(m.Identity()), now)
	if err != nil {
		return nil, err
	}
	secret, err := keys.RegistrationSecret(m.home.Store, own.Serial, own.PublicPoint)
	if err != nil {
		return nil, err
	}
	newest, err := m.encryptionKey(now)
	if err != nil {
		return nil, err
	}
	keyring, err := m.keyring()
	if err != nil {
		return nil, err
	}
	return &protocol.Party{
		VerifiedParty:      own,
		Signer:             m.home.Store.Signer(),
		RegistrationSecret: secret,
		Keyring:            keyring,
		EncryptionKey:      newest,
		Certificate:        m.home.state.Certificate,
	}, nil
}

func roleOf(identity string) pb.Role {
	if identity[:2] == "D:" {
		return pb.Role_ROLE_DOCTOR
	}
	return pb.Role_ROLE_PATIENT
}

// follow takes the trust bundle of a directory. between fetches the bundles that this party has missed. An older bundle than the one at
// hand changes nothing; another one of the same number is refused with BUNDLE_OUT_OF_SEQUENCE.
func (m *Member) follow(signed *pb.SignedStatement, between func(after uint64) ([]*pb.SignedStatement, error)) error {
	named := &pb.TrustBundle{}
	if err := protocol.Peek(named, signed); err != nil { // its number says what to ask for, and nothing else
		return err
	}
	current, target := m.bundle, named.GetSequence()
	if target == current.Content.GetSequence() && !bytes.Equal(signed.GetStatement(), current.Signed.GetStatement()) {
		return refusal.New(refusal.BundleOutOfSequence, "there are two trust bundles of the number %d", target)
	}
	for current.Content.GetSequence() < target {
		next := []*pb.SignedStatement{signed}
		if current.Content.GetSequence()+1 < target {
			var err error
			if next, err = between(current.Content.GetSequence()); err != nil {
				return err
			}
			if len(next) == 0 {
				return refusal.New(refusal.BundleOutOfSequence, "the trust bundles between cannot be had")
			}
		}
		for _, one := range next {
			followed, err := current.Follow(one)
			if err != nil {
				return err
			}
			current = followed
		}
	}
	if current == m.bundle {
		return nil
	}
	kept, err := proto.Marshal(current.Signed)
	if err != nil {
		return err
	}
	m.bundle, m.home.state.TrustBundle = current, kept
	return m.home.save()
}

// takeLists takes a directory's lists unless they are older than those at hand. Refuses as protocol.ReadLists; then those at hand stay.
func (m *Member) takeLists(directory *pb.GetDirectoryResponse) error {
	lists, err := protocol.ReadLists(m.bundle.Anchors, directory.GetRevocationList(), directory.GetCertificateRevocationLists())
	if err != nil {
		return err
	}
	if lists.Sequence() < m.lists.Sequence() {
		return nil
	}
	kept, err := proto.Marshal(directory)
	if err != nil {
		return err
	}
	m.lists, m.home.state.Directory = lists, kept
	return m.home.save()
}

func (m *Member) keptDirectory() *pb.GetDirectoryResponse {
	kept := &pb.GetDirectoryResponse{}
	if m.home.state.Directory == nil || proto.Unmarshal(m.home.state.Directory, kept) != nil {
		return nil
	}
	return kept
}

// encryptionKey gives the newest EK_X, and begins the next epoch a day before that one ends.
func (m *Member) encryptionKey(now protocol.Instant) (*pb.SignedStatement, error) {
	epochs := m.home.state.Epochs
	if len(epochs) == 0 || epochs[0].NotAfter <= now+uint64(renewBeforeEnd.Milliseconds()) {
		if err := m.beginEpoch(now); err != nil {
			return nil, err
		}
	}
	signed := &pb.SignedStatement{}
	return signed, proto.Unmarshal(m.home.state.Epochs[0].Statement, signed)
}

func (m *Member) beginEpoch(now protocol.Instant) error {
	key, epoch, err := keys.NewEpoch(m.home.Store, m.entropy)
	if err != nil {
		return err
	}
	notAfter := now + uint64(epochLife.Milliseconds())
	signed, err := protocol.SignStatement("ek", &pb.EncryptionKeyStatement{
		Identity:           proto.String(m.Identity()),
		VerifyingKeyDigest: transcript.Digest(keys.PublicKey(m.home.Store.Signer())),
		KeyId:              key.KeyID,
		Kem:                proto.Uint32(keys.KEM),
		EncryptionKey:      key.EncryptionKey,
		NotBefore:          proto.Uint64(now - uint64(begunBefore.Milliseconds())),
		NotAfter:           proto.Uint64(notAfter),
	}, m.home.Store.Signer())
	if err != nil {
		return err
	}
	kept, err := proto.Marshal(signed)
	if err != nil {
		return err
	}
	m.home.state.Epochs = append([]epochState{{epoch, kept, notAfter}}, m.home.state.Epochs...)
	return m.home.save()
}

// sweepEpochs destroys the keys of epochs that ended 5 minutes ago: what was sealed to them stays sealed for ever (B5).
func (m *Member) sweepEpochs() error {
	now, kept := m.clock(), []epochState{}
	for _, epoch := range m.home.state.Epochs {
		if epoch.NotAfter+uint64(keptAfterEnd.Milliseconds()) > now {
			kept = append(kept, epoch)
		} else if err := m.home.Store.Destroy(epoch.Label); err != nil {
			return err
		}
	}
	if len(kept) == len(m.home.state.Epochs) {
		return nil
	}
	m.home.state.Epochs = kept
	return m.home.save()
}

func (m *Member) keyring() (keys.Keyring, error) {
	var ring keys.Keyring
	for _, epoch := range m.home.state.Epochs {
		key, err := keys.OpenEpoch(m.home.Store, epoch.Epoch)
		if err != nil {
			return nil, err
		}
		ring = append(ring, key)
	}
	return ring, nil
}
