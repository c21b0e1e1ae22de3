"""Emergencies in which this hospital gave records: each waits for an officer, who finds it justified or not, and signs that.

An emergency is known here by H(Emergency), not by the id in it: a doctor chooses that, and two could be alike.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from federation.errors import Conflict, Corrupt, FieldInvalid, NotFound
from federation.hospital.services import Hospital
from federation.party.audit import OK, AuditEntry, AuditEvent
from federation.party.reencryption import Steps, sealed_under
from federation.protocol.access import LONGEST_EMERGENCY, AccessEvent
from federation.protocol.consent import make_review
from federation.protocol.shown import Shown
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant, milliseconds
from federation.store.emergencies import Emergencies
from federation.store.rows import Act, DeclaredHere, StoredEmergency
from federation.v1.access_pb2 import DeclaredEmergency
from federation.v1.statement_pb2 import Emergency, Review, SignedStatement
from keystore.errors import SealBroken
from keystore.keyring import Sealing
from keystore.transcript import statement_digest, transcript

REVIEWED_WITHIN = timedelta(days=7)
"""After it was declared; then an alert says that an emergency was forgotten."""

MOST_NOTE = 4_000
"""Characters of an officer's note."""

_LOGGED_UNTIL = milliseconds(2 * LONGEST_EMERGENCY)
"""After its declaration: what was begun within its hour has ended within another."""


@dataclass(frozen=True)
class Finding:
    """What an officer decided: the statement, its signature, and the note that it holds the digest of."""

    signed: SignedStatement
    statement: Review
    note: str


@dataclass(frozen=True)
class KeptEmergency:
    """An emergency in which something was asked for here, what its doctor showed, and what an officer found."""

    row: StoredEmergency
    declared: DeclaredEmergency
    statement: Emergency
    finding: Finding | None

    @property
    def is_overdue_after(self) -> Instant:
        """Return until when it is to be reviewed."""
        return self.row.declared_at + milliseconds(REVIEWED_WITHIN)


def declared_here(hospital: Hospital, shown: Shown) -> DeclaredHere | None:
    """Return what is put up for review with the log's entry of an access; None of one by another ground."""
    if shown.access is None or shown.ground != "emergency":
        return None
    declared = shown.access.emergency
    named = statement_digest("bg", declared.emergency.statement)
    content = declared.SerializeToString(deterministic=True)
    declared_at = peek_statement(Emergency, declared.emergency).not_before
    return DeclaredHere(named, hospital.sealing.seal(content, _context(named)), declared_at)


def emergencies(hospital: Hospital, *, unreviewed: bool = False) -> list[KeptEmergency]:
    """Return the emergencies, the oldest first; those that wait for an officer alone, if asked. Raises Corrupt."""
    kept = (row for row in hospital.stores.emergencies.all() if not unreviewed or row.reviewed_at is None)
    rows = sorted(kept, key=lambda row: (row.declared_at, row.emergency_digest))
    return [_opened(hospital.sealing, row) for row in rows]


def emergency(hospital: Hospital, emergency_digest: bytes) -> KeptEmergency:
    """Return one emergency. Raises NotFound, Corrupt."""
    row = hospital.stores.emergencies.get(emergency_digest)
    if row is None:
        raise NotFound(f"no emergency {emergency_digest.hex()} was used here")
    return _opened(hospital.sealing, row)


def accesses_in(hospital: Hospital, kept: KeptEmergency) -> Iterator[AuditEntry]:
    """Return what the log says of the doctor's accesses to the patient's records by an emergency, from this one's first on.

    Another emergency of the same two within the hour is among it. Raises Corrupt.
    """
    said = kept.statement
    first = hospital.audit.entry_of(kept.row.logged)
    for entry in hospital.audit.entries(after=first.sequence - 1):
        if entry.at > kept.row.declared_at + _LOGGED_UNTIL:
            return
        event = entry.event
        about = (event.ground, event.asker_id, event.patient_id) if isinstance(event, AccessEvent) else None
        if about == ("emergency", said.doctor_id, said.patient_id):
            yield entry


def review_emergency(
    hospital: Hospital, kept: KeptEmergency, officer: str, note: str, by: str, *, justified: bool
) -> Finding:
    """Sign and keep what an officer finds of an emergency; it is found once, and said in the log.

    Raises Conflict for one that was reviewed before, FieldInvalid for no note or too long a one, NotRegistered.
    """
    if not note.strip() or len(note) > MOST_NOTE:
        raise FieldInvalid(f"a review says why, in at most {MOST_NOTE} characters")
    now = hospital.clock()
    party = hospital.member.party(now)
    named = kept.row.emergency_digest
    signed = make_review(party, named, officer, note, justified=justified, now=now)
    content = json.dumps({"statement": signed.statement.hex(), "signature": signed.signature.hex(), "note": note})
    sealed = hospital.sealing.seal(content.encode(), _review_context(named))
    found = "justified" if justified else "NOT JUSTIFIED"
    said = kept.statement
    detail = f"{named.hex()}: {said.doctor_id} with {said.patient_id}, {found}, found by {officer}; by {by}"
    act = Act(hospital.audit.entry(AuditEvent("EMERGENCY-REVIEWED", OK, detail=detail), now=now))
    if not hospital.stores.emergencies.review(named, sealed, at=now, act=act):
        raise Conflict(f"the emergency {named.hex()} was reviewed already")
    return Finding(signed, peek_statement(Review, signed), note)


def reseal_emergencies(store: Emergencies, sealing: Sealing) -> Steps:
    """Seal the emergencies and what was found of them anew. Raises SealBroken."""
    for row in store.all():
        named, review = row.emergency_digest, row.sealed_review
        sealed = sealing.reseal(row.sealed, _context(named))
        sealed_review = None if review is None else sealing.reseal(review, _review_context(named))
        yield (sealed, sealed_review) != (row.sealed, review) and store.reseal(row, sealed, sealed_review)


def count_emergencies_under(store: Emergencies, sealing: Sealing, generation: int) -> int:
    """Count what a sealing generation sealed of emergencies."""
    return sealed_under(
        (it for row in store.all() for it in (row.sealed, row.sealed_review) if it is not None), sealing, generation
    )


def _opened(sealing: Sealing, row: StoredEmergency) -> KeptEmergency:
    named, review = row.emergency_digest, row.sealed_review
    try:
        declared = DeclaredEmergency.FromString(sealing.open(row.sealed, _context(named)))
        finding = None if review is None else _finding(json.loads(sealing.open(review, _review_context(named))))
    except SealBroken as error:
        raise Corrupt("an emergency does not open under this hospital's token") from error
    return KeptEmergency(row, declared, peek_statement(Emergency, declared.emergency), finding)


def _finding(fields: dict[str, Any]) -> Finding:
    statement, signature = bytes.fromhex(fields["statement"]), bytes.fromhex(fields["signature"])
    signed = SignedStatement(statement=statement, signature=signature)
    return Finding(signed, peek_statement(Review, signed), fields["note"])


def _context(emergency_digest: bytes) -> bytes:
    return transcript("emergency", emergency_digest)


def _review_context(emergency_digest: bytes) -> bytes:
    return transcript("emergency-review", emergency_digest)
