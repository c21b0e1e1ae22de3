package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

const step = 512 * 1024 // an offset is a multiple of it

// sessionVector is a message of the record session of the vectors that goes on.
type sessionVector struct {
	Name               string
	Message, Plaintext vectors.Bytes
	Frame              *struct{ Key, IV vectors.Bytes }
	Signed             *struct{ Fields []vectors.Bytes }
}

// play is how one session of a hospital goes.
type play struct {
	until int   // how much of M_EMR || zeros has gone out in all when it ends
	ends  error // how; nil for a stream that ends without a word
	whole bool  // all goes out, and the last frame
	away  bool  // nobody answers
}

// ward is a hospital with one record, whose sessions are all the one of the vectors: the same draws, the same keys.
type ward struct {
	pb.UnimplementedRecordServiceServer
	*clinic
	messages map[string]sessionVector
	content  []byte // M_EMR
	later    []byte // what it is after the first session
	plays    []play
	resumed  []*pb.Resumption // of each D4
	hospital *protocol.Peer
	signing  crypto.Signer
	doctor   *protocol.Party
	asker    *Asker
}

func newWard(t *testing.T, plays ...play) *ward {
	t.Helper()
	w := &ward{clinic: newClinic(t), messages: map[string]sessionVector{}, plays: plays}
	_, err := w.cloud.Refresh(t.Context())
	must(t, err)
	for _, vector := range vectors.Read[sessionVector](t, "record.json") {
		w.messages[vector.Name] = vector
	}
	var cast struct {
		Parties struct{ Doctor, Hospital actor }
	}
	vectors.ReadWhole(t, "parties.json", &cast)
	w.doctor = cast.Parties.Doctor.act(w.clinic, 1, pb.Role_ROLE_DOCTOR, "doctor")
	verifier := w.cloud.member.Verifier()
	party, err := verifier.Party(statementOf(t, "ks of the hospital"), pb.Role_ROLE_HOSPITAL, w.now)
	must(t, err)
	signed := cast.Parties.Hospital.EncryptionKey
	key, err := verifier.EncryptionKey(&pb.SignedStatement{Statement: signed.Statement, Signature: signed.Signature}, party, w.now)
	must(t, err)
	w.hospital = &protocol.Peer{VerifiedParty: party, EncryptionKey: key}
	w.signing = vectors.Signer(t, cast.Parties.Hospital.SigningKey)
	w.content = w.record("scan ")
	w.later = w.content
	w.asker = &Asker{Member: w.cloud.member, Cloud: w.cloud, Tell: w.tell}
	return w
}

// fetch gives M_EMR as the doctor gets it.
func (w *ward) fetch() ([]byte, error) {
	w.t.Helper()
	coming := w.asker.newIncoming("H:alpha", DefaultMostRecords, w.open)
	record, err := coming.take(w.t.Context())
	coming.close()
	if err != nil {
		return nil, err
	}
	defer record.Close()
	reader, err := record.spool.reader()
	must(w.t, err)
	return io.ReadAll(reader)
}

// open opens a session as the doctor of the vectors, who draws what was recorded.
func (w *ward) open() (*session, error) {
	w.t.Helper()
	if w.plays[0].away {
		w.plays = w.plays[1:]
		return nil, fromStatus(refused(codes.Unavailable, "UNAVAILABLE"), nil, "")
	}
	var entropy map[string]vectors.Bytes
	vectors.ReadWhole(w.t, "entropy.json", &entropy)
	left, drawing := entropy["D3-read-on"], *w.cloud.member
	drawing.entropy = func(size int) []byte {
		drawn := left[:size:size]
		left = left[size:]
		return drawn
	}
	asked := w.asked()
	shown := protocol.Shown{PatientID: asked.GetPatientId(), Access: asked.GetAccess()}
	opened := &session{connection: served(w.t, func(server grpc.ServiceRegistrar) { pb.RegisterRecordServiceServer(server, w) })}
	opened.ctx, opened.cancel = context.WithCancelCause(w.t.Context())
	intent := protocol.Intent{Shown: shown, Scope: asked.GetScope(), Blind: asked.GetBlind()}
	return opened, opened.establish(&drawing, w.doctor, w.hospital, intent)
}

// asked gives the question of the vectors, to which D3 commits.
func (w *ward) asked() *pb.RecordQuery {
	asked := &pb.RecordQuery{}
	must(w.t, proto.Unmarshal(w.messages["D4-on"].Plaintext, asked))
	return asked
}

