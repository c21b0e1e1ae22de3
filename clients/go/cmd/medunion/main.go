// Command medunion is the reference client of a patient and a doctor, as clients/README.md states its command line.
//
// What a command has to say it says on stdout as one JSON object; what is for people goes to stderr. It ends with 0 when it is done, with 1
// and {"reason": "..."} when it was refused, with 2 for wrong usage.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"medunion.example/clients/go/internal/terminal"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const usage = `medunion, the reference client in Go

  patient register --directory DIR --pin-file FILE --trust FILE --identity P:name --simulated-sensor FILE --ticket-file FILE|- [--token URI]
  patient renew    --directory DIR --pin-file FILE
  patient visit    --directory DIR --pin-file FILE --simulated-sensor FILE [--observation FILE] [--for WHOM] [--read WHERE]... [--no-keep]
                   [--department CLASS]... [--restricted] [--hours N] [--yes] [--stay SECONDS] CODE
  patient grants   --directory DIR --pin-file FILE
  patient revoke   --directory DIR --pin-file FILE NUMBER... | --last | --all
  patient records  --directory DIR --pin-file FILE [--save DIR] [--fetch-at-most N]
  patient accesses --directory DIR --pin-file FILE
  doctor  init     --directory DIR --pin-file FILE --trust FILE --identity D:name [--token URI]
  doctor  register --directory DIR --pin-file FILE --certificate FILE
  doctor  renew    --directory DIR --pin-file FILE
  doctor  consult  --directory DIR --pin-file FILE --hospital H:name --address HOST:PORT --department CLASS
                   --conclusion TEXT [--amend TEXT] [--code-file FILE] [--save DIR] [--fetch-at-most N] [--deposit]

With every command that calls a server:
  --dial-only NETWORK  dial this network only, as 10.0.0.0/8, whatever a name leads to; again for more
  --grace-hours N      go on for so long after the end of the newest revocation list, by what stood before it: 1, at most 72
  --proxy              ask the proxy of HTTPS_PROXY, which is passed over otherwise

visit shows who is there, what is sent and what you are about to sign, and asks, unless --yes has answered. Unless you say otherwise the
doctor's hospital may keep the record of the visit (--no-keep), and none of your records is read.
  --for doctor (24 hours), department or department:CLASS (30 days), hospital (90 days): whoever is on duty there
  --hours N            for so many hours instead, at most 8784 (366 days)
  --read here, everywhere or H:name: records there may be found and read; again for more
  --department CLASS   records of this class only; again for more
  --restricted         records that are marked as restricted, too
  --stay SECONDS       stay so long after a diagnosis, for one that amends it
consult signs --amend in the place of --conclusion, once that is answered or a minute has passed.
accesses lists who asked for your records, at the public cloud and at each hospital that has some.
grants lists what you consented to, by the numbers that revoke takes; --last is the newest that stands, --all everything until now.

renew begins the next epoch of the encryption key; visit, records, accesses and consult do so by themselves a day before the present one ends.
--fetch-at-most says how many megabytes of hospitals' records are taken: 4000. What a command is given is looked at before anybody is
called.
`

var commands = map[string]func(context.Context, *arguments) (any, error){
	"patient register": registerPatient,
	"patient renew":    renew,
	"patient visit":    visit,
	"patient grants":   grants,
	"patient revoke":   revoke,
	"patient records":  records,
	"patient accesses": accesses,
	"doctor init":      initDoctor,
	"doctor register":  registerDoctor,
	"doctor renew":     renew,
	"doctor consult":   consult,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, words []string) int {
	if len(words) > 0 && (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
		fmt.Fprint(os.Stderr, usage)
		return 0
	}
	if len(words) < 2 || commands[words[0]+" "+words[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	name := words[0] + " " + words[1]
	given := newArguments(name)
	told, err := commands[name](ctx, given.with(words[2:]))
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "medunion %s: %v\n%s", name, err, usage)
		return 2
	case err != nil:
		tell(fmt.Sprintf("medunion %s: %s", name, refusal.Plain(err)))
		return say(map[string]refusal.Reason{"reason": refusal.Precise(err)}, 1)
	default:
		return say(told, 0)
	}
}

func say(told any, code int) int {
	encoded, err := json.Marshal(told)
	if err == nil {
		_, err = fmt.Println(terminal.JSON(encoded))
	}
	if err != nil {
		tell(err.Error())
		return 1
	}
	return code
}

// tell writes a line for people. Peers' texts may be in it.
func tell(line string) { fmt.Fprintln(os.Stderr, terminal.Line(line)) }

func tellAll(lines ...string) {
	for _, line := range lines {
		tell(line)
	}
}

type renewed struct {
	Identity string           `json:"identity"`
	KeyID    string           `json:"key_id"`
	NotAfter protocol.Instant `json:"not_after"`
}

// renew begins the next epoch of a patient's or a doctor's encryption key, whenever it is typed.
func renew(ctx context.Context, given *arguments) (any, error) {
	if err := given.read(0); err != nil {
		return nil, err
	}
	at, err := given.begin(given.open())
	if err != nil {
		return nil, err
	}
	defer at.close()
	statement, err := at.cloud.Renew(ctx)
	if err != nil {
		return nil, err
	}
	return renewed{at.member.Identity(), hex.EncodeToString(statement.GetKeyId()), statement.GetNotAfter()}, nil
}
