package keys

import (
	"bufio"
	"os"
	"strings"

	"medunion.example/clients/go/refusal"
)

// ReadPIN reads the first line of a file that only its owner may read. Refuses with PIN_UNAVAILABLE.
func ReadPIN(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", refusal.Because(err, refusal.PinUnavailable, "the PIN file can't be read")
	}
	defer file.Close()
	status, err := file.Stat()
	if err != nil || !status.Mode().IsRegular() || status.Mode().Perm()&0o077 != 0 {
		return "", refusal.New(refusal.PinUnavailable, "the PIN file has to be a plain file of mode 0600")
	}
	lines := bufio.NewScanner(file)
	if !lines.Scan() || strings.TrimSpace(lines.Text()) == "" {
		return "", refusal.New(refusal.PinUnavailable, "the PIN file is empty")
	}
	return strings.TrimSpace(lines.Text()), nil
}