// record gives M_EMR of 3 MB of these words.
func (w *ward) record(words string) []byte {
	w.t.Helper()
	content := bytes.Repeat([]byte(words), 600_000)
	_, manifest := record(w.t, content, "scan.bin")
	manifest.Records[0].Handle = w.asked().GetScope().GetHandles()[0]
	encoded, err := rules.Marshal(manifest)
	must(w.t, err)
	return append(transcript.Frame(encoded), content...)
}

func (w *ward) OpenSession(stream grpc.BidiStreamingServer[pb.OpenSessionRequest, pb.OpenSessionResponse]) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	reply := &pb.SealedReply{}
	must(w.t, proto.Unmarshal(w.messages["H1-read-on"].Message, reply))
	if err := stream.Send(&pb.OpenSessionResponse{Content: &pb.OpenSessionResponse_Reply{Reply: reply}}); err != nil {
		return err
	}
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	now := w.plays[0]
	w.plays = w.plays[1:]
	resumption := w.query(request.GetFrame()).GetResumption()
	w.resumed = append(w.resumed, resumption)
	sent := slicesOf(w.content)
	w.content = w.later
	var sequence uint64
	send := func(plaintext []byte, last bool) error {
		frame := w.sealed(reply.GetSessionId(), sequence, plaintext, last)
		sequence++
		return stream.Send(&pb.OpenSessionResponse{Content: &pb.OpenSessionResponse_Frame{Frame: frame}})
	}
	for offset := int(resumption.GetOffset()); offset < len(sent) && (now.whole || offset < now.until); offset += 1 << 16 {
		if err := send(sent[offset:min(offset+1<<16, len(sent))], false); err != nil {
			return err
		}
	}
	if !now.whole {
		return now.ends
	}
	return send(w.end(), true)
}

// slicesOf gives M_EMR || zeros, padded to the size of its class, which is written out here once more: above 2 MiB, multiples of 64 KiB.
func slicesOf(content []byte) []byte {
	return append(bytes.Clone(content), make([]byte, (1<<16-len(content)%(1<<16))%(1<<16))...)
}

func (w *ward) query(frame *pb.SessionFrame) *pb.RecordQuery {
	query := &pb.RecordQuery{}
	plaintext, err := w.aead("D4-on").Open(nil, w.messages["D4-on"].Frame.IV, frame.GetSealed(), frameContext("d4", frame.GetSessionId(), 0, frame.GetSentAt(), 1))
	must(w.t, err)
	must(w.t, rules.Parse(plaintext[4:4+binary.BigEndian.Uint32(plaintext)], query))
	return query
}

// end gives F(h2) || zeros, signed over all of M_EMR as it is now.
func (w *ward) end() []byte {
	fields := w.messages["H2-1-on"].Signed.Fields
	signed := transcript.T("H2", fields[0], fields[1], transcript.Digest(w.content), fields[3], transcript.U64(1), transcript.U64(w.now))
	signature, err := keys.Sign(w.signing, signed)
	must(w.t, err)
	h2, err := rules.Marshal(&pb.RecordEnd{
		Outcome: pb.SessionOutcome_SESSION_OUTCOME_SERVED.Enum(), Version: proto.Uint64(1), SentAt: proto.Uint64(w.now), Signature: signature,
	})
	must(w.t, err)
	return append(transcript.Frame(h2), make([]byte, 2048-4-len(h2))...)
}

func (w *ward) sealed(sessionID []byte, sequence uint64, plaintext []byte, last bool) *pb.SessionFrame {
	ends := uint64(0)
	if last {
		ends = 1
	}
	nonce := bytes.Clone(w.messages["H2-0-on"].Frame.IV)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^sequence)
	return &pb.SessionFrame{
		SessionId: sessionID, Sequence: proto.Uint64(sequence), Last: proto.Bool(last), SentAt: proto.Uint64(w.now),
		Sealed: w.aead("H2-0-on").Seal(nil, nonce, plaintext, frameContext("h2", sessionID, sequence, w.now, ends)),
	}
}

func (w *ward) aead(name string) cipher.AEAD {
	block, err := aes.NewCipher(w.messages[name].Frame.Key)
	must(w.t, err)
	aead, err := cipher.NewGCM(block)
	must(w.t, err)
	return aead
}

func frameContext(name string, sessionID []byte, sequence, sentAt, last uint64) []byte {
	return transcript.T(name, sessionID, transcript.U64(sequence), transcript.U64(sentAt), transcript.U64(last))
}

