"""What a patient signed for others, and what others signed for it: consents, mandates, and by what it stands for somebody.

All of it lies in the patient's evidence. Numbers count what was given from this profile: the oldest is 1, and stays 1.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeAlias

from google.protobuf.message import DecodeError

from federation.clock import Clock
from federation.errors import DeputyExpired, DeputyInvalid, DeputyRevoked, MalformedMessage, RevocationShardMissing
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.person.errors import NoDeputy, NoSuchGrant, NoSuchMandate
from federation.person.evidence import EvidenceBook
from federation.protocol import access, exhibits
from federation.protocol.access import Grantee, Power
from federation.protocol.anchors import statement_entry, sweep_entry
from federation.protocol.consent import (
    Terms,
    make_grant,
    make_mandate,
    open_deputyship,
    peek_deputyship,
    read_grant,
)
from federation.protocol.exhibit import KeptExhibit
from federation.protocol.parsing import check, field_rule
from federation.protocol.parties import Entropy, Party
from federation.protocol.shown import is_taken_back, stating_role
from federation.protocol.statements import POWER_NAMES, peek_statement
from federation.protocol.time import Instant
from federation.v1.access_pb2 import Consent, Deputyship
from federation.v1.revocation_pb2 import Revocation
from federation.v1.statement_pb2 import (
    POWER_REVOKE,
    Grant,
    Mandate,
    SignedStatement,
)
from keystore.identities import PatientId

MOST_FILE_BYTES = 64 * 1024
AT_ONCE = field_rule(Revocation, "statements").max_items
"""Statements that one rev takes back."""

Stated: TypeAlias = access.Grant | access.Deputyship
"""What a patient may take back."""

Revoked: TypeAlias = tuple[str, SignedStatement]
"""A kind of statement ("grant", "mandate"), and the statement."""


@dataclass(frozen=True)
class NewGrant:
    """A consent to give: to whom, on which terms; and by what, where it is about another patient's records.

    `ends` is when it ends whenever it is signed; None is when the terms' life is over.
    """

    grantee: Grantee
    terms: Terms
    deputyship: Deputyship | None = None
    ends: Instant | None = None

    def terms_at(self, now: Instant) -> Terms:
        """Return the terms as they are signed now."""
        return self.terms if self.ends is None else replace(self.terms, life=timedelta(milliseconds=self.ends - now))


@dataclass(frozen=True)
class KeptGrant:
    """A consent that was given from this profile. `serial` is that of the credential that it stands on."""

    number: int
    grant: access.Grant
    serial: bytes
    purpose: str
    signed: SignedStatement
    deputyship: Deputyship | None
    is_revoked: bool


@dataclass(frozen=True)
class KeptMandate:
    """A mandate that this patient gave; `shown` is what the deputy needs to show it."""

    number: int
    mandate: access.Deputyship
    signed: SignedStatement
    shown: Deputyship
    is_revoked: bool


@dataclass(frozen=True)
class HeldDeputyship:
    """By what this patient stands for another: a mandate of that patient, or a guardianship of a hospital's desk."""

    shown: Deputyship
    stated_by: str
    says: access.Deputyship
    is_revoked: bool


