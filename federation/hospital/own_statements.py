"""What this hospital itself stated and ended before its time: it is refused here at once, before any revocation list has it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from federation.errors import MalformedMessage
from federation.hospital.services import Hospital
from federation.protocol.anchors import statement_entry
from federation.protocol.consent import peek_duty
from federation.protocol.shown import held_deputyship, held_duty
from federation.protocol.statements import peek_statement
from federation.protocol.verifier import Verifier
from federation.v1.access_pb2 import Access
from federation.v1.record_pb2 import Deposit, OwnDocument, RecordQuery
from federation.v1.statement_pb2 import Guardianship


def verifier_for(hospital: Hospital, message: RecordQuery | Deposit | OwnDocument) -> Verifier:
    """Return the checks with the newest lists, and with what of this message's access was ended here."""
    verifier = hospital.member.verifier()
    ended = frozenset(_ended(hospital, message.access)) if message.HasField("access") else frozenset[bytes]()
    return replace(verifier, lists=replace(verifier.lists, ended=ended)) if ended else verifier


def _ended(hospital: Hospital, shown: Access) -> Iterator[bytes]:
    # Nothing is verified yet: what is no statement is refused by the decision that follows.
    with suppress(MalformedMessage):
        yield from _ended_duty(hospital, shown)
    with suppress(MalformedMessage):
        yield from _ended_guardianship(hospital, shown)


def _ended_duty(hospital: Hospital, shown: Access) -> Iterator[bytes]:
    held = held_duty(shown)
    if held is None:
        return
    duty = peek_duty(held)
    if duty.hospital_id != hospital.identity:
        return
    shift = hospital.stores.shifts.get(duty.id)
    # One that the roster doesn't have was stated before a backup was restored, or by a thief of the key.
    if shift is None or shift.ended_at is not None:
        yield statement_entry("duty", duty.hospital_id, duty.id)


def _ended_guardianship(hospital: Hospital, shown: Access) -> Iterator[bytes]:
    held = held_deputyship(shown)
    if held is None or held.WhichOneof("by") != "guardianship":
        return
    stated = peek_statement(Guardianship, held.guardianship)
    if stated.hospital_id != hospital.identity:
        return
    kept = hospital.stores.guardianships.get(stated.guardianship_id)
    if kept is not None and kept.ended_at is not None:
        yield statement_entry("guardian", stated.hospital_id, stated.guardianship_id)