// offsets gives from where each D4 asked; 0 for the beginning.
func (w *ward) offsets() (offsets []uint64) {
	for _, resumption := range w.resumed {
		offsets = append(offsets, resumption.GetOffset())
	}
	return offsets
}

func TestRecordWhoseSessionIsLostGoesOnBehindWhatCame(t *testing.T) {
	for name, ends := range map[string]error{
		"the stream ends":      nil,
		"the line breaks":      refused(codes.Unavailable, ""),
		"the hour is over":     refused(codes.DeadlineExceeded, "CALL_OVERDUE"),
		"the reader was slow":  refused(codes.ResourceExhausted, "READER_STALLED"),
		"the hospital is full": refused(codes.ResourceExhausted, "LIMIT_REACHED"),
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t, play{until: 3*step + 1, ends: ends}, play{whole: true})
			began := time.Now()
			got, err := w.fetch()
			if err != nil || !bytes.Equal(got, w.content) {
				t.Errorf("%s: %d bytes: %v", name, len(got), err)
			}
			if offsets := w.offsets(); len(offsets) != 2 || offsets[0] != 0 || offsets[1] != 3*step {
				t.Errorf("%s: from %v on", name, offsets)
			}
			manifest := w.content[4 : 4+binary.BigEndian.Uint32(w.content)]
			if w.resumed[0] != nil || !bytes.Equal(w.resumed[1].GetManifestDigest(), transcript.Digest(manifest)) {
				t.Errorf("%s: of another manifest", name)
			}
			said := "The record from H:alpha broke off: 1.6 of 3.0 MB came. It goes on behind that in 1 s."
			if time.Since(began) != time.Second || len(w.said) != 1 || w.said[0] != said {
				t.Errorf("%s: after %s it said %q", name, time.Since(began), w.said)
			}
		})
	}
}

func TestPausesBeginAnewWheneverMoreCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := play{away: true}
		w := newWard(t, play{until: 2 * step}, away, away, play{until: 2*step + 1}, away, play{until: 4 * step}, away, play{whole: true})
		began := time.Now()
		if got, err := w.fetch(); err != nil || !bytes.Equal(got, w.content) {
			t.Errorf("%d bytes: %v", len(got), err)
		}
		if took := time.Since(began); took != (1+2+4+8+15+1+2)*time.Second {
			t.Errorf("it took %s: %q", took, w.said)
		}
	})
}

func TestRecordIsGivenUpAfterTheLastPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := play{away: true}
		w := newWard(t, play{until: step}, away, away, away, away, away, away)
		began := time.Now()
		if _, err := w.fetch(); !refusal.Is(err, refusal.Unavailable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != time.Minute || len(w.plays) > 0 {
			t.Errorf("after %s, and %d more: %q", took, len(w.plays), w.said)
		}
	})
}

func TestRecordOfWhichNothingCameIsNotAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, play{until: step - 1<<16}, play{whole: true})
		if _, err := w.fetch(); !refusal.Is(err, refusal.RecordCutShort) || len(w.plays) != 1 {
			t.Errorf("%d more: %v", len(w.plays), err)
		}
	})
}

func TestRecordThatWasChangedMeanwhileComesFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, play{until: 2 * step}, play{ends: refused(codes.FailedPrecondition, "RECORD_CHANGED")}, play{whole: true})
		w.later = w.record("other")
		if got, err := w.fetch(); err != nil || !bytes.Equal(got, w.later) {
			t.Errorf("%d bytes: %v", len(got), err)
		}
		if offsets := w.offsets(); len(offsets) != 3 || offsets[1] != 2*step || w.resumed[2] != nil {
			t.Errorf("from %v on", offsets)
		}
		if !strings.Contains(w.said[len(w.said)-1], "was changed meanwhile") {
			t.Errorf("it said %q", w.said)
		}
	})
}

func TestRefusalEndsARecordThatBroke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, play{until: 2 * step}, play{ends: refused(codes.PermissionDenied, "GRANT_REVOKED")}, play{whole: true})
		if _, err := w.fetch(); !refusal.Is(err, refusal.GrantRevoked) || len(w.plays) != 1 {
			t.Errorf("%d more: %v", len(w.plays), err)
		}
	})
}

func TestRecordWhoseRestIsOfAnotherIsRefusedAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, play{until: 2 * step}, play{whole: true})
		w.later = w.record("other")
		if _, err := w.fetch(); refusal.Precise(err) != refusal.SignatureInvalid || len(w.plays) > 0 {
			t.Errorf("%d more: %v", len(w.plays), err)
		}
	})
}
