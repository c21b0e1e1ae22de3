package client

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const (
	registrationName = "registration"
	answerKept       = 10 * time.Minute // so long the cloud repeats its answer to the same reg1
	longestAsked     = time.Minute      // that a peer has this side pause
)

var pauses = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}

// Register registers the member with the public cloud: B_P of a patient or Cert_D of a doctor as evidence; a patient's ticket. A crash
// between the cloud's commit and the import of S_X would leave a party that is registered and can't act, so reg1 is kept until its answer
// is taken: what was cut short goes on when this is called again within 10 minutes.
func (c *Cloud) Register(ctx context.Context, evidence, ticket []byte) (*protocol.VerifiedParty, error) {
	member := c.member
	if member.home.IsRegistered() {
		return nil, refusal.New(refusal.ProfileUnusable, "%s is registered already", member.Identity())
	}
	if _, err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	applicant, err := member.applicant(evidence, ticket)
	if err != nil {
		return nil, err
	}
	awaiting, reply, err := c.resume(ctx, applicant)
	if err == nil && awaiting == nil {
		awaiting, reply, err = c.apply(ctx, applicant)
	}
	if err != nil {
		return nil, err
	}
	crls := member.keptDirectory().GetCertificateRevocationLists()
	registered, err := awaiting.Receive(reply, member.Anchors(), crls, protocol.DefaultFreshness, member.clock())
	if err != nil {
		return nil, err
	}
	return registered.Party, member.install(registered, evidence)
}

func (m *Member) applicant(evidence, ticket []byte) (protocol.Applicant, error) {
	epoch, err := m.presentEpoch(m.clock())
	if err != nil {
		return protocol.Applicant{}, err
	}
	statement, err := epoch.signed()
	if err != nil {
		return protocol.Applicant{}, err
	}
	key, err := keys.OpenEpoch(m.home.Store, epoch.Epoch)
	if err != nil {
		return protocol.Applicant{}, err
	}
	return protocol.Applicant{
		Role:          roleOf(m.Identity()),
		Identity:      m.Identity(),
		Evidence:      evidence,
		Ticket:        ticket,
		Signer:        m.home.Store.Signer(),
		DecryptionKey: key,
		EncryptionKey: statement,
	}, nil
}

// resume gets the answer to a reg1 that an earlier run sent; nothing where there is none, or the cloud refuses it: it may never have
// arrived, and be stale by now. Refuses with what passes by itself.
func (c *Cloud) resume(ctx context.Context, applicant protocol.Applicant) (*protocol.AwaitingCredential, *pb.SealedReply, error) {
	awaiting, opening := c.member.underWay(applicant)
	if awaiting == nil {
		return nil, nil, nil
	}
	reply, err := c.answerTo(ctx, opening)
	if err != nil && !IsPassing(err) {
		return nil, nil, nil
	}
	return awaiting, reply, err
}

// apply sends a new reg1 and gets its answer.
func (c *Cloud) apply(ctx context.Context, applicant protocol.Applicant) (*protocol.AwaitingCredential, *pb.SealedReply, error) {
	opened, err := pb.NewRegistrationServiceClient(c.connection).OpenRegistration(ctx, &pb.OpenRegistrationRequest{})
	if err != nil {
		return nil, nil, err
	}
	now := c.member.clock()
	key, err := c.member.Verifier().CloudEncryptionKey(opened.GetCloudEncryptionKeyStatement(), now)
	if err != nil {
		return nil, nil, err
	}
	awaiting, opening, err := applicant.Apply(opened.GetChallenge(), key, now)
	if err != nil {
		return nil, nil, err
	}
	if err := c.member.keep(awaiting, opening); err != nil {
		return nil, nil, err
	}
	reply, err := c.answerTo(ctx, opening)
	return awaiting, reply, err
}

// answerTo sends the same reg1 until it is answered; the same one gets the same answer. One that is refused is over; one whose answer is
// lost may be taken later.
func (c *Cloud) answerTo(ctx context.Context, opening *pb.SealedOpening) (*pb.SealedReply, error) {
	service, request := pb.NewRegistrationServiceClient(c.connection), &pb.RegisterRequest{Opening: opening}
	for attempt := 0; ; attempt++ {
		answer, err := service.Register(ctx, request)
		switch {
		case err == nil:
			return answer.GetReply(), nil
		case !IsPassing(err):
			c.member.home.state.UnderWay = nil
			c.member.home.save()
			return nil, err
		case attempt == len(pauses):
			return nil, err
		}
		if err := sleep(ctx, pauses[attempt], err); err != nil {
			return nil, err
		}
	}
}

