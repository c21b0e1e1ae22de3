package protocol

import (
	"time"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/transcript"
)

// ConsultationLife is how long a consultation lives at most.
const ConsultationLife = 12 * time.Hour

// MostBiosignal is how many bytes M_SD has at most, in P2 and in a deposit.
const MostBiosignal = 16 * 1024 * 1024

// CodeDigest gives SHA-256(T("code", KS_D, its signature, Cert_D)), 32 bytes: what the doctor's code shows (X13, B4).
func CodeDigest(keyStatement *pb.SignedStatement, certificate []byte) []byte {
	return transcript.Digest(transcript.T("code", keyStatement.GetStatement(), keyStatement.GetSignature(), certificate))
}

// openingTranscript is what Sig_P1 covers: eq. 13, and the doctor (B4).
func openingTranscript(p1 *pb.ConsultationOpening, issuer []byte, doctorID string, keyID, sessionID []byte) []byte {
	return transcript.T("P1",
		p1.GetRegistrationPoint(),
		transcript.Text(p1.GetPatientId()),
		p1.GetEphemeralPoint(),
		p1.GetBiometricPassword(),
		issuer,
		transcript.U64(p1.GetSentAt()),
		transcript.Text(doctorID),
		keyID,
		sessionID,
		transcript.Digest(p1.GetContribution()))
}

// consultationHash gives TH1 = H(T("th1", H(p1 plaintext), ID_D, M_D, R_D1, H(Cert_D), R_D2, T_D1, session id)) (B11, B13).
func consultationHash(openingPlaintext []byte, d1 *pb.ConsultationReply, credential, sessionID []byte) []byte {
	return transcript.Digest(transcript.T("th1",
		transcript.Digest(openingPlaintext),
		transcript.Text(d1.GetDoctorId()),
		credential,
		d1.GetRegistrationPoint(),
		transcript.Digest(d1.GetDoctorCertificate()),
		d1.GetEphemeralPoint(),
		transcript.U64(d1.GetSentAt()),
		sessionID))
}

// replyTranscript is what Sig_D1 covers: eq. 19, with kc_D in SEK_1's slot (B5).
func replyTranscript(d1 *pb.ConsultationReply, issuer, transcriptHash []byte) []byte {
	return transcript.T("D1",
		d1.GetEphemeralPoint(),
		transcript.Text(d1.GetDoctorId()),
		transcript.U64(d1.GetSentAt()),
		transcript.Digest(d1.GetDoctorCertificate()),
		d1.GetKeyConfirmation(),
		issuer,
		transcriptHash)
}

// biosignalTranscript is what Sig_P2 covers: T("P2", TH1, ID_D, H(Cert_D), H(M_SD), H(grant) or empty, T_P2) (B15).
func biosignalTranscript(transcriptHash []byte, doctorID string, certificate []byte, p2 *pb.BiosignalDelivery) []byte {
	return transcript.T("P2",
		transcriptHash,
		transcript.Text(doctorID),
		transcript.Digest(certificate),
		p2.GetBiosignalDigest(),
		grantDigest(p2.GetGrant()),
		transcript.U64(p2.GetSentAt()))
}

// diagnosisTranscript is what Sig_D5 covers: T("D5", TH1, H(M_DINF), H(Sig_P2), [H(Sig_HPC2)...], T_D5).
func diagnosisTranscript(transcriptHash, biosignalSignature []byte, d5 *pb.DiagnosisDelivery) []byte {
	return transcript.T("D5",
		transcriptHash,
		transcript.Digest(d5.GetDiagnosis()),
		transcript.Digest(biosignalSignature),
		transcript.List(d5.GetBasedOn()...),
		transcript.U64(d5.GetSentAt()))
}

// receiptTranscript is what P6's signature covers: T("P6", H(Sig_D5), T).
func receiptTranscript(p6 *pb.DiagnosisReceipt) []byte {
	return transcript.T("P6", p6.GetDiagnosisDigest(), transcript.U64(p6.GetSentAt()))
}
