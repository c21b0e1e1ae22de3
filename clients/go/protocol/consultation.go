package protocol

import (
	"crypto/subtle"
	"time"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// ConsultationLife is how long a consultation lives at most.
const ConsultationLife = 12 * time.Hour

// MostAmendments is how often the diagnosis of a consultation is amended at most. Frame k of the doctor's direction is D5 k, so its number
// counts them.
const MostAmendments = 8

// MostBiosignal is how many bytes M_SD has at most, in P2 and in a deposit.
const MostBiosignal = 16 * 1024 * 1024

// consultationKind is the handshake of a patient with a doctor: P1 and D1 (eq. 11-22), which give SEK_1.
var consultationKind = &kind{
	openingLabel:      "P1",
	replyLabel:        "D1",
	initiators:        []pb.Role{pb.Role_ROLE_PATIENT},
	responder:         pb.Role_ROLE_DOCTOR,
	newOpening:        func() opening { return &pb.ConsultationOpening{} },
	newReply:          func() reply { return &pb.ConsultationReply{} },
	initiatorID:       func(message opening) string { return message.(*pb.ConsultationOpening).GetPatientId() },
	responderID:       func(message reply) string { return message.(*pb.ConsultationReply).GetDoctorId() },
	openingTranscript: consultationOpeningTranscript,
	transcriptHash:    consultationHash,
	replyTranscript:   consultationReplyTranscript,
	keyRoles:          "PD",
	requireOpening:    requireBiometricPassword,
	replyOf: func(doctor *Party) reply {
		return &pb.ConsultationReply{DoctorId: proto.String(doctor.Identity), DoctorCertificate: doctor.Certificate}
	},
}

// requireBiometricPassword requires B_P to be the one of the patient's registration. It authenticates nobody by itself.
func requireBiometricPassword(message opening, patient *VerifiedParty) error {
	attribute := AttributeOf(pb.Role_ROLE_PATIENT, message.(*pb.ConsultationOpening).GetBiometricPassword())
	if subtle.ConstantTimeCompare(attribute, patient.Attribute) != 1 {
		return refusal.New(refusal.CredentialInvalid, "the biometric password is not the one registered")
	}
	return nil
}

// CodeDigest gives SHA-256(T("code", KS_D, its signature, Cert_D)), 32 bytes: what the doctor's code shows (X13, B4).
func CodeDigest(keyStatement *pb.SignedStatement, certificate []byte) []byte {
	return transcript.Digest(transcript.T("code", keyStatement.GetStatement(), keyStatement.GetSignature(), certificate))
}

// consultationOpeningTranscript is what Sig_P1 covers: eq. 13, and the doctor (B4).
func consultationOpeningTranscript(message opening, issuer []byte, doctorID string, keyID, sessionID []byte) []byte {
	p1 := message.(*pb.ConsultationOpening)
	return transcript.T("P1",
		p1.GetRegistrationPoint(),
		transcript.Text(p1.GetPatientId()),
		p1.GetAgreementPoint(),
		p1.GetEphemeralPoint(),
		p1.GetBiometricPassword(),
		issuer,
		transcript.U64(p1.GetSentAt()),
		transcript.Text(doctorID),
		p1.GetResponderSerial(),
		keyID,
		sessionID,
		transcript.Digest(p1.GetContribution()))
}

// consultationHash gives TH1 = H(T("th1", H(p1 plaintext), ID_D, M_D, R_D1, H(Cert_D), R_D2, E_D, T_D1, session id)) (B11, B13).
func consultationHash(openingPlaintext []byte, message reply, credential, sessionID []byte) []byte {
	d1 := message.(*pb.ConsultationReply)
	return transcript.Digest(transcript.T("th1",
		transcript.Digest(openingPlaintext),
		transcript.Text(d1.GetDoctorId()),
		credential,
		d1.GetRegistrationPoint(),
		transcript.Digest(d1.GetDoctorCertificate()),
		d1.GetAgreementPoint(),
		d1.GetEphemeralPoint(),
		transcript.U64(d1.GetSentAt()),
		sessionID))
}

// consultationReplyTranscript is what Sig_D1 covers: eq. 19, with kc_D in SEK_1's slot (B5).
func consultationReplyTranscript(message reply, issuer, transcriptHash []byte) []byte {
	d1 := message.(*pb.ConsultationReply)
	return transcript.T("D1",
		d1.GetAgreementPoint(),
		d1.GetEphemeralPoint(),
		transcript.Text(d1.GetDoctorId()),
		transcript.U64(d1.GetSentAt()),
		transcript.Digest(d1.GetDoctorCertificate()),
		d1.GetKeyConfirmation(),
		issuer,
		transcriptHash)
}

// biosignalTranscript is what Sig_P2 covers: T("P2", TH1, ID_D, H(Cert_D), ID_P, H(M_SD), H(grant) or empty, T_P2) (B15).
func biosignalTranscript(transcriptHash []byte, doctorID string, certificate []byte, p2 *pb.BiosignalDelivery) []byte {
	return transcript.T("P2",
		transcriptHash,
		transcript.Text(doctorID),
		transcript.Digest(certificate),
		transcript.Text(p2.GetPatientId()),
		p2.GetBiosignalDigest(),
		digestOf("grant", p2.GetConsent().GetGrant()),
		transcript.U64(p2.GetSentAt()))
}

// diagnosisTranscript is what Sig_D5 covers: T("D5", TH1, H(M_DINF), H(Sig_P2), [H(Sig_HPC2)...], T_D5, amends or empty).
func diagnosisTranscript(transcriptHash, biosignalSignature []byte, d5 *pb.DiagnosisDelivery) []byte {
	return transcript.T("D5",
		transcriptHash,
		transcript.Digest(d5.GetDiagnosis()),
		transcript.Digest(biosignalSignature),
		transcript.List(d5.GetBasedOn()...),
		transcript.U64(d5.GetSentAt()),
		d5.GetAmends())
}

// receiptTranscript is what P6's signature covers: T("P6", H(Sig_D5), T).
func receiptTranscript(p6 *pb.DiagnosisReceipt) []byte {
	return transcript.T("P6", p6.GetDiagnosisDigest(), transcript.U64(p6.GetSentAt()))
}
