package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/revoked"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/transcript"
)

type kept struct{ Statement, Signature vectors.Bytes }

// publicCloud is a public cloud with the keys of the vectors, and a clock that tests set: it hands out a current directory, and answers
// ekput as it should unless a test has it do otherwise.
type publicCloud struct {
	pb.UnimplementedDirectoryServiceServer
	pb.UnimplementedMembershipServiceServer
	pb.UnimplementedRegistrationServiceServer
	pb.UnimplementedRevocationServiceServer
	pb.UnimplementedSearchServiceServer
	t        *testing.T
	now      protocol.Instant
	signer   crypto.Signer
	retired  crypto.Signer // the one before
	key      *keys.DecryptionKey
	bundle   kept
	crls     [][]byte
	pins     []*pb.CrlPin
	who      []byte // PUK_X of who may put a key
	away     bool
	asked    int     // for the directory
	silence  []error // of GetDirectory, each once
	faults   []error // of PutEncryptionKey once it has taken the call, and of Register, each once
	receipt  func(*pb.RenewalReceipt)
	anew     *pb.SignedStatement
	taken    [][]byte // key ids
	applied  []byte   // a byte for each reg1: the number of its challenge
	begun    byte     // registrations
	searched []error  // what Search answers, each once
	listed   revoked.Set
	forgets  bool // what rev takes back
}

// Revoke takes rev, written out here once more from docs/protocol.md, and names what it takes back.
func (p *publicCloud) Revoke(_ context.Context, request *pb.RevokeRequest) (*pb.RevokeResponse, error) {
	rev := &pb.Revocation{}
	err := proto.Unmarshal(p.opened("rev", request.GetOpening()), rev)
	owner, before, rows := []byte(rev.GetOwnerId()), []byte(nil), [][]byte(nil)
	named, prefixes := p.listed, map[uint32]bool{}
	name := func(entry []byte, before uint64) {
		named = named.With(entry, before)
		prefixes[protocol.PrefixOf(entry)] = true
	}
	if rev.Before != nil {
		before = transcript.U64(rev.GetBefore())
		name(transcript.Digest(transcript.T("sweep", owner)), rev.GetBefore())
	}
	for _, one := range rev.GetStatements() {
		grant := &pb.Grant{}
		if err == nil {
			err = proto.Unmarshal(one.GetStatement().GetStatement(), grant)
		}
		rows = append(rows, transcript.T("row", []byte("grant"), one.GetStatement().GetStatement()))
		name(transcript.Digest(transcript.T("revoked", []byte("grant"), owner, grant.GetGrantId())), 0)
	}
	signed := transcript.T("rev", owner, transcript.List(rows...), before, nil, rev.GetKeyStatement().GetStatement(), rev.GetNonce(),
		transcript.U64(rev.GetSentAt()), []byte("C:union"))
	if err != nil || !keys.Verify(p.who, signed, rev.GetSignature()) {
		p.t.Errorf("rev %v: %v", rev, err)
	}
	if !p.forgets {
		p.listed = named
	}
	return &pb.RevokeResponse{Revocations: p.listed.Excerpt(p.head(), slices.Collect(maps.Keys(prefixes))...)}, nil
}

func (p *publicCloud) Search(context.Context, *pb.SearchRequest) (*pb.SearchResponse, error) {
	fault := p.searched[0]
	p.searched = p.searched[1:]
	return nil, fault
}

func (p *publicCloud) OpenRegistration(context.Context, *pb.OpenRegistrationRequest) (*pb.OpenRegistrationResponse, error) {
	directory, err := p.GetDirectory(context.Background(), nil)
	p.begun++
	return &pb.OpenRegistrationResponse{
		Challenge: bytes.Repeat([]byte{p.begun}, 16), CloudEncryptionKeyStatement: directory.GetCloudEncryptionKeyStatement(),
	}, err
}

func (p *publicCloud) Register(_ context.Context, request *pb.RegisterRequest) (*pb.RegisterResponse, error) {
	p.applied = append(p.applied, request.GetOpening().GetSessionId()[0])
	fault := p.faults[0]
	p.faults = p.faults[1:]
	return nil, fault
}

func (p *publicCloud) sign(label string, message proto.Message) *pb.SignedStatement {
	return p.signBy(p.signer, label, message)
}

func (p *publicCloud) signBy(signer crypto.Signer, label string, message proto.Message) *pb.SignedStatement {
	signed, err := protocol.SignStatement(label, message, signer)
	if err != nil {
		p.t.Error(err)
	}
	return signed
}

