package client

import (
	"bytes"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// DefaultGrace is for how long after the end of the newest list a client goes on by what stood before it.
const DefaultGrace = time.Hour

// LongestGrace is the most that may be asked for.
const LongestGrace = 72 * time.Hour

const lateKept = protocol.Instant(60_000) // ms between two moments that are written down: who starts later knows of the last one

// Member is one party as it acts: the trust that it follows, its credential, its epochs.
type Member struct {
	home    *Home
	clock   func() protocol.Instant
	entropy curve.Entropy
	dialing Dialing
	bundle  *protocol.TrustedBundle
	lists   protocol.Lists
	grace   time.Duration
	late    lateList

	shards    protocol.Shards // of the root of the head at hand
	askCloud  askShards
	askBeside []beside // the latest first
}

// NewMember gives who is at home, what its addresses may lead to, and for how long it goes on by a list that is over. Refuses as protocol.Pin.
func NewMember(home *Home, dialing Dialing, grace time.Duration) (*Member, error) {
	member, err := newMember(home, dialing, systemClock)
	if err == nil {
		member.grace = min(grace, LongestGrace)
	}
	return member, err
}

func newMember(home *Home, dialing Dialing, clock func() protocol.Instant) (*Member, error) {
	member := &Member{home: home, clock: clock, entropy: curve.SystemEntropy, dialing: dialing, grace: DefaultGrace, late: home.state.LateList}
	signed := &pb.SignedStatement{}
	if err := proto.Unmarshal(home.state.TrustBundle, signed); err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "the kept trust bundle is none")
	}
	var err error
	if member.bundle, err = protocol.Pin(signed); err != nil { // who can write here needs no forged bundle
		return nil, err
	}
	member.readKeptLists()
	return member, member.sweepEpochs()
}

func systemClock() protocol.Instant { return protocol.Instant(time.Now().UnixMilli()) }

// Identity gives ID_X.
func (m *Member) Identity() string { return m.home.Identity() }

// Anchors gives the roots of all checks, by the newest trust bundle.
func (m *Member) Anchors() *protocol.Anchors { return m.bundle.Anchors }

// Verifier gives the checks with the newest lists.
func (m *Member) Verifier() protocol.Verifier {
	grace := protocol.Grace{Length: protocol.Instant(m.grace.Milliseconds())}
	if m.late.Sequence == m.lists.Sequence() { // another list begins anew: a clock that once ran ahead bars no grace for ever
		grace.Seen = m.late.UsedAt
	}
	return protocol.Verifier{Anchors: m.bundle.Anchors, Lists: m.lists, Freshness: protocol.DefaultFreshness, Grace: grace}
}

// noteLate takes note that it is now, where the list at hand is over, so that a clock that is set back stretches no grace.
func (m *Member) noteLate(now protocol.Instant) error {
	sequence := m.lists.Sequence()
	if !m.lists.IsLate(now) || m.late.Sequence == sequence && now <= m.late.UsedAt {
		return nil
	}
	m.late = lateList{sequence, now}
	if kept := m.home.state.LateList; kept.Sequence == sequence && now < kept.UsedAt+lateKept {
		return nil
	}
	m.home.state.LateList = m.late
	return m.home.save()
}

// Party gives the party to act as. Refuses with NOT_REGISTERED, BUNDLE_STALE, and as Verifier.Party if the party's own credential fell.
func (m *Member) Party() (*protocol.Party, error) {
	now := m.clock()
	if err := m.requireRegistered(); err != nil {
		return nil, err
	}
	if err := m.bundle.RequireUsable(m.lists.Head(), now); err != nil {
		return nil, err
	}
	if err := m.noteLate(now); err != nil {
		return nil, err
	}
	signed, err := m.keyStatement()
	if err != nil {
		return nil, err
	}
	own, err := m.Verifier().Party(signed, roleOf(m.Identity()), now)
	if err != nil {
		return nil, err
	}
	own.AuthorityID = m.Anchors().AuthorityOf(m.home.state.Certificate)
	secret, err := keys.RegistrationSecret(m.home.Store, own.Serial, own.RegistrationPoint, own.PublicPoint)
	if err != nil {
		return nil, err
	}
	epoch, err := m.presentEpoch(now)
	if err != nil {
		return nil, err
	}
	announced, err := epoch.signed()
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
		EncryptionKey:      announced,
		Certificate:        m.home.state.Certificate,
	}, nil
}

func (m *Member) requireRegistered() error {
	if !m.home.IsRegistered() {
		return refusal.New(refusal.NotRegistered, "%s is not registered yet", m.Identity())
	}
	return nil
}

func (m *Member) keyStatement() (*pb.SignedStatement, error) {
	signed := &pb.SignedStatement{}
	if err := proto.Unmarshal(m.home.state.KeyStatement, signed); err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "the kept key statement is none")
	}
	return signed, nil
}

func (m *Member) dial(address, identity string) (*grpc.ClientConn, error) {
	return m.dialing.dial(address, identity, m.bundle)
}

// dialHospital gives a connection to a hospital, which is asked from now on for what is looked up where the cloud does not answer.
func (m *Member) dialHospital(address, hospitalID string) (*grpc.ClientConn, error) {
	connection, err := m.dial(address, hospitalID)
	if err == nil {
		m.dealWith(hospitalID, connection)
	}
	return connection, err
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
	m.readKeptLists() // else a list of a high number, by a PRK_C that was revoked, would shut out the genuine ones
	return m.home.save()
}

// readKeptLists reads the kept lists by the anchors at hand. Of a list whose PRK_C has been revoked since, nothing is at hand.
func (m *Member) readKeptLists() {
	kept := m.keptDirectory()
	m.lists, _ = protocol.ReadLists(m.bundle.Anchors, kept.GetRevocationHead(), kept.GetCertificateRevocationLists(), m)
}

// takeLists takes a head, and the CRLs that came with it beside those at hand, unless it is older than the one at hand. Refuses as
// protocol.ReadLists; then those at hand stay.
func (m *Member) takeLists(head *pb.SignedStatement, crls [][]byte) error {
	lists, err := protocol.ReadLists(m.bundle.Anchors, head, crls, m)
	if err != nil || lists.Sequence() < m.lists.Sequence() {
		return err
	}
	lists = lists.WithKept(m.lists, m.bundle.Anchors)
	kept, err := proto.Marshal(&pb.GetDirectoryResponse{RevocationHead: head, CertificateRevocationLists: lists.CRLs()})
	if err != nil {
		return err
	}
	if !bytes.Equal(lists.Head().GetRoot(), m.lists.Head().GetRoot()) {
		m.shards = nil
	}
	m.lists, m.home.state.Directory = lists, kept
	return m.home.save()
}

// heldCRLs gives the digests of the CRLs at hand: those that are not to be sent again.
func (m *Member) heldCRLs() (held [][]byte) {
	for _, crl := range m.lists.CRLs() {
		held = append(held, transcript.Digest(crl))
	}
	return held
}

func (m *Member) keptDirectory() *pb.GetDirectoryResponse {
	kept := &pb.GetDirectoryResponse{}
	if m.home.state.Directory == nil || proto.Unmarshal(m.home.state.Directory, kept) != nil {
		return nil
	}
	return kept
}
