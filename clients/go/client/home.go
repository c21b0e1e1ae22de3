package client

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/files"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const (
	stateFile  = "state.json"
	keysFile   = "keys.json"
	deviceFile = "device.secret"
	replayFile = "replay.json"
	lockFile   = "lock"
	secretSize = 32
)

// state is what a party keeps beside its keys. Nothing in it is secret; what has to be believed in it is signed.
type state struct {
	Identity     string       `json:"identity"`
	Token        string       `json:"token,omitempty"` // RFC 7512 URI, where the keys are in a token
	TrustBundle  []byte       `json:"trust_bundle"`    // the newest that was pinned or followed
	Directory    []byte       `json:"directory,omitempty"`
	KeyStatement []byte       `json:"key_statement,omitempty"`
	Certificate  []byte       `json:"certificate,omitempty"`
	Epochs       []epochState `json:"epochs"`         // first the one that is announced
	Next         *epochState  `json:"next,omitempty"` // made, and the cloud's receipt for it has not come yet
	UnderWay     []byte       `json:"under_way,omitempty"`
	Grants       [][]byte     `json:"grants,omitempty"` // that a patient gave, in the order of giving
	LateList     lateList     `json:"late_list,omitzero"`
	// KnownLogs are the newest heads of logs that a patient checked, by whose they are, as their authors signed them.
	KnownLogs map[string][]byte `json:"known_logs,omitempty"`
	// LogForks are pairs of heads of which the second does not follow the first: evidence.
	LogForks [][2][]byte `json:"log_forks,omitempty"`
}

// lateList is the latest moment at which a revocation list was used though it was over, and the list's number.
type lateList struct {
	Sequence uint64           `json:"sequence"`
	UsedAt   protocol.Instant `json:"used_at"`
}

// Home is the directory of one party: its keys or the token's URI, its state, a patient's device secret, a doctor's replay memory. One
// program at a time works in it.
type Home struct {
	directory string
	lock      *os.File
	state     state
	// Store holds the party's keys.
	Store keys.Store
}

// OpenToken opens the token that a URI names, with the PIN; it makes the party's keys there if create says so. The command line puts
// keys/token behind it.
type OpenToken func(uri, pin string, create bool) (keys.Store, error)

// CreateHome makes a party's home and keys: in a file of the home, or in the token that uri names. trust is the content of the
// federation's trust.json. Refuses with PROFILE_UNUSABLE where somebody is at home already, and as protocol.Pin.
func CreateHome(directory, identity, uri, pin string, trust []byte, openToken OpenToken) (*Home, error) {
	bundle, err := readTrust(trust)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "the home can't be made")
	}
	home, err := locked(directory)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(home.path(stateFile)); !errors.Is(err, fs.ErrNotExist) {
		home.Close()
		return nil, refusal.New(refusal.ProfileUnusable, "somebody is at home in %s already", directory)
	}
	if err := home.furnish(identity, uri, pin, bundle, openToken); err != nil {
		home.Close()
		return nil, err
	}
	return home, nil
}

func (h *Home) furnish(identity, uri, pin string, bundle *protocol.TrustedBundle, openToken OpenToken) error {
	kept, err := proto.Marshal(bundle.Signed)
	if err != nil {
		return err
	}
	h.state = state{Identity: identity, Token: uri, TrustBundle: kept}
	if uri != "" {
		h.Store, err = openToken(uri, pin, true)
	} else {
		h.Store, err = fileStore(keys.CreateFile(h.path(keysFile), pin))
	}
	if err != nil {
		return err
	}
	return h.save()
}

// fileStore gives a file as a Store: none at all where there is none.
func fileStore(file *keys.File, err error) (keys.Store, error) {
	if err != nil {
		return nil, err
	}
	return file, nil
}

// OpenHome opens a party's home with the PIN. Refuses with PROFILE_UNUSABLE, PIN_INCORRECT.
func OpenHome(directory, pin string, openToken OpenToken) (*Home, error) {
	home, err := locked(directory)
	if err != nil {
		return nil, err
	}
	encoded, err := os.ReadFile(home.path(stateFile))
	if err == nil {
		err = json.Unmarshal(encoded, &home.state)
	}
	if err != nil {
		home.Close()
		return nil, refusal.Because(err, refusal.ProfileUnusable, "nobody is at home in %s", directory)
	}
	if home.state.Token != "" {
		home.Store, err = openToken(home.state.Token, pin, false)
	} else {
		home.Store, err = fileStore(keys.OpenFile(home.path(keysFile), pin))
	}
	if err != nil {
		home.Close()
		return nil, err
	}
	return home, nil
}

