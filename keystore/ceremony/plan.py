"""A ceremony's file, parsed: everything that will happen is in it, and nothing that is in it is left aside.

A key that is unknown, or that does not apply to this kind of ceremony, is an error that names it.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from hsm import TokenUri
from hsm.errors import TokenUriInvalid
from keystore.backup import RecoverableKey
from keystore.ceremony.errors import CeremonyFileInvalid
from keystore.ceremony.kinds import CEREMONY, KINDS, PARTIES, ROTATIONS, KeySpec, Kind, known_key
from keystore.errors import GenerationUnknown, InvalidPoint
from keystore.generations import label_of, purpose_and_number
from keystore.identities import FORMS
from keystore.policies import IDENTITY, ISSUING, MEDICAL_AUTHORITY, ROTATABLE, TLS_CA, rotatable_purpose
from keystore.signatures import VerifyingKey


class Table:
    """Values by key; each is taken once, and `end` refuses what is left."""

    def __init__(self, name: str, values: Mapping[str, object]) -> None:
        """Read the table of this dotted name."""
        self.name = name
        self._values = dict(values)

    def text(self, key: str) -> str:
        """Take a text. Raises CeremonyFileInvalid unless it is there, printable and not empty."""
        value = self._take(key)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise CeremonyFileInvalid(f"{self._full(key)}: has to be printable text")
        return value

    def __contains__(self, key: str) -> bool:
        """Return whether a value waits to be taken."""
        return key in self._values

    def optional(self, key: str) -> str | None:
        """Take a text that may be left out."""
        return self.text(key) if key in self._values else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of texts."""
        value = self._take(key)
        if not isinstance(value, list) or not all(isinstance(item, str) and item.isprintable() for item in value):
            raise CeremonyFileInvalid(f"{self._full(key)}: has to be a list of printable texts")
        return tuple(value)

    def number(self, key: str, least: int, most: int) -> int:
        """Take a whole number of that range, both ends included."""
        value = self._take(key)
        if type(value) is not int or not least <= value <= most:
            raise CeremonyFileInvalid(f"{self._full(key)}: has to be a whole number from {least} to {most}")
        return value

    def table(self, key: str) -> "Table":
        """Take a table."""
        value = self._take(key)
        if not isinstance(value, dict):
            raise CeremonyFileInvalid(f"{self._full(key)}: has to be a table")
        return Table(self._full(key), value)

    def optional_table(self, key: str, *, applies: bool) -> "Table | None":
        """Take a table that may be left out, and has to be where it does not apply to this kind of ceremony."""
        if key not in self._values:
            return None
        if not applies:
            raise CeremonyFileInvalid(f"{self._full(key)}: does not apply to a ceremony of this kind")
        return self.table(key)

    def end(self) -> None:
        """Raise CeremonyFileInvalid, naming the first of them, if keys are left that nobody asked for."""
        if self._values:
            raise CeremonyFileInvalid(f"{self._full(min(self._values))}: unknown, or not for a ceremony of this kind")

    def _take(self, key: str) -> object:
        if key not in self._values:
            raise CeremonyFileInvalid(f"{self._full(key)}: is missing")
        return self._values.pop(key)

    def _full(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key


_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_LABEL: Final = re.compile(r"[a-z][a-z0-9-]{0,57}(\.[1-9][0-9]{0,4})?")
_PUBLIC_KEY: Final = re.compile(r"[0-9a-f]{66}")
_CERTIFIED: Final = {
    "revoked_serial": (re.compile(r"[0-9a-f]{1,40}"), "a serial number is lower-case hexadecimal"),
    "authority": (FORMS["authority"], "an authority's id is M: and a name"),
    "doctor": (FORMS["doctor"], "a doctor's id is D: and a name"),
    "hospital": (FORMS["hospital"], "a hospital's id is H: and a label of a DNS name"),
}
"""What stands in a certificate."""
_MOST_OFFICERS: Final = 16
_MOST_TWINS: Final = 3
OWN: Final = "token"
"""By what the ceremony's token is called among several; the others are "twin-1", "twin-2"."""
SIGNERS: Final = (IDENTITY, TLS_CA)
"""What a hospital makes in its token while its other keys come from a seed."""


@dataclass(frozen=True)
class Roles:
    """Who is present. Nobody has two roles."""

    administrator: str
    officers: tuple[str, ...]
    witnesses: tuple[str, ...]

    @property
    def everyone(self) -> tuple[str, ...]:
        """Return all names, the administrator first."""
        return (self.administrator, *self.officers, *self.witnesses)

    def role_of(self, name: str) -> str:
        """Return in one word what somebody is here."""
        if name == self.administrator:
            return "administrator"
        return "officer" if name in self.officers else "witness"


@dataclass(frozen=True)
class Participant:
    """With what somebody signs the transcript: the key `key` of their own token, whose public half is pinned here."""

    token: TokenUri
    public_key: str
    key: str = CEREMONY


@dataclass(frozen=True)
class Issuer:
    """The medical authority that certifies in this ceremony: token, certificate, and its newest list if one is to follow."""

    token: TokenUri
    certificate: Path
    key: str = MEDICAL_AUTHORITY
    previous_crl: Path | None = None


@dataclass(frozen=True)
class KeyChoice:
    """Which keys of the token a rotation or a destruction is about; `rotate` is the newest generation there."""

    rotate: str | None = None
    successor: str | None = None
    destroy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Backup:
    """Whose keys come from a seed; and for a restore, where the backup's public card is.

    `keys` names successors ("issuer.2"); none means the party's first keys.
    """

    party: str
    keys: tuple[str, ...] = ()
    card: Path | None = None


@dataclass(frozen=True)
class Plan:
    """One ceremony, as its file says it."""

    source: bytes
    kind: Kind
    title: str
    token: TokenUri
    roles: Roles
    participants: Mapping[str, Participant]
    threshold: int | None = None
    certificate: Mapping[str, str] = field(default_factory=dict)
    issuer: Issuer | None = None
    keys: KeyChoice = field(default_factory=KeyChoice)
    backup: Backup | None = None
    outputs: Mapping[str, Path] = field(default_factory=dict)
    previous: Path | None = None
    softhsm_configuration: Path | None = None
    twins: tuple[TokenUri, ...] = ()

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 of the file as it was reviewed."""
        return hashlib.sha256(self.source).digest()

    @property
    def tokens(self) -> dict[str, TokenUri]:
        """Return by name the tokens that this ceremony changes, its own first."""
        return {OWN: self.token} | {f"twin-{number}": uri for number, uri in enumerate(self.twins, 1)}

    @property
    def new_keys(self) -> tuple[KeySpec, ...]:
        """Return the keys that this ceremony makes in its token."""
        if self.backup is not None and self.backup.party == "hospital":
            named = self.backup.keys or SIGNERS
            return tuple(spec for label in named if (spec := known_key(label)) and spec.policy.purpose in SIGNERS)
        successor = known_key(self.keys.successor or "", card=self.kind.card)
        return self.kind.keys if successor is None else (successor,)

    @property
    def recoverable(self) -> tuple[RecoverableKey, ...]:
        """Return the keys that come from a seed."""
        if self.backup is None:
            return ()
        first = PARTIES[self.backup.party]
        named = [purpose_and_number(label) for label in self.backup.keys]
        return (
            tuple(key.successor(number) for purpose, number in named for key in first if key.label == purpose) or first
        )

    def new_labels_in(self, name: str) -> frozenset[str]:
        """Return the labels of everything that this ceremony puts into a token: what is made in its own is in no other."""
        made = self.new_keys if name == OWN else ()
        return frozenset([spec.label for spec in made] + [key.label for key in self.recoverable])

    @property
    def makes_issuer(self) -> bool:
        """Return whether this ceremony puts a generation of s into its tokens."""
        return any(rotatable_purpose(label) == ISSUING for label in self.new_labels_in(OWN))

    @property
    def needed_keys(self) -> tuple[str, ...]:
        """Return the labels that the token has to hold already."""
        return self.keys.destroy or self.followed

    @property
    def followed(self) -> tuple[str, ...]:
        """Return the labels that get a successor: each has to be the newest generation of its purpose in the token."""
        if self.keys.rotate:
            return (self.keys.rotate,)
        made = () if self.kind.backup == "restore" else self.recoverable
        named = [purpose_and_number(key.label) for key in made]
        return tuple(label_of(purpose, number - 1) for purpose, number in named if number > 1)

    @property
    def splits_pin(self) -> bool:
        """Return whether this ceremony gives its tokens a PIN in shares."""
        return self.threshold is not None and self.kind.chooses is None and self.kind.backup in {None, "twin"}

    @property
    def joins_pin(self) -> bool:
        """Return whether the token's PIN was put in shares by an earlier ceremony."""
        return self.threshold is not None and self.kind.chooses is not None


def read_plan(path: Path) -> Plan:
    """Read a ceremony's file; paths in it are relative to where it lies. Raises CeremonyFileInvalid."""
    try:
        source = path.read_bytes()
        content = tomllib.loads(source.decode())
    except OSError as error:
        raise CeremonyFileInvalid(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CeremonyFileInvalid(f"{path} is no TOML: {error}") from error
    return parse_plan(source, content, path.resolve().parent)


def parse_plan(source: bytes, content: Mapping[str, object], base: Path) -> Plan:
    """Parse what a file holds. Raises CeremonyFileInvalid."""
    root = Table("", content)
    ceremony, token = root.table("ceremony"), root.table("token")
    general = _kind(ceremony)
    keys = _keys(root, general)
    kind = _handing_over(general, keys, content.get("certificate"))
    previous, configuration = ceremony.optional("previous"), token.optional("softhsm_configuration")
    roles = _roles(root.table("roles"))
    plan = Plan(
        source=source,
        kind=kind,
        title=ceremony.text("title"),
        token=_uri(token, "uri"),
        roles=roles,
        participants=_participants(root.table("participants"), roles),
        threshold=_threshold(root, kind, roles),
        certificate=_certificate(root, kind),
        issuer=_issuer(root, kind, base),
        keys=keys,
        backup=_backup(root, kind, base),
        outputs=_outputs(root, kind, base),
        previous=base / previous if previous else None,
        softhsm_configuration=base / configuration if configuration else None,
        twins=_twins(token, kind),
    )
    _require_different(plan)
    for table in (ceremony, token, root):
        table.end()
    return plan


def _kind(ceremony: Table) -> Kind:
    name = ceremony.text("kind")
    if name not in KINDS:
        raise CeremonyFileInvalid(f"ceremony.kind: {name!r} is none of {', '.join(sorted(KINDS))}")
    return KINDS[name]


def _uri(table: Table, key: str) -> TokenUri:
    return _named(table.text(key), f"{table.name}.{key}")


def _named(text: str, where: str) -> TokenUri:
    try:
        uri = TokenUri.parse(text)
    except TokenUriInvalid as error:
        raise CeremonyFileInvalid(f"{where}: {error}") from error
    if uri.serial is None:
        raise CeremonyFileInvalid(f"{where}: the token's serial number has to be named")
    if uri.pin_source is not None:
        raise CeremonyFileInvalid(f"{where}: a PIN is typed at a ceremony, not read from a file")
    return uri


def _twins(token: Table, kind: Kind) -> tuple[TokenUri, ...]:
    """Read the tokens that get the same keys as the ceremony's own."""
    if kind.backup != "twin":
        return ()
    uris = tuple(_named(text, "token.twins") for text in token.texts("twins"))
    if not 1 <= len(uris) <= _MOST_TWINS:
        raise CeremonyFileInvalid(f"token.twins: there have to be 1 to {_MOST_TWINS}")
    return uris


def _require_different(plan: Plan) -> None:
    if len(set(plan.tokens.values())) != len(plan.tokens):
        raise CeremonyFileInvalid("token.twins: a token is named twice")


def _roles(table: Table) -> Roles:
    roles = Roles(table.text("administrator"), table.texts("officers"), table.texts("witnesses"))
    table.end()
    for name in roles.everyone:
        if not _NAME.fullmatch(name):
            raise CeremonyFileInvalid(f"roles: {name!r} is no name of letters, digits, '-' and '_'")
    if len(set(map(str.lower, roles.everyone))) != len(roles.everyone):
        raise CeremonyFileInvalid("roles: somebody is named twice; nobody has two roles")
    if not roles.witnesses:
        raise CeremonyFileInvalid("roles.witnesses: there has to be a witness")
    if not 1 <= len(roles.officers) <= _MOST_OFFICERS:
        raise CeremonyFileInvalid(f"roles.officers: there have to be 1 to {_MOST_OFFICERS} officers")
    return roles


def _participants(table: Table, roles: Roles) -> dict[str, Participant]:
    participants = {}
    for name in roles.everyone:
        entry = table.table(name)
        participant = Participant(_uri(entry, "token"), entry.text("public_key"), entry.optional("key") or CEREMONY)
        entry.end()
        _require_public_key(participant.public_key, entry.name)
        participants[name] = participant
    table.end()
    if len({participant.public_key for participant in participants.values()}) != len(participants):
        raise CeremonyFileInvalid("participants: two people have the same public key")
    return participants


def _require_public_key(text: str, name: str) -> None:
    if not _PUBLIC_KEY.fullmatch(text):
        raise CeremonyFileInvalid(f"{name}.public_key: a P-256 public key, compressed, is 66 lower-case hex digits")
    try:
        VerifyingKey(bytes.fromhex(text))
    except InvalidPoint as error:
        raise CeremonyFileInvalid(f"{name}.public_key: {error}") from error


def _threshold(root: Table, kind: Kind, roles: Roles) -> int | None:
    table = root.optional_table("quorum", applies=kind.quorum)
    if table is None:
        if kind.backup in {"make", "restore"}:
            raise CeremonyFileInvalid("quorum: is missing, with threshold")
        return None
    threshold = table.number("threshold", 2, len(roles.officers))
    table.end()
    return threshold


def _certificate(root: Table, kind: Kind) -> dict[str, str]:
    table = root.optional_table("certificate", applies=bool(kind.certificate))
    if table is None:
        if kind.certificate:
            raise CeremonyFileInvalid(f"certificate: is missing, with {', '.join(kind.certificate)}")
        return {}
    values = {name: table.text(name) for name in kind.certificate}
    table.end()
    _forms(values)
    return values


def _issuer(root: Table, kind: Kind, base: Path) -> Issuer | None:
    table = root.optional_table("issuer", applies=kind.issuer)
    if table is None:
        if kind.issuer:
            raise CeremonyFileInvalid("issuer: is missing, with token and certificate")
        return None
    uri, certificate, key = (
        _uri(table, "token"),
        base / table.text("certificate"),
        table.optional("key") or MEDICAL_AUTHORITY,
    )
    issuer = Issuer(uri, certificate, key, base / table.text("previous_crl") if kind.revokes else None)
    table.end()
    return issuer


def _keys(root: Table, kind: Kind) -> KeyChoice:
    table = root.optional_table("keys", applies=kind.chooses is not None)
    if kind.chooses is None:
        return KeyChoice()
    if table is None:
        raise CeremonyFileInvalid(f"keys: is missing, with what to {kind.chooses}")
    if kind.chooses == "rotate":
        choice = KeyChoice(rotate=table.text("rotate"), successor=table.text("successor"))
        labels: tuple[str, ...] = (choice.rotate or "", choice.successor or "")
    else:
        choice = KeyChoice(destroy=table.texts("destroy"))
        labels = choice.destroy
    table.end()
    if not labels or len(set(labels)) != len(labels) or not all(map(_LABEL.fullmatch, labels)):
        raise CeremonyFileInvalid(f"keys.{kind.chooses}: needs labels of keys, each another")
    if choice.rotate is not None:
        _require_next(choice.rotate, choice.successor)
    return choice


def _require_next(rotate: str, successor: str | None) -> None:
    purpose = rotatable_purpose(rotate)
    if purpose is None:
        raise CeremonyFileInvalid(f"keys.rotate: {rotate!r} is no generation of {', '.join(sorted(ROTATABLE))}")
    try:
        following = label_of(purpose, purpose_and_number(rotate)[1] + 1)
    except GenerationUnknown as error:
        raise CeremonyFileInvalid(f"keys.rotate: {error}") from error
    if successor != following:
        raise CeremonyFileInvalid(f"keys.successor: what follows {rotate!r} is {following!r}, not {successor!r}")


def _handing_over(kind: Kind, keys: KeyChoice, certificate: object) -> Kind:
    """Return a rotation the outputs of its key; the names under `[certificate]` say whose key it is."""
    if keys.rotate is None:
        return kind
    choices = ROTATIONS[purpose_and_number(keys.rotate)[0]]
    given = tuple(certificate) if isinstance(certificate, dict) else ()
    choice = next((choice for choice in choices if choice.certificate == given), None)
    if choice is None:
        names = " or ".join(", ".join(choice.certificate) or "nothing" for choice in choices)
        raise CeremonyFileInvalid(f"certificate: the successor of {keys.rotate!r} needs {names}")
    return replace(kind, certificate=choice.certificate, outputs=choice.outputs, card=choice.card)


def _backup(root: Table, kind: Kind, base: Path) -> Backup | None:
    table = root.optional_table("backup", applies=kind.backup is not None)
    if table is None:
        if kind.backup is not None:
            raise CeremonyFileInvalid("backup: is missing, with party")
        return None
    party = table.text("party")
    if party not in PARTIES:
        raise CeremonyFileInvalid(f"backup.party: {party!r} is none of {', '.join(sorted(PARTIES))}")
    keys = table.texts("keys") if "keys" in table else ()
    card = base / table.text("card") if kind.backup == "restore" else None
    table.end()
    _require_successors(keys, party, kind)
    return Backup(party, keys, card)


def _require_successors(keys: tuple[str, ...], party: str, kind: Kind) -> None:
    """Require keys that the backup has; at a restore a hospital's signers may be among them, which are in none and made anew."""
    backed = {key.label for key in PARTIES[party]}
    purposes = [rotatable_purpose(label) for label in keys]
    allowed = backed | set(SIGNERS if kind.backup == "restore" else ())
    fits = len(set(purposes)) == len(keys) and set(purposes) <= allowed and not set(keys) & ROTATABLE
    if keys and not (fits and set(purposes) & backed):
        raise CeremonyFileInvalid(f"backup.keys: needs successors of keys that a {party}'s backup has, one of each")


def _forms(values: dict[str, str]) -> None:
    for name, value in values.items():
        form, says = _CERTIFIED.get(name, (None, ""))
        if form is not None and not form.fullmatch(value):
            raise CeremonyFileInvalid(f"certificate.{name}: {says}")


def _outputs(root: Table, kind: Kind, base: Path) -> dict[str, Path]:
    table = root.optional_table("outputs", applies=bool(kind.outputs))
    if table is None:
        if kind.outputs:
            raise CeremonyFileInvalid(f"outputs: is missing, with {', '.join(kind.outputs)}")
        return {}
    outputs = {name: base / table.text(name) for name in kind.outputs}
    table.end()
    if len(set(outputs.values())) != len(outputs):
        raise CeremonyFileInvalid("outputs: two of them are the same file")
    return outputs
