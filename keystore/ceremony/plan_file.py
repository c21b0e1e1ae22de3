"""Reading a ceremony's file: nothing that is in it is left aside, and all that is wrong with it is said at once.

A key that is unknown, or that does not apply to this kind of ceremony, is a fault that names it.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from hsm import TokenUri
from hsm.errors import TokenUriInvalid
from keystore.ceremony.errors import CeremonyFileInvalid
from keystore.ceremony.kinds import CEREMONY, KINDS, PARTIES, ROTATIONS, Kind
from keystore.ceremony.plan import SIGNERS, Backup, Issuer, KeyChoice, Participant, Plan, Roles
from keystore.errors import GenerationUnknown, InvalidPoint
from keystore.generations import label_of, purpose_and_number
from keystore.identities import FORMS
from keystore.policies import MEDICAL_AUTHORITY, ROTATABLE, rotatable_purpose
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
        """Raise CeremonyFileInvalid, naming them, if keys are left that nobody asked for."""
        left = sorted(map(self._full, self._values))
        if left:
            raise CeremonyFileInvalid(f"{', '.join(left)}: unknown, or not for a ceremony of this kind")

    def forgo(self, *keys: str) -> None:
        """Leave out what cannot be judged, because what it depends on is wrong."""
        for key in keys:
            self._values.pop(key, None)

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


T = TypeVar("T")


class Faults:
    """What is wrong with a file, all of it: a reader has one thing after the other judged, and goes on."""

    def __init__(self) -> None:
        """Begin with none."""
        self.found: list[str] = []

    def take(self, read: Callable[[], T], instead: T) -> T:
        """Return what is read, or something in its place if that is a fault."""
        try:
            return read()
        except CeremonyFileInvalid as error:
            self.found += error.faults
            return instead

    def require_none(self) -> None:
        """Raise CeremonyFileInvalid with all of them."""
        if self.found:
            raise CeremonyFileInvalid(*dict.fromkeys(self.found))


_NO_ROLES: Final = Roles("", (), ())
_NO_KIND: Final = Kind("", "")
_NO_TOKEN: Final = TokenUri(Path("/none"), token="none")  # noqa: S106 - a label
_BY_KIND: Final = ("keys", "quorum", "certificate", "issuer", "backup", "outputs")


def parse_plan(source: bytes, content: Mapping[str, object], base: Path) -> Plan:
    """Parse what a file holds. Raises CeremonyFileInvalid with all that is wrong."""
    faults = Faults()
    root = Table("", content)
    ceremony, token, people = (_table(root, name, faults) for name in ("ceremony", "token", "participants"))
    general = faults.take(lambda: _kind(ceremony), _NO_KIND)
    if general is _NO_KIND:
        root.forgo(*_BY_KIND)
        token.forgo("twins")
    keys = faults.take(lambda: _keys(root, general), KeyChoice())
    kind = faults.take(lambda: _handing_over(general, keys, content.get("certificate")), _NO_KIND)
    if kind is _NO_KIND or (general.chooses and keys == KeyChoice()):
        root.forgo(*_BY_KIND)
    roles = faults.take(lambda: _roles(_table(root, "roles", faults), faults), _NO_ROLES)
    previous = faults.take(lambda: ceremony.optional("previous"), None)
    configuration = faults.take(lambda: token.optional("softhsm_configuration"), None)
    plan = Plan(
        source=source,
        kind=kind,
        title=faults.take(lambda: ceremony.text("title"), ""),
        place=faults.take(lambda: ceremony.optional("place"), None) or "",
        token=faults.take(lambda: _uri(token, "uri"), _NO_TOKEN),
        roles=roles,
        participants=_participants(people, roles, faults),
        threshold=faults.take(lambda: _threshold(root, kind, roles), None),
        certificate=_certificate(root, kind, faults),
        issuer=_issuer(root, kind, base, faults),
        keys=keys,
        backup=faults.take(lambda: _backup(root, kind, base), None),
        outputs=_outputs(root, kind, base, faults),
        previous=base / previous if previous else None,
        softhsm_configuration=base / configuration if configuration else None,
        twins=faults.take(lambda: _twins(token, kind), ()),
    )
    for table in (ceremony, token, root):
        faults.take(table.end, None)
    faults.require_none()
    _require_different(plan)
    return plan


def _table(root: Table, name: str, faults: Faults) -> Table:
    return faults.take(lambda: root.table(name), Table(name, {}))


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


def _roles(table: Table, faults: Faults) -> Roles:
    """Read who is present. Raises CeremonyFileInvalid for what is wrong with them together."""
    roles = Roles(
        faults.take(lambda: table.text("administrator"), ""),
        faults.take(lambda: table.texts("officers"), ()),
        faults.take(lambda: table.texts("witnesses"), ()),
    )
    faults.take(table.end, None)
    wrong = [
        f"roles: {name!r} is no name of letters, digits, '-' and '_'" for name in roles.everyone if not _is_name(name)
    ]
    if len(set(map(str.lower, roles.everyone))) != len(roles.everyone):
        wrong.append("roles: somebody is named twice; nobody has two roles")
    if not roles.witnesses:
        wrong.append("roles.witnesses: there has to be a witness")
    if not 1 <= len(roles.officers) <= _MOST_OFFICERS:
        wrong.append(f"roles.officers: there have to be 1 to {_MOST_OFFICERS} officers")
    faults.found += wrong
    return roles


def _is_name(name: str) -> bool:
    return not name or _NAME.fullmatch(name) is not None  # who is not named at all is missing, which is said already


def _participants(table: Table, roles: Roles, faults: Faults) -> dict[str, Participant]:
    participants = {}
    for name in roles.everyone:
        if _NAME.fullmatch(name) and (entry := faults.take(lambda name=name: table.table(name), None)):  # type: ignore[misc]
            participants[name] = _participant(entry, faults)
    if roles.administrator and roles.officers and roles.witnesses:  # else who is named here and not there is not known
        faults.take(table.end, None)
    known = [participant.public_key for participant in participants.values() if participant.public_key]
    if len(set(known)) != len(known):
        faults.found.append("participants: two people have the same public key")
    return participants


def _participant(entry: Table, faults: Faults) -> Participant:
    participant = Participant(
        token=faults.take(lambda: _uri(entry, "token"), _NO_TOKEN),
        public_key=faults.take(lambda: _public_key(entry), ""),
        key=faults.take(lambda: entry.optional("key"), None) or CEREMONY,
        affiliation=faults.take(lambda: entry.optional("affiliation"), None) or "",
    )
    faults.take(entry.end, None)
    return participant


def _public_key(entry: Table) -> str:
    text = entry.text("public_key")
    _require_public_key(text, entry.name)
    return text


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
    threshold = table.number("threshold", 2, max(2, len(roles.officers)))
    table.end()
    return threshold


def _certificate(root: Table, kind: Kind, faults: Faults) -> dict[str, str]:
    table = faults.take(lambda: root.optional_table("certificate", applies=bool(kind.certificate)), None)
    if table is None:
        if kind.certificate:
            faults.found.append(f"certificate: is missing, with {', '.join(kind.certificate)}")
        return {}
    values = {name: faults.take(lambda name=name: table.text(name), "") for name in kind.certificate}  # type: ignore[misc]
    faults.take(table.end, None)
    faults.found += _misshapen(values)
    return values


def _issuer(root: Table, kind: Kind, base: Path, faults: Faults) -> Issuer | None:
    table = faults.take(lambda: root.optional_table("issuer", applies=kind.issuer), None)
    if table is None:
        if kind.issuer:
            faults.found.append("issuer: is missing, with token and certificate")
        return None
    issuer = Issuer(
        token=faults.take(lambda: _uri(table, "token"), _NO_TOKEN),
        certificate=base / faults.take(lambda: table.text("certificate"), ""),
        key=faults.take(lambda: table.optional("key"), None) or MEDICAL_AUTHORITY,
        previous_crl=base / faults.take(lambda: table.text("previous_crl"), "") if kind.revokes else None,
    )
    faults.take(table.end, None)
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


def _misshapen(values: dict[str, str]) -> list[str]:
    known = {name: (value, *_CERTIFIED[name]) for name, value in values.items() if value and name in _CERTIFIED}
    return [f"certificate.{name}: {says}" for name, (value, form, says) in known.items() if not form.fullmatch(value)]


def _outputs(root: Table, kind: Kind, base: Path, faults: Faults) -> dict[str, Path]:
    table = faults.take(lambda: root.optional_table("outputs", applies=bool(kind.outputs)), None)
    if table is None:
        if kind.outputs:
            faults.found.append(f"outputs: is missing, with {', '.join(kind.outputs)}")
        return {}
    named = {name: faults.take(lambda name=name: table.text(name), "") for name in kind.outputs}  # type: ignore[misc]
    faults.take(table.end, None)
    outputs = {name: base / file for name, file in named.items() if file}
    if len(set(outputs.values())) != len(outputs):
        faults.found.append("outputs: two of them are the same file")
    return outputs