func (p *publicCloud) GetDirectory(_ context.Context, request *pb.GetDirectoryRequest) (*pb.GetDirectoryResponse, error) {
	p.asked++
	if p.away {
		return nil, refused(codes.Unavailable, "UNAVAILABLE")
	}
	if len(p.silence) > 0 {
		fault := p.silence[0]
		p.silence = p.silence[1:]
		return nil, fault
	}
	return &pb.GetDirectoryResponse{
		CloudEncryptionKeyStatement: p.sign("ek", &pb.EncryptionKeyStatement{
			Identity:           proto.String("C:union"),
			VerifyingKeyDigest: transcript.Digest(verifyingKey(p.t, p.signer)),
			KeyId:              p.key.KeyID,
			Kem:                proto.Uint32(keys.KEM),
			EncryptionKey:      p.key.EncryptionKey,
			NotBefore:          proto.Uint64(p.now - 1),
			NotAfter:           proto.Uint64(p.now + 1000),
		}),
		RevocationHead:             p.head(),
		CertificateRevocationLists: p.crlsBeside(request.GetHeldCrls()),
		TrustBundle:                &pb.SignedStatement{Statement: p.bundle.Statement, Signature: p.bundle.Signature},
	}, nil
}

func (p *publicCloud) head() *pb.SignedStatement { return p.headOf(p.listed) }

func (p *publicCloud) headOf(listed revoked.Set) *pb.SignedStatement {
	return p.sign("rl", &pb.RevocationHead{
		Sequence:       proto.Uint64(p.now),
		ThisUpdate:     proto.Uint64(p.now),
		NextUpdate:     proto.Uint64(p.now + 1000),
		Root:           listed.Root(),
		Entries:        proto.Uint64(uint64(len(listed))),
		Revision:       proto.Uint64(p.now),
		BundleSequence: proto.Uint64(1),
		Crls:           p.pins,
	})
}

func (p *publicCloud) GetRevocationShards(_ context.Context, request *pb.GetRevocationShardsRequest) (*pb.GetRevocationShardsResponse, error) {
	if p.away {
		return nil, refused(codes.Unavailable, "UNAVAILABLE")
	}
	excerpt := p.listed.Excerpt(p.head(), request.GetPrefixes()...)
	excerpt.CertificateRevocationLists = p.crlsBeside(request.GetHeldCrls())
	return &pb.GetRevocationShardsResponse{Revocations: excerpt}, nil
}

func (p *publicCloud) crlsBeside(held [][]byte) (beside [][]byte) {
	for _, crl := range p.crls {
		if !slices.ContainsFunc(held, func(one []byte) bool { return bytes.Equal(one, transcript.Digest(crl)) }) {
			beside = append(beside, crl)
		}
	}
	return beside
}

func (p *publicCloud) PutEncryptionKey(_ context.Context, request *pb.PutEncryptionKeyRequest) (*pb.PutEncryptionKeyResponse, error) {
	named := p.open(request.GetOpening())
	p.taken = append(p.taken, named.GetKeyId())
	if len(p.faults) > 0 {
		fault := p.faults[0]
		p.faults = p.faults[1:]
		return nil, fault
	}
	ekack := &pb.RenewalReceipt{KeyId: named.GetKeyId(), DoneAt: proto.Uint64(p.now)}
	if p.receipt != nil {
		p.receipt(ekack)
	}
	return &pb.PutEncryptionKeyResponse{Receipt: p.sign("ekack", ekack), KeyStatement: p.anew}, nil
}

// open opens ekput, written out here once more from docs/protocol.md, and verifies both signatures by PUK_X.
func (p *publicCloud) open(opening *pb.SealedOpening) *pb.EncryptionKeyStatement {
	ekput, named := &pb.EncryptionKeyRenewal{}, &pb.EncryptionKeyStatement{}
	err := proto.Unmarshal(p.opened("ekput", opening), ekput)
	if err == nil {
		err = protocol.OpenStatement("ek", named, ekput.GetEncryptionKeyStatement(), p.who)
	}
	signed := transcript.T("ekput", ekput.GetEncryptionKeyStatement().GetStatement(), nil, transcript.U64(opening.GetSentAt()), []byte("C:union"))
	if err != nil || ekput.Address != nil || !keys.Verify(p.who, signed, ekput.GetSignature()) {
		p.t.Errorf("ekput %v: %v", ekput, err)
	}
	return named
}

// opened gives the message under the seal of a single call.
func (p *publicCloud) opened(name string, opening *pb.SealedOpening) []byte {
	info := transcript.T("hpke", []byte(name), nil, []byte("C:union"), p.key.KeyID, nil, transcript.U64(opening.GetSentAt()))
	padded, err := p.key.Open(opening.GetSealed(), info)
	if err != nil {
		p.t.Errorf("%s: %v", name, err)
		return nil
	}
	return padded[4 : 4+binary.BigEndian.Uint32(padded)]
}

func verifyingKey(t *testing.T, signer crypto.Signer) []byte {
	t.Helper()
	key, err := keys.VerifyingKey(signer)
	must(t, err)
	return key
}

// epochKeys is a decryption key as the vectors give it.
type epochKeys struct {
	MLKEMSeed vectors.Bytes `json:"mlkem_seed"`
	P256      vectors.Bytes `json:"p256_private_key"`
}

func (e epochKeys) open(t *testing.T) *keys.DecryptionKey {
	t.Helper()
	half, err := ecdh.P256().NewPrivateKey(e.P256)
	must(t, err)
	key, err := keys.NewDecryptionKey(e.MLKEMSeed, curve.SoftwareKey{PrivateKey: half}, half.PublicKey())
	must(t, err)
	return key
}