// Exists says whether a party is at home in a directory.
func Exists(directory string) bool {
	_, err := os.Stat(filepath.Join(directory, stateFile))
	return err == nil
}

// Identity gives who is at home.
func (h *Home) Identity() string { return h.state.Identity }

// TrustDigest gives H(tb) of the trust bundle at hand, 32 bytes: compare it with who handed the bundle over, by another way.
func (h *Home) TrustDigest() ([]byte, error) {
	signed := &pb.SignedStatement{}
	err := proto.Unmarshal(h.state.TrustBundle, signed)
	return transcript.StatementDigest("tb", signed.GetStatement()), err
}

// IsRegistered says whether there is a credential.
func (h *Home) IsRegistered() bool { return h.state.KeyStatement != nil }

// DeviceSecret gives a patient's 32 bytes behind B_P, and makes them at the first use. They never change. Refuses with PROFILE_UNUSABLE.
func (h *Home) DeviceSecret(entropy curve.Entropy) ([]byte, error) {
	path := h.path(deviceFile)
	secret, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !h.IsRegistered() {
		secret = entropy(secretSize)
		err = files.Create(path, secret)
	}
	if err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "the device secret can't be used")
	}
	if status, err := os.Stat(path); err != nil || status.Mode().Perm()&0o077 != 0 || len(secret) != secretSize {
		return nil, refusal.New(refusal.ProfileUnusable, "the device secret is damaged, or open to others")
	}
	return secret, nil
}

// Path gives a place in the home, for a file of the caller's.
func (h *Home) Path(name string) string { return h.path(name) }

// Close forgets the keys and lets the next program in.
func (h *Home) Close() {
	if h.Store != nil {
		h.Store.Close()
	}
	h.lock.Close()
}

func (h *Home) path(name string) string { return filepath.Join(h.directory, name) }

func (h *Home) save() error {
	encoded, err := json.MarshalIndent(h.state, "", " ")
	if err == nil {
		err = files.Write(h.path(stateFile), append(encoded, '\n'))
	}
	if err != nil {
		return refusal.Because(err, refusal.ProfileUnusable, "the home can't be written")
	}
	return nil
}

func locked(directory string) (*Home, error) {
	lock, err := os.OpenFile(filepath.Join(directory, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "nobody is at home in %s", directory)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, refusal.New(refusal.ProfileUnusable, "another program is at work in %s", directory)
	}
	return &Home{directory: directory, lock: lock}, nil
}

// readTrust reads trust.json and pins what it holds: whoever handed it over vouches for it.
func readTrust(content []byte) (*protocol.TrustedBundle, error) {
	var handed struct{ Statement, Signature []byte }
	if err := json.Unmarshal(content, &handed); err != nil {
		return nil, refusal.Because(err, refusal.FileUnusable, "this is no trust bundle")
	}
	return protocol.Pin(&pb.SignedStatement{Statement: handed.Statement, Signature: handed.Signature})
}

// admit inserts a replay key, durably, and says whether it was new. Whoever can't say so admits nothing.
func (h *Home) admit(replayKey []byte, now, until protocol.Instant) (bool, error) {
	kept := map[string]protocol.Instant{}
	encoded, err := os.ReadFile(h.path(replayFile))
	if err == nil {
		err = json.Unmarshal(encoded, &kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, refusal.Because(err, refusal.ProfileUnusable, "the replay memory can't be read")
	}
	name := hex.EncodeToString(replayKey)
	if _, taken := kept[name]; taken {
		return false, nil
	}
	for old, over := range kept {
		if over < now {
			delete(kept, old)
		}
	}
	kept[name] = until
	if encoded, err = json.Marshal(kept); err == nil {
		err = files.Write(h.path(replayFile), encoded)
	}
	if err != nil {
		return false, refusal.Because(err, refusal.ProfileUnusable, "the replay memory can't be written")
	}
	return true, nil
}
