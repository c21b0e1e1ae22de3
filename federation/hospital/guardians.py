"""Guardianships that this hospital's desk states: who stands for a patient that can't sign. Kept sealed, for they name both."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from federation.errors import Corrupt, NotFound
from federation.hospital.services import Hospital
from federation.party.audit import OK, AuditEvent
from federation.party.reencryption import Steps, sealed_under
from federation.protocol.consent import Ward, make_guardianship
from federation.protocol.identities import require_identity
from federation.protocol.statements import peek_statement, sign_statement
from federation.protocol.time import Instant, milliseconds
from federation.store.guardianships import Guardianships
from federation.store.rows import Act, StoredGuardianship
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import Guardianship
from keystore.errors import SealBroken
from keystore.keyring import Sealing
from keystore.transcript import transcript

GUARDIANSHIPS_KEPT = timedelta(days=366)
"""After their end: so long the desk can look up who stood for whom."""


@dataclass(frozen=True)
class KeptGuardianship:
    """A guardianship that was stated here: what is kept of it, what its guardian shows, and what that says."""

    row: StoredGuardianship
    shown: Deputyship
    statement: Guardianship

    def state(self, now: Instant) -> str:
        """Return how it stands: "ended", "over" or "stands"."""
        if self.row.ended_at is not None:
            return "ended"
        return "stands" if now < self.row.not_after else "over"


def state_guardianship(hospital: Hospital, ward: Ward, by: str) -> KeptGuardianship:
    """State a guardianship and keep it. Raises FieldInvalid, DeputyInvalid for what may not be stated, NotRegistered."""
    require_identity("patient", ward.patient_id)
    require_identity("patient", ward.deputy_id)
    now = hospital.clock()
    party = hospital.member.party(now)
    signed = make_guardianship(party, ward, now=now, entropy=hospital.entropy)
    shown = Deputyship(guardianship=signed, key_statement=party.self_.key_statement)
    statement = peek_statement(Guardianship, signed)
    row = StoredGuardianship(statement.guardianship_id, b"", statement.not_after)
    kept = KeptGuardianship(replace(row, sealed=_sealed(hospital.sealing, row, shown)), shown, statement)
    hospital.stores.guardianships.add(kept.row, act=_act(hospital, "GUARDIAN-STATED", kept, by))
    return kept


def restate_guardianship(hospital: Hospital, guardianship_id: bytes, by: str) -> KeptGuardianship:
    """Sign a guardianship anew from now on, under the credential of now: the one before ends with the hospital's last.

    Raises NotFound for none, one that was ended or is over, or one that is being stated anew by another command.
    """
    now, kept = hospital.clock(), guardianship(hospital, guardianship_id)
    if kept.state(now) != "stands":
        raise NotFound(f"the guardianship {guardianship_id.hex()} no longer stands")
    party = hospital.member.party(now)
    statement = Guardianship()
    statement.CopyFrom(kept.statement)
    statement.hospital_serial, statement.stated_at, statement.not_before = party.self_.serial, now, now
    signed = sign_statement("guardian", statement, party.signing_key)
    shown = Deputyship(guardianship=signed, key_statement=party.self_.key_statement)
    anew = _sealed(hospital.sealing, kept.row, shown)
    if not hospital.stores.guardianships.reseal(guardianship_id, kept.row.sealed, anew):
        raise NotFound("the guardianship was changed by another command; try again")
    stated = KeptGuardianship(replace(kept.row, sealed=anew), shown, statement)
    hospital.audit.record(_event("GUARDIAN-RESTATED", stated, by), now=now)
    return stated


def end_guardianship(hospital: Hospital, kept: KeptGuardianship, by: str) -> bool:
    """End a guardianship here, at once; return whether it was not ended before. Raises StoreError."""
    now = hospital.clock()
    act = _act(hospital, "GUARDIAN-ENDED", kept, by)
    return hospital.stores.guardianships.end(kept.row.guardianship_id, at=now, act=act)


def guardianship(hospital: Hospital, guardianship_id: bytes) -> KeptGuardianship:
    """Return a guardianship that was stated here. Raises NotFound, Corrupt."""
    row = hospital.stores.guardianships.get(guardianship_id)
    if row is None:
        raise NotFound(f"there is no guardianship {guardianship_id.hex()} here")
    return _opened(hospital.sealing, row)


def guardianships(hospital: Hospital) -> Iterator[KeptGuardianship]:
    """Return every guardianship that was stated here and is not long over. Raises Corrupt."""
    return (_opened(hospital.sealing, row) for row in hospital.stores.guardianships.all())


def sweep_guardianships(hospital: Hospital) -> int:
    """Remove guardianships that were over long ago, some at a time; return how many."""
    return hospital.stores.guardianships.forget(over_before=hospital.clock() - milliseconds(GUARDIANSHIPS_KEPT))


def reseal_guardianships(store: Guardianships, sealing: Sealing) -> Steps:
    """Seal the guardianships anew. Raises SealBroken."""
    for row in store.all():
        anew = sealing.reseal(row.sealed, _context(row))
        yield anew != row.sealed and store.reseal(row.guardianship_id, row.sealed, anew)


def count_guardianships_under(store: Guardianships, sealing: Sealing, generation: int) -> int:
    """Count the guardianships that a sealing generation sealed."""
    return sealed_under((row.sealed for row in store.all()), sealing, generation)


def _sealed(sealing: Sealing, row: StoredGuardianship, shown: Deputyship) -> bytes:
    return sealing.seal(shown.SerializeToString(deterministic=True), _context(row))


def _opened(sealing: Sealing, row: StoredGuardianship) -> KeptGuardianship:
    try:
        shown = Deputyship.FromString(sealing.open(row.sealed, _context(row)))
    except SealBroken as error:
        raise Corrupt("a guardianship does not open under this hospital's token") from error
    return KeptGuardianship(row, shown, peek_statement(Guardianship, shown.guardianship))


def _context(row: StoredGuardianship) -> bytes:
    return transcript("guardianship", row.guardianship_id)


def _act(hospital: Hospital, kind: str, kept: KeptGuardianship, by: str) -> Act:
    return Act(hospital.audit.entry(_event(kind, kept, by), now=hospital.clock()))


def _event(kind: str, kept: KeptGuardianship, by: str) -> AuditEvent:
    said = kept.statement
    about = (
        f"{said.guardianship_id.hex()}: {said.deputy_id} for {said.patient_id}, {said.basis}, seen by {said.officer}"
    )
    return AuditEvent(kind, OK, detail=f"{about}; by {by}")