// install imports S_X, tests it where it lies now, and keeps the credential.
func (m *Member) install(registered *protocol.Registered, evidence []byte) error {
	party := registered.Party
	store, secret := m.home.Store, registered.Secret
	if err := keys.ImportRegistrationSecret(store, secret, party.Serial, party.RegistrationPoint, party.PublicPoint); err != nil {
		return err
	}
	statement, err := proto.Marshal(party.KeyStatement)
	if err != nil {
		return err
	}
	if party.Role == pb.Role_ROLE_DOCTOR {
		m.home.state.Certificate = evidence
	}
	m.home.state.KeyStatement, m.home.state.UnderWay = statement, nil
	m.announceNext() // reg1 put it to the cloud
	return m.home.save()
}

// keep keeps a reg1 that is under way, sealed under the store's key.
func (m *Member) keep(awaiting *protocol.AwaitingCredential, opening *pb.SealedOpening) error {
	encoded, err := proto.Marshal(opening)
	if err != nil {
		return err
	}
	kept, err := awaiting.Keep()
	if err != nil {
		return err
	}
	m.home.state.UnderWay, err = m.home.Store.Seal(append(transcript.Frame(encoded), kept...), m.registrationContext())
	if err != nil {
		return err
	}
	return m.home.save()
}

// underWay gives the reg1 that an earlier run sent, if there is one that the cloud may still repeat its answer to.
func (m *Member) underWay(applicant protocol.Applicant) (*protocol.AwaitingCredential, *pb.SealedOpening) {
	kept, err := m.home.Store.Open(m.home.state.UnderWay, m.registrationContext())
	if err != nil || len(kept) < 4 {
		return nil, nil
	}
	size, opening := uint64(binary.BigEndian.Uint32(kept)), &pb.SealedOpening{}
	if size > uint64(len(kept)-4) || proto.Unmarshal(kept[4:4+size], opening) != nil {
		return nil, nil
	}
	awaiting, err := applicant.Resume(kept[4+size:])
	if err != nil || m.clock() >= awaiting.SentAt()+uint64(answerKept.Milliseconds()) {
		return nil, nil
	}
	return awaiting, opening
}

func (m *Member) registrationContext() []byte {
	return transcript.T(registrationName, transcript.Text(m.Identity()))
}

// onceMore takes a step again where a peer is busy and says for how long.
func onceMore[R any](ctx context.Context, step func() (R, error)) (R, error) {
	result, err := step()
	if !IsPassing(err) || retryAfter(err) <= 0 || sleep(ctx, 0, err) != nil {
		return result, err
	}
	return step()
}

// sleep pauses for so long, or for as long as the peer asked for, within reason; it gives why it was cut short.
func sleep(ctx context.Context, pause time.Duration, after error) error {
	select {
	case <-time.After(max(pause, min(retryAfter(after), longestAsked))):
		return nil
	case <-ctx.Done():
		return refusal.Because(ctx.Err(), refusal.Unavailable, "ended while it waited")
	}
}

// ParseTicket reads a registration ticket as a desk shows it: 16 bytes and the first 12 bits of their SHA-256 in base32 (RFC 4648,
// section 6), in groups of four; case, white space and dashes are no part of it. Refuses with TICKET_INVALID, also what is mistyped.
func ParseTicket(text string) ([]byte, error) {
	const ticketBytes, ticketLetters = 16, 28
	letters := strings.Join(strings.Fields(strings.ReplaceAll(strings.ToUpper(text), "-", " ")), "")
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	whole, err := encoding.DecodeString(letters + "A") // the letter that is not written completes 18 bytes
	if err != nil || len(letters) != ticketLetters {
		return nil, refusal.New(refusal.TicketInvalid, "a ticket has 28 letters and digits, in groups of four")
	}
	ticket := whole[:ticketBytes]
	check := sha256.Sum256(ticket)
	if encoding.EncodeToString(append(slices.Clone(ticket), check[:2]...))[:ticketLetters] != letters {
		return nil, refusal.New(refusal.TicketInvalid, "this ticket is mistyped: look at it again, all 28 letters and digits")
	}
	return ticket, nil
}
