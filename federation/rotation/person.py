"""Rotation of a doctor's or patient's keys: what hangs on each, and what its steps ask for (docs/rotation.md)."""

from collections.abc import Callable
from contextlib import suppress

from federation.clock import system_clock
from federation.errors import RenewalNotDue
from federation.party.audit import OK, Audit, AuditEvent
from federation.party.member import Member
from federation.party.reencryption import Steps, reseal_epochs, reseal_evidence, sealed_under
from federation.party.registration import renew_registration
from federation.person.evidence import EvidenceBook
from federation.person.node import Kept, OpenDoctor, OpenPatient
from federation.rotation.steps import Rotation, Use
from keystore.generations import Generation
from keystore.party import IDENTITY, SEALING

PURPOSES = (IDENTITY, SEALING)

LOG_ENTRIES = "log entries"
FORGETTABLE = {LOG_ENTRIES: "forget-log"}


def doctor_rotation(opened: OpenDoctor) -> Rotation:
    """Return the rotation of a doctor's keys. A new identity key signs once the doctor has registered with its new Cert_D."""
    return _rotation(opened.member, opened.kept, lambda _: None)


def patient_rotation(opened: OpenPatient) -> Rotation:
    """Return the rotation of a patient's keys. With a new identity key the patient registers again when it is activated."""

    def register_again(_: Generation) -> None:
        if opened.member.is_registered:
            opened.cloud.refresh(opened.member)
            with suppress(RenewalNotDue):  # the key of the live registration signs on, until another is due
                renew_registration(opened.member, opened.cloud, opened.unlocked.password.value)

    return _rotation(opened.member, opened.kept, register_again)


def _rotation(member: Member, kept: Kept, register_again: Callable[[Generation], None]) -> Rotation:
    audit = Audit(kept.log, member.keys.sealing, where=member.identity)

    def record(line: str) -> None:
        audit.record(AuditEvent("ROTATION", OK, detail=line), now=system_clock())

    uses = {
        IDENTITY: Use(left={"registration": member.is_registered_under}, activated=register_again),
        SEALING: _sealing(member, kept, audit),
    }
    return Rotation(member.keys, kept.book, uses, record)


def _sealing(member: Member, kept: Kept, audit: Audit) -> Use:
    sealing, exhibits = member.keys.sealing, EvidenceBook(member, kept.evidence)

    def walk() -> Steps:
        yield from reseal_epochs(kept.epochs, member.keys)
        yield from reseal_evidence(kept.evidence, sealing, exhibits.context_of)
        for files in kept.files:
            yield from files.reseal()
        yield member.reseal_request()

    return Use(
        left={
            "epochs": lambda number: sealed_under((it.sealed_seed for it in kept.epochs.all()), sealing, number),
            "exhibits": lambda number: sealed_under((it.sealed for it in kept.evidence.walk()), sealing, number),
            "files": lambda number: sum(files.count_under(number) for files in kept.files),
            "registration under way": member.request_is_under,
            LOG_ENTRIES: audit.count_under,
        },
        forgettable=frozenset({LOG_ENTRIES}),
        walk=walk,
    )
