package protocol

import (
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/group"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/transcript"
)

// AskForRoom makes a doctor's request for a room of this hospital's relay, signed over T("room", ID_D, ID_HPC, EK_D, nonce, T). Nothing in
// it is secret. It draws 16 bytes for the nonce.
func AskForRoom(doctor *Party, hospitalID string, now Instant, entropy group.Entropy) (*pb.OpenRoomRequest, error) {
	request := &pb.OpenRoomRequest{
		KeyStatement:           doctor.KeyStatement,
		DoctorCertificate:      doctor.Certificate,
		EncryptionKeyStatement: doctor.EncryptionKey,
		Nonce:                  entropy(16),
		SentAt:                 proto.Uint64(now),
	}
	signed := transcript.T("room",
		transcript.Text(doctor.Identity),
		transcript.Text(hospitalID),
		doctor.EncryptionKey.GetStatement(),
		request.GetNonce(),
		transcript.U64(now))
	var err error
	request.Signature, err = keys.Sign(doctor.Signer, signed)
	return request, err
}

// AskToClose makes a doctor's request to close a room of its own. No room has this number again, so it needs no time and no nonce.
func AskToClose(doctor *Party, hospitalID string, room []byte) (*pb.CloseRoomRequest, error) {
	signature, err := keys.Sign(doctor.Signer, closeTranscript(doctor.Identity, hospitalID, room))
	return &pb.CloseRoomRequest{RoomId: room, Signature: signature}, err
}

// closeTranscript is what closes a room: T("room-close", ID_D, ID_HPC, room).
func closeTranscript(doctorID, hospitalID string, room []byte) []byte {
	return transcript.T("room-close", transcript.Text(doctorID), transcript.Text(hospitalID), room)
}
