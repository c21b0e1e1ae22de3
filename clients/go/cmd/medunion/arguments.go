package main

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"time"

	"medunion.example/clients/go/client"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
)

var errUsage = errors.New("wrong usage")

// arguments is what a command was given.
type arguments struct {
	*flag.FlagSet
	words   []string
	home    string
	pinFile string
	dialing client.Dialing
	grace   time.Duration
}

func newArguments(name string) *arguments {
	given := &arguments{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), grace: client.DefaultGrace}
	given.SetOutput(io.Discard)
	given.StringVar(&given.home, "directory", "", "the party's directory")
	given.StringVar(&given.pinFile, "pin-file", "", "file (mode 0600) whose line opens the party's keys")
	given.Func("dial-only", "network that may be dialled, as 10.0.0.0/8; again for more", given.allow)
	given.Func("grace-hours", "for how many hours a revocation list that is over counts on, 0 to 72", given.goOn)
	given.BoolVar(&given.dialing.Proxy, "proxy", false, "ask the proxy of HTTPS_PROXY")
	return given
}

func (a *arguments) allow(text string) error {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return err
	}
	if network.Masked() != network {
		return fmt.Errorf("%s has bits beyond its prefix", text)
	}
	a.dialing.Networks = append(a.dialing.Networks, network)
	return nil
}

func (a *arguments) goOn(text string) error {
	hours, err := strconv.ParseFloat(text, 64)
	if err != nil || !(hours >= 0 && hours <= client.LongestGrace.Hours()) {
		return fmt.Errorf("%s is no number of hours between 0 and 72", text)
	}
	a.grace = time.Duration(hours * float64(time.Hour))
	return nil
}

func (a *arguments) with(words []string) *arguments {
	a.words = words
	return a
}

const anyWords = -1 // after the options

// read reads the words, once the command has named its options: every one but optional has to be given, and so many words after them.
func (a *arguments) read(words int, optional ...string) error {
	if err := a.Parse(a.words); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(os.Stderr, usage)
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	missing := map[string]bool{}
	a.VisitAll(func(option *flag.Flag) { missing[option.Name] = true })
	a.Visit(func(option *flag.Flag) { delete(missing, option.Name) })
	for _, name := range append(optional, "dial-only", "proxy", "grace-hours") {
		delete(missing, name)
	}
	for name := range missing {
		return fmt.Errorf("%w: --%s is needed", errUsage, name)
	}
	if a.NArg() != words && words != anyWords {
		return fmt.Errorf("%w: %d words after the options, not %d", errUsage, a.NArg(), words)
	}
	if a.dialing.Proxy && len(a.dialing.Networks) > 0 {
		return fmt.Errorf("%w: what a proxy dials is bound by no --dial-only", errUsage)
	}
	return nil
}

// open opens the home that --directory names, with the PIN of --pin-file.
func (a *arguments) open() (*client.Home, error) {
	pin, err := keys.ReadPIN(a.pinFile)
	if err != nil {
		return nil, err
	}
	return client.OpenHome(a.home, pin, openToken)
}

// create makes a home for an identity of this kind.
func (a *arguments) create(kind pb.Kind, identity, trustFile, token string) (*client.Home, error) {
	if !rules.Matches(kind, identity) {
		return nil, refusal.New(refusal.FieldInvalid, "%q is no identity of this role", identity)
	}
	pin, err := keys.ReadPIN(a.pinFile)
	if err != nil {
		return nil, err
	}
	trust, err := readFile(trustFile)
	if err != nil {
		return nil, err
	}
	home, err := client.CreateHome(a.home, identity, token, pin, trust, openToken)
	if err != nil {
		return nil, err
	}
	digest, err := home.TrustDigest()
	if err != nil {
		home.Close()
		return nil, err
	}
	tell("You trust the bundle of the digest " + hex.EncodeToString(digest) + "; compare it with who gave it to you.")
	return home, nil
}

// session is a party with its keys at hand and the public cloud dialled.
type session struct {
	home   *client.Home
	member *client.Member
	cloud  *client.Cloud
}

// begin takes a home as it was opened, and closes it if nothing comes of it.
func (a *arguments) begin(home *client.Home, err error) (*session, error) {
	if err != nil {
		return nil, err
	}
	member, err := client.NewMember(home, a.dialing, a.grace)
	if err != nil {
		home.Close()
		return nil, err
	}
	cloud, err := client.NewCloud(member)
	if err != nil {
		home.Close()
		return nil, err
	}
	return &session{home, member, cloud}, nil
}

func (s *session) close() {
	s.cloud.Close()
	s.home.Close()
}

const mostFile = 64 * 1024 * 1024

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, refusal.Because(err, refusal.FileUnusable, "%s can't be read", path)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, mostFile+1))
	if err != nil {
		return nil, refusal.Because(err, refusal.FileUnusable, "%s can't be read", path)
	}
	if len(content) > mostFile {
		return nil, refusal.New(refusal.FileUnusable, "%s has more than %d bytes", path, mostFile)
	}
	return content, nil
}
