"""Examples of every command, as they are typed; the end of each command's help shows its own.

A test parses each of them with the command that it is of, so that none goes stale.
"""

from collections.abc import Sequence
from typing import Final

_EXAMPLES: Final = """
authority crl --directory board --output board.crl
authority crl --directory board --publish-to file:///srv/www/lists
authority import-ceremony twin.transcript --directory board --participant Wanda=02c0ffee
authority init --directory board --identity M:board --output board.der
authority issue --directory board --doctor D:chen --request chen/certificate-request.der --output chen.der
authority revoke D:chen --directory board
backup --directory alpha --output backups/alpha-2027-03-01
backup --directory alpha --into backups --keep-newest 14
ceremony participant --token 'pkcs11:token=wanda'
ceremony render twin.transcript --output twin.pdf
ceremony run twin.toml --rehearsal --output twin.transcript
ceremony run twin.toml --output twin.transcript
ceremony script twin.toml --output run-sheet.pdf
ceremony validate twin.toml
ceremony verify twin.transcript --participant Wanda=02c0ffee
check --directory alpha
check --directory alpha --json | jq '.findings[] | select(.verdict == "WRONG")'
doctor certificate-request --directory chen
doctor consult --directory chen --hospital H:alpha --address alpha.example:443 --department cardiology
doctor consult --directory chen --hospital H:alpha --address alpha.example:443 --no-deposit --until 17:00
doctor deposit --directory chen
doctor desk --directory chen --hospital H:alpha --address alpha.example:443
doctor duty --directory chen --hospital H:alpha --address alpha.example:443
doctor emergency declare --directory chen --hospital H:alpha --address alpha.example:443 --second D:roe --output case
doctor emergency list --directory chen
doctor emergency open case --directory chen --save copies
doctor emergency read --directory chen --hospital H:alpha --address alpha.example:443 --ask H:beta beta.example:443
doctor emergency read --directory chen --hospital H:alpha --address alpha.example:443 --second-directory roe
doctor emergency second case --directory roe
doctor evidence export --directory chen --output chen.evidence.json
doctor init --directory chen --trust trust.json --identity D:chen --pin-file chen.pin
doctor register --directory chen --certificate chen.der
doctor rotate activate identity --directory chen
doctor rotate prepare identity --make-keys --directory chen
doctor rotate reseal sealing --directory chen
doctor rotate revoke identity 1 --directory chen
doctor rotate status --directory chen
doctor rotate taint identity 1 --directory chen
evidence verify chen.evidence.json --trust trust.json
evidence verify chen.evidence.json --trust trust.json --json
explain GRANT_EXPIRED
explain --list
health --directory alpha
health --directory alpha --strict --timeout 2
help exit-codes
hospital accesses --directory alpha --patient P:johnnie --fhir accesses.json
hospital crl board.crl --directory alpha
hospital duty add D:chen --directory alpha --department cardiology --until 2027-03-01T19:00
hospital duty end D:chen --directory alpha
hospital duty export --directory alpha
hospital duty import roster.csv --directory alpha --dry-run
hospital duty list --directory alpha --json
hospital emergencies list --directory alpha --open
hospital emergencies review DIGEST --directory alpha --justified --officer 'M. Roth' --note 'Unconscious on arrival.'
hospital emergencies show DIGEST --directory alpha
hospital evidence export --directory alpha --output alpha.evidence.json
hospital guardian end ID --directory alpha
hospital guardian list --directory alpha
hospital guardian restate ID --directory alpha --output guardian.file
hospital guardian state --directory alpha --ward P:kid --guardian P:ann --basis parent --officer 'M. Roth'
    --until 2044-03-01 --output guardian.file
hospital import --directory alpha --patient P:johnnie --department cardiology records/johnnie.json
hospital import --directory alpha --manifest records.csv --dry-run
hospital init --directory alpha --identity H:alpha --trust trust.json --listen alpha.example:443 --development-token
hospital log --directory alpha --since 2027-03-01T07:00 --patient P:johnnie
hospital log --directory alpha --reason REJECTED --reason GRANT_EXPIRED --follow
hospital log --directory alpha --request-id 0123456789abcdef | medunion explain --entry -
hospital log-anew --directory alpha --why 'restored after a fire'
hospital log-archive --directory alpha --output /srv/log
hospital log-heads --directory alpha
hospital log-settle ID --directory alpha --why 'the backup was restored twice'
hospital outbox --directory alpha --publish
hospital publish-again --directory alpha --per-second 50
hospital records correct HANDLE corrected.json --directory alpha --why 'wrong date'
hospital records count --directory alpha
hospital records due --directory alpha
hospital records erase --due --directory alpha --why 'retention is over'
hospital records erase --due --directory alpha --why 'retention is over' --confirm 12
hospital records hold HANDLE --directory alpha --why 'file 12/26'
hospital records list --directory alpha --patient P:johnnie
hospital records reinstate HANDLE --directory alpha --why 'it was right'
hospital records release HANDLE --directory alpha --hold ID --why 'file 12/26 is closed'
hospital records retention HANDLE --directory alpha --until 2044-01-01 --why 'a minor'
hospital records show HANDLE --directory alpha
hospital records withdraw HANDLE --directory alpha --why 'entered in error'
hospital register --directory alpha --licence alpha.licence
hospital rotate activate identity --directory alpha --at 2027-03-01T02:00:00Z
hospital rotate prepare records --directory alpha
hospital rotate reseal records --directory alpha
hospital rotate revoke records 1 --directory alpha
hospital rotate status --directory alpha --json
hospital rotate taint records 1 --directory alpha
hospital serve --directory alpha
hospital ticket P:johnnie --directory alpha
patient accesses --directory johnnie --since 2027-03-01
patient accesses --directory johnnie --ask H:alpha alpha.example:443
patient app --directory johnnie
patient diagnoses --directory johnnie
patient evidence export --directory johnnie --output johnnie.evidence.json
patient grants --directory johnnie
patient hidden --directory johnnie
patient hide --directory johnnie --department psychiatry
patient init --directory johnnie --trust trust.json --identity P:johnnie --simulated-sensor johnnie.person
patient mandate accept mandate.file --directory ann
patient mandate end 1 --directory johnnie
patient mandate give P:ann --directory johnnie --power read --days 90 --output mandate.file
patient mandate held --directory ann
patient mandate list --directory johnnie
patient records add x-ray.pdf --directory johnnie --hospital H:alpha --address alpha.example:443
    --department cardiology --title X-ray
patient records list --directory johnnie
patient records save --directory johnnie --output copies
patient records show --directory johnnie --hospital H:alpha
patient register --directory johnnie
patient revoke 3 --directory johnnie
patient revoke --last --directory johnnie
patient rotate activate identity --directory johnnie
patient rotate prepare identity --make-keys --directory johnnie
patient rotate reseal sealing --directory johnnie
patient rotate revoke identity 1 --directory johnnie
patient rotate status --directory johnnie
patient rotate taint identity 1 --directory johnnie
patient show-again 1 --directory johnnie
patient visit CODE --directory johnnie --read here --ecg ecg.dcm
patient visit CODE --directory johnnie --read everywhere --for department --days 30
public-cloud accesses --directory cloud --patient P:johnnie --fhir accesses.json
public-cloud addresses --directory cloud
public-cloud authority add board.der 'D:alpha.*' --directory cloud --crl-url https://board.example/board.crl
public-cloud authority list --directory cloud --json
public-cloud authority remove board.der --directory cloud
public-cloud crl board.crl --directory cloud
public-cloud evidence export --directory cloud --output cloud.evidence.json
public-cloud forget-hospital H:rogue --directory cloud --why 'it publishes all again'
public-cloud forget-hospital H:rogue --directory cloud --why 'it publishes all again' --confirm 4711
public-cloud init --directory cloud --identity C:union --realm example --address cloud.example:7001
    --peer-address cloud.example:7002 --development-token
public-cloud invite H:alpha --directory cloud
public-cloud log --directory cloud --since 2027-03-01T07:00 --patient P:johnnie
public-cloud log --directory cloud --reason REJECTED --reason GRANT_EXPIRED --follow
public-cloud log --directory cloud --request-id 0123456789abcdef | medunion explain --entry -
public-cloud log-anew --directory cloud --why 'restored after a fire'
public-cloud log-archive --directory cloud --output /srv/log
public-cloud log-heads --directory cloud
public-cloud log-settle ID --directory cloud --why 'the backup was restored twice'
public-cloud members --directory cloud --role hospital
public-cloud members --directory cloud --json | jq -r '.[].identity'
public-cloud move --directory cloud --address new.example:7001 --why 'the machine is replaced'
public-cloud remove-member H:gone --directory cloud --why 'closed in March'
public-cloud remove-member H:gone --directory cloud --why 'closed in March' --confirm 4711
public-cloud retention --directory cloud --why 'by the timer' --yes
public-cloud revoke D:chen --directory cloud
public-cloud revoke-guardian H:alpha ID --directory cloud
public-cloud rotate activate issuer --directory cloud --at 2027-03-01T02:00:00Z
public-cloud rotate prepare issuer --directory cloud
public-cloud rotate reseal index --directory cloud
public-cloud rotate revoke issuer 1 --directory cloud
public-cloud rotate status --directory cloud
public-cloud rotate taint issuer 1 --directory cloud
public-cloud serve --directory cloud
public-cloud tickets --directory cloud
public-cloud trust --directory cloud --output trust.json
public-cloud witness-policy --directory cloud --cosignatures 2 --why 'decided by the board in May'
public-cloud witness-policy --directory cloud --cosignatures 2 --why 'decided by the board in May' --confirm 2
restore backups/alpha-2027-03-01 --directory alpha --digest DIGEST
token change-pin --directory alpha
token check --role hospital --token 'pkcs11:token=alpha'
token hand-over --directory alpha --output secret.for-the-maker
token init --module /usr/lib/softhsm/libsofthsm2.so --label alpha
token init-softhsm --directory alpha --label alpha --pin-file alpha.pin
token keys --directory alpha
token list
token list --module /usr/lib/softhsm/libsofthsm2.so --json
token taken-over --directory alpha
trust chain --directory alpha --output chain.json
trust show trust.json
trust update chain.json --directory alpha
trust verify trust.json --digest DIGEST
witness --directory alpha --output alpha.heard
"""


_DIGITS: Final = "0123456789abcdef"
_NAMED: Final = {"DIGEST": _DIGITS * 4, "HANDLE": _DIGITS * 2, "ID": _DIGITS * 2}
"""What stands above for what is named by so many hexadecimal digits."""


def examples() -> list[str]:
    """Return all examples, each on one line."""
    whole = _EXAMPLES.replace("\n    ", " ").strip().split("\n")
    return ["medunion " + " ".join(_NAMED.get(word, word) for word in line.split(" ")) for line in whole]


def examples_of(words: Sequence[str]) -> list[str]:
    """Return the examples of a command, as its help shows them, by its words without `medunion`."""
    return [line for line in examples() if line.split()[1 : 1 + len(words)] == list(words)]