// clinic is a registered patient at home, and the public cloud.
type clinic struct {
	*publicCloud
	directory string
	cloud     *Cloud
	said      []string
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	var cast struct {
		Now   protocol.Instant
		Cloud struct {
			epochKeys
			SigningKey vectors.Bytes `json:"signing_key"`
			RetiredKey vectors.Bytes `json:"retired_signing_key"`
		}
		Authority    struct{ CRL vectors.Bytes }
		Lists        kept   `json:"revocation_head"`
		TrustBundles []kept `json:"trust_bundles"`
	}
	vectors.ReadWhole(t, "parties.json", &cast)
	made := &clinic{directory: t.TempDir()}
	made.publicCloud = &publicCloud{
		t: t, now: cast.Now, signer: vectors.Signer(t, cast.Cloud.SigningKey), key: cast.Cloud.open(t),
		bundle:  cast.TrustBundles[len(cast.TrustBundles)-1],
		retired: vectors.Signer(t, cast.Cloud.RetiredKey), crls: [][]byte{cast.Authority.CRL},
	}
	list := &pb.RevocationHead{}
	must(t, proto.Unmarshal(cast.Lists.Statement, list))
	made.pins = list.GetCrls()
	trust, err := json.Marshal(struct{ Statement, Signature []byte }{made.bundle.Statement, made.bundle.Signature})
	must(t, err)
	home, err := CreateHome(made.directory, "P:wang", "", "a PIN", trust, nil)
	must(t, err)
	made.who = verifyingKey(t, home.Store.Signer())
	made.enter(home)
	return made
}

// enter opens the client of who is at home.
func (c *clinic) enter(home *Home) {
	c.t.Helper()
	member, err := newMember(home, Dialing{}, func() protocol.Instant { return c.now })
	must(c.t, err)
	c.cloud = newCloud(member, served(c.t, func(server grpc.ServiceRegistrar) {
		pb.RegisterDirectoryServiceServer(server, c.publicCloud)
		pb.RegisterMembershipServiceServer(server, c.publicCloud)
		pb.RegisterRegistrationServiceServer(server, c.publicCloud)
		pb.RegisterSearchServiceServer(server, c.publicCloud)
		pb.RegisterRevocationServiceServer(server, c.publicCloud)
	}))
}

// crash ends the program where it is, and starts the next one.
func (c *clinic) crash() {
	c.t.Helper()
	c.cloud.member.home.Close()
	home, err := OpenHome(c.directory, "a PIN", nil)
	must(c.t, err)
	c.enter(home)
}

// register has the patient take the credential of the vectors' patient, in its first epoch, whose key id it gives.
func (c *clinic) register() []byte {
	c.t.Helper()
	first := c.present()
	issued := vectors.Read[struct {
		Issuer             vectors.Bytes `json:"issuer_public_key"`
		Transcript         vectors.Bytes
		RegistrationPoint  vectors.Bytes `json:"registration_point"`
		RegistrationSecret vectors.Bytes `json:"registration_secret"`
		Serial             vectors.Bytes
	}](c.t, "issuing.json")[0]
	public, err := curve.PublicPoint(issued.RegistrationPoint, issued.Issuer, issued.Transcript)
	must(c.t, err)
	party := &protocol.VerifiedParty{
		Role: pb.Role_ROLE_PATIENT, Serial: issued.Serial, RegistrationPoint: issued.RegistrationPoint, PublicPoint: public,
		KeyStatement: statementOf(c.t, "ks of the patient"),
	}
	must(c.t, c.cloud.member.install(&protocol.Registered{Party: party, Secret: issued.RegistrationSecret}, nil))
	if !bytes.Equal(c.present(), first) || c.cloud.member.home.state.Next != nil {
		c.t.Error("the epoch of reg1 is not the one that is announced")
	}
	return first
}

func statementOf(t *testing.T, name string) *pb.SignedStatement {
	t.Helper()
	for _, vector := range vectors.Read[struct {
		Name string
		kept
	}](t, "statements.json") {
		if vector.Name == name {
			return &pb.SignedStatement{Statement: vector.Statement, Signature: vector.Signature}
		}
	}
	t.Fatalf("there is no statement %s", name)
	return nil
}

// present gives the key id of the EK_X to act with.
func (c *clinic) present() []byte {
	c.t.Helper()
	epoch, err := c.cloud.member.presentEpoch(c.now)
	must(c.t, err)
	signed, err := epoch.signed()
	must(c.t, err)
	named := &pb.EncryptionKeyStatement{}
	must(c.t, protocol.Peek(named, signed))
	return named.GetKeyId()
}

func (c *clinic) holds(keyID []byte) bool {
	c.t.Helper()
	ring, err := c.cloud.member.keyring()
	must(c.t, err)
	_, err = ring.Find(keyID)
	return err == nil
}

func (c *clinic) tell(line string) { c.said = append(c.said, line) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