class Consents:
    """The consents, mandates and deputyships of one patient's profile."""

    def __init__(
        self,
        member: Member,
        cloud: CloudClient,
        book: EvidenceBook,
        is_waiting: Callable[[Stated], bool] = lambda _stated: False,
        *,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """Keep them in this book, and take them back at this cloud; `is_waiting` says which wait to be taken back."""
        self._member = member
        self._cloud = cloud
        self._book = book
        self._is_waiting = is_waiting
        self._clock = clock
        self._entropy = entropy

    def grants(self) -> list[KeptGrant]:
        """Return the consents that were given from this profile, in the order of giving, by the newest lists at hand."""
        kept = list(self._book.all("grant"))
        # All at once, where somebody answers.
        with suppress(RevocationShardMissing):
            self._member.lists.want(entry for one in kept for entry in _entries(one))
        return [self._kept_grant(number, one) for number, one in enumerate(kept, start=1)]

    def grant(self, number: int, patient_id: PatientId | None = None) -> KeptGrant:
        """Return the consent of this number, and of this patient if one is named. Raises NoSuchGrant."""
        for kept in self.grants():
            if kept.number == number and patient_id in (None, kept.grant.patient_id):
                return kept
        of_whom = "" if patient_id is None else f" in the name of {patient_id}"
        raise NoSuchGrant(f"You gave no consent of the number {number}{of_whom} from here.")

    def give(self, new: NewGrant, signer: Party) -> KeptGrant:
        """Sign a consent, and keep it before anybody has it. Raises GrantInvalid for its life."""
        now = self._clock()
        terms = new.terms_at(now)
        signed = make_grant(signer, new.grantee, terms, now=now, entropy=self._entropy, deputyship=new.deputyship)
        grant_id = peek_statement(Grant, signed).grant_id
        self._book.keep(exhibits.of_grant(signed, signer.self_, new.deputyship), grant_id, now=now)
        return next(kept for kept in self.grants() if kept.grant.id == grant_id)

    def revoke(self, grants: Sequence[KeptGrant]) -> None:
        """Take consents back: the cloud's next list names them. Raises the cloud's refusal, NoDeputy."""
        by_patient: dict[PatientId, list[Revoked]] = {}
        for kept in grants:
            by_patient.setdefault(kept.grant.patient_id, []).append(("grant", kept.signed))
        for patient_id, revoked in by_patient.items():
            self._revoke(patient_id, revoked)

    def sweep(self, patient_id: PatientId, before: Instant) -> None:
        """Take back everything that was signed in this patient's name before then: grants and mandates, its deputies' too.

        Raises the cloud's refusal, NoDeputy.
        """
        if patient_id == self._member.identity:
            self._cloud.revoke(self._member, (), before=before)
        else:
            deputyship = self.acting_for(patient_id, POWER_REVOKE).shown
            self._cloud.revoke(self._member, (), owner_id=patient_id, before=before, deputyship=deputyship)

    def mandates(self) -> list[KeptMandate]:
        """Return the mandates that this patient gave, in the order of giving."""
        given = (kept for kept in self._book.all("mandate") if kept.exhibit.signer == self._member.identity)
        return [self._kept_mandate(number, kept) for number, kept in enumerate(given, start=1)]

    def appoint(self, deputy_id: PatientId, powers: Sequence[Power], life: timedelta) -> Deputyship:
        """Make another patient the deputy; give what that patient needs to show it. Raises DeputyInvalid for its life."""
        now = self._clock()
        party = self._member.party(now)
        if deputy_id == party.identity:
            raise DeputyInvalid("nobody is its own deputy")
        signed = make_mandate(party, deputy_id, powers, life, now=now, entropy=self._entropy)
        mandate_id = peek_statement(Mandate, signed).mandate_id
        self._book.keep(exhibits.of_mandate(signed, party.self_), mandate_id, now=now)
        return Deputyship(mandate=signed, key_statement=party.self_.key_statement)

    def mandate(self, number: int) -> KeptMandate:
        """Return the mandate of this number. Raises NoSuchMandate."""
        for kept in self.mandates():
            if kept.number == number:
                return kept
        raise NoSuchMandate(f"You gave no mandate of the number {number} from here.")

    def end(self, kept: KeptMandate) -> None:
        """Take a mandate back, and what the deputy granted by it with it. Raises the cloud's refusal."""
        self._cloud.revoke(self._member, [("mandate", kept.signed)])

    def accept(self, data: bytes) -> HeldDeputyship:
        """Verify what makes this patient a deputy, as another patient or a hospital's desk handed it over, and keep it.

        Raises DeputyInvalid, DeputyExpired, DeputyRevoked, MalformedMessage; Authentication for who stated it.
        """
        shown = _read(data)
        now, verifier = self._clock(), self._member.verifier()
        stated_by = verifier.party(shown.key_statement, stating_role(shown), now=now)
        says = open_deputyship(shown, stated_by)
        if says.deputy_id != self._member.identity:
            raise DeputyInvalid(f"it is for {says.deputy_id}")
        held = HeldDeputyship(shown, stated_by.identity, says, self._is_taken_back(says))
        if held.is_revoked:
            raise DeputyRevoked("it was taken back already")
        if now >= says.validity.not_after:
            raise DeputyExpired("it has ended")
        self._book.keep(exhibits.of_deputyship(shown, stated_by), says.id, now=now)
        return held

    def held(self) -> list[HeldDeputyship]:
        """Return by what this patient stands for others, or stood; each once, as it was accepted last."""
        kept = [*self._book.all("mandate"), *self._book.all("guardian")]
        others = (one for one in kept if one.exhibit.signer != self._member.identity)
        return list({one.reference: self._held(one) for one in others}.values())

    def acting_for(self, patient_id: PatientId, power: Power) -> HeldDeputyship:
        """Return by what this patient may do that in the other's name now. Raises NoDeputy."""
        held = [one for one in self.held() if one.says.patient_id == patient_id]
        standing = [one for one in held if not one.is_revoked and self._clock() < one.says.validity.not_after]
        able = [one for one in standing if power in one.says.powers]
        if able:
            return max(able, key=lambda one: one.says.validity.not_after)
        if standing:
            raise NoDeputy(f'What you hold of {patient_id} does not give the power "{POWER_NAMES[power]}".')
        if held:
            raise NoDeputy(f"What made you the deputy of {patient_id} has ended, or was taken back.")
        raise NoDeputy(f"You hold neither a mandate of {patient_id} nor a guardianship.")

    def _revoke(self, patient_id: PatientId, revoked: Sequence[Revoked]) -> None:
        is_own = patient_id == self._member.identity
        deputyship = None if is_own else self.acting_for(patient_id, POWER_REVOKE).shown
        for first in range(0, len(revoked), AT_ONCE):
            batch = revoked[first : first + AT_ONCE]
            self._cloud.revoke(self._member, batch, owner_id=patient_id, deputyship=deputyship)

    def _kept_grant(self, number: int, kept: KeptExhibit) -> KeptGrant:
        signed = SignedStatement(statement=kept.exhibit.message, signature=kept.exhibit.signature)
        stated = peek_statement(Grant, signed)
        grant, deputyship = read_grant(stated), exhibits.deputyship_in(kept.exhibit.openings)
        lists = self._member.verifier().lists
        is_revoked = _as_known(lambda: lists.is_taken_back("grant", grant.patient_id, grant.id, grant.stated_at))
        return KeptGrant(
            number=number,
            grant=grant,
            serial=stated.signer_serial,
            purpose=stated.purpose,
            signed=signed,
            deputyship=deputyship,
            # What a deputy granted ends with what made it one.
            is_revoked=is_revoked
            or self._is_waiting(grant)
            or (deputyship is not None and self._is_taken_back(peek_deputyship(deputyship))),
        )

    def _kept_mandate(self, number: int, kept: KeptExhibit) -> KeptMandate:
        signed = SignedStatement(statement=kept.exhibit.message, signature=kept.exhibit.signature)
        shown = Deputyship(mandate=signed, key_statement=kept.exhibit.key_statement)
        mandate = peek_deputyship(shown)
        is_revoked = self._is_taken_back(mandate) or self._is_waiting(mandate)
        return KeptMandate(number, mandate, signed, shown, is_revoked)

    def _held(self, kept: KeptExhibit) -> HeldDeputyship:
        exhibit = kept.exhibit
        signed = SignedStatement(statement=exhibit.message, signature=exhibit.signature)
        shown = Deputyship(key_statement=exhibit.key_statement)
        (shown.mandate if exhibit.kind == "mandate" else shown.guardianship).CopyFrom(signed)
        says = peek_deputyship(shown)
        return HeldDeputyship(shown, exhibit.signer, says, self._is_taken_back(says))

    def _is_taken_back(self, deputyship: access.Deputyship) -> bool:
        return _as_known(lambda: is_taken_back(deputyship, self._member.verifier().lists))


def _as_known(look_up: Callable[[], bool]) -> bool:
    """Return whether something is known here to be taken back: what is told is not what hospitals decide by."""
    with suppress(RevocationShardMissing):
        return look_up()
    return False


def _entries(kept: KeptExhibit) -> Iterator[bytes]:
    grant = peek_statement(Grant, SignedStatement(statement=kept.exhibit.message, signature=kept.exhibit.signature))
    yield statement_entry("grant", grant.patient_id, grant.grant_id)
    yield sweep_entry(grant.patient_id)


def consent_of(kept: KeptGrant, signer: Party) -> Consent:
    """Return what a visit hands over: the grant, with what its receiver checks it by."""
    return Consent(grant=kept.signed, key_statement=signer.self_.key_statement, deputyship=kept.deputyship)


def _read(data: bytes) -> Deputyship:
    if len(data) > MOST_FILE_BYTES:
        raise MalformedMessage(f"what makes a deputy has at most {MOST_FILE_BYTES} bytes")
    try:
        shown = Deputyship.FromString(data)
    except DecodeError as error:
        raise MalformedMessage("this is neither a mandate nor a guardianship") from error
    check(shown)
    return shown
