"""What a judge works with: checks one after the other, what follows from them, and one exhibit before him."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from cryptography import x509
from google.protobuf.message import Message

from federation.errors import AnswerMismatch, FederationError, FieldInvalid, MalformedMessage, MissingField
from federation.protocol.anchors import Anchors, Lists
from federation.protocol.exhibit import Exhibit
from federation.protocol.parsing import LAST_TIME, parse
from federation.protocol.revocations import EMPTY
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant
from federation.protocol.verifier import VerifiedParty, Verifier, role_of
from federation.v1 import statement_pb2 as pb
from federation.v1.statement_pb2 import KeyStatement, SignedStatement
from keystore.signatures import VerifyingKey
from keystore.transcript import LENGTH_BYTES, PREFIX, frame, text

M = TypeVar("M", bound=Message)
T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """One check by its name: what it requires in words, and why it does not hold; `reason` is empty where it does."""

    name: str
    words: str
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Judgement:
    """What became of one exhibit: its checks as far as they went, and, where all hold, what it proves and what it does not.

    `name` is H(signature), by which others refer to it, and `statement` H(grant) of a grant; `refers` whom it names so; `session`
    its TH; `about` is of whom; `there_by` by when a time stamp says that what it names was there. `witnessed` says of a log's
    head whether as many cosigned it as the federation asked for then; None of anything else.
    """

    number: int
    kind: str
    signer: str
    checks: tuple[Check, ...]
    proves: tuple[str, ...]
    leaves_open: tuple[str, ...]
    name: bytes = b""
    refers: tuple[tuple[bytes, str], ...] = ()
    session: bytes = b""
    about: str = ""
    statement: bytes = b""
    there_by: Instant = 0
    witnessed: bool | None = None

    @property
    def holds(self) -> bool:
        """Return whether every check holds."""
        return bool(self.checks) and not any(check.reason for check in self.checks)

    def with_proof(self, *words: str) -> "Judgement":
        """Return it with more that is proved."""
        return replace(self, proves=(*self.proves, *words))


@dataclass
class Case:
    """One exhibit before the judge.

    `anchors` are those for evidence, `stampers` the certificates by which he knows time stamps; `fields` what a transcript holds.
    """

    exhibit: Exhibit
    reference: bytes
    anchors: Anchors
    stampers: Sequence[x509.Certificate] = ()
    checks: list[Check] = field(default_factory=list)
    fields: tuple[bytes, ...] = ()
    at: Instant = 0
    signer: VerifiedParty | None = None
    leaves_open: list[str] = field(default_factory=list)
    refers: list[tuple[bytes, str]] = field(default_factory=list)
    session: bytes = b""
    about: str = ""
    statement: bytes = b""
    there_by: Instant = 0
    witnessed: bool | None = None

    def check(self, name: str, words: str, look: Callable[[], T]) -> T:
        """Make a check and note how it went. Raises what it raises."""
        try:
            found = look()
        except FederationError as error:
            self.checks.append(Check(name, words, error.reason, str(error)))
            raise
        self.checks.append(Check(name, words))
        return found

    def read(self, message_type: type[M]) -> M:
        """Return the message that the fields come from. Raises MalformedMessage."""
        return parse(message_type, self.exhibit.message)

    def opening(self, name: str) -> bytes:
        """Return what is shown beside under this name. Raises MissingField."""
        found = self.exhibit.openings.get(name)
        if found is None:
            raise MissingField(f"the exhibit does not show {name}")
        return found

    def shown(self, label: str) -> tuple[SignedStatement, SignedStatement] | None:
        """Return a statement and the key statement beside it, if it is shown. Raises MissingField for half of it."""
        if label not in self.exhibit.openings:
            return None
        signed = SignedStatement(statement=self.opening(label), signature=self.opening(f"{label}_signature"))
        key_statement = SignedStatement(
            statement=self.opening(f"{label}_key_statement"),
            signature=self.opening(f"{label}_key_statement_signature"),
        )
        return signed, key_statement

    def shown_statement(self, name: str) -> SignedStatement | None:
        """Return a statement that is shown beside under this name, if it is. Raises MissingField for half of it."""
        if name not in self.exhibit.openings:
            return None
        return SignedStatement(statement=self.opening(name), signature=self.opening(f"{name}_signature"))

    @property
    def party(self) -> VerifiedParty:
        """Return who signed, where it is not the public cloud. Raises MissingField."""
        if self.signer is None:
            raise MissingField("the exhibit shows no key statement of who signed it")
        return self.signer

    def party_of(
        self, signed: SignedStatement | None, roles: "tuple[pb.Role.ValueType, ...]", identity: str, at: Instant
    ) -> VerifiedParty:
        """Make CRED(X) of that moment, whatever became of it since. Raises Authentication, MalformedMessage."""
        if signed is None:
            raise MissingField("the exhibit shows no key statement of who signed it")
        party = Verifier(self.anchors, Lists()).party_then(signed, role_of(identity, roles), at=at)
        if party.identity != identity:
            raise AnswerMismatch("the key statement is somebody else's")
        return party

    def encryption_key_of(self, signed: SignedStatement, party: VerifiedParty) -> None:
        """Require EK_X of that moment, whatever became of the key since. Raises Authentication, MalformedMessage."""
        Verifier(self.anchors, Lists(listed=EMPTY)).encryption_key(signed, party, now=self.at)


def stated_at(signed: SignedStatement | None) -> Instant:
    """Return when a key statement was stated, by itself; 0 without one. Raises MalformedMessage."""
    return 0 if signed is None else peek_statement(KeyStatement, signed).stated_at


def cloud_key_words(anchors: Anchors, key: VerifyingKey) -> str:
    """Return what became of a PUK_C since, by the trust bundle at hand; empty where nothing did."""
    revoked = [it.revoked_at for it in anchors.cloud_keys.periods if it.verifying_key == key.data and it.revoked_at]
    return f"that key was revoked later, at {moment(revoked[0])}" if revoked else ""


def issuer_words(anchors: Anchors, issuer: bytes) -> str:
    """Return what became of a PK since; empty where nothing did."""
    revoked = [it.revoked_at for it in anchors.issuers.periods if it.verifying_key == issuer and it.revoked_at]
    return f"the PK of its credential was revoked later, at {moment(revoked[0])}" if revoked else ""


def fields_of(label: str, count: int, data: bytes) -> tuple[bytes, ...]:
    """Take T(label, so many fields) apart, as nobody but a judge has to. Raises MalformedMessage, FieldInvalid."""
    begun = PREFIX + frame(text(label))
    if not data.startswith(begun):
        raise FieldInvalid(f"what was signed is no {label}")
    fields, at = list[bytes](), len(begun)
    while at < len(data):
        end = at + LENGTH_BYTES + int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        if end > len(data) or at + LENGTH_BYTES > len(data):
            raise MalformedMessage("what was signed is no transcript")
        fields.append(data[at + LENGTH_BYTES : end])
        at = end
    if len(fields) != count:
        raise MalformedMessage(f"a {label} signs {count} fields, not {len(fields)}")
    return tuple(fields)


def time_of(value: bytes) -> Instant:
    """Return a field that is a time. Raises FieldInvalid."""
    found = int.from_bytes(value, "big")
    if len(value) != 8 or found > LAST_TIME:
        raise FieldInvalid("a field that was signed is no time")
    return found


def words_of(value: bytes) -> str:
    """Return a field that is text. Raises FieldInvalid."""
    found = value.decode("ascii", "replace")
    if not found.isascii() or not found.isprintable():
        raise FieldInvalid("a field that was signed is no text")
    return found


def moment(at: Instant) -> str:
    """Return a moment in words, in UTC, to the millisecond."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
