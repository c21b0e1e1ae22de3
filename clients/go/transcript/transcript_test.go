package transcript_test

import (
	"bytes"
	"testing"

	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/transcript"
)

type encoded struct {
	Label              string
	Fields             []vectors.Bytes
	Transcript, Sha256 vectors.Bytes
}

func TestTranscript(t *testing.T) {
	for _, vector := range vectors.Read[encoded](t, "transcript.json") {
		fields := make([][]byte, len(vector.Fields))
		for i, field := range vector.Fields {
			fields[i] = field
		}
		made := transcript.T(vector.Label, fields...)
		if !bytes.Equal(made, vector.Transcript) || !bytes.Equal(transcript.Digest(made), vector.Sha256) {
			t.Errorf("T(%q, %d fields) is %x", vector.Label, len(fields), made)
		}
	}
}
