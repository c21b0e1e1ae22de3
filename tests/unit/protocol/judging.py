"""Exhibits of every kind for the judge, each by the real flow that leaves it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from federation.protocol import exhibits
from federation.protocol.consent import Ward, make_guardianship, make_mandate
from federation.protocol.exhibit import Exhibit, KeptExhibit
from federation.protocol.judged_logs import time_exhibit
from federation.protocol.judging import fields_of
from federation.protocol.merkle import consistency_proof
from federation.protocol.statements import Signed, sign_statement
from federation.protocol.time import milliseconds
from federation.protocol.told_log import LogAuthor, as_evidence
from federation.v1.access_pb2 import Deputyship, ProvedHead
from federation.v1.log_pb2 import GetTimeStampResponse
from federation.v1.publication_pb2 import PublicationReceipt
from federation.v1.statement_pb2 import POWER_READ
from keystore.identities import PatientId
from keystore.transcript import digest
from tests.simulator import Federation
from tests.time_authority import shared_authority
from tests.trees import reader_of
from tests.unit.protocol.visiting import visit
from tests.vectors.told import SIZE, Writer, told

LIST_SEQUENCE = 7


def kept(exhibit: Exhibit, reference: bytes = b"r" * 16) -> KeptExhibit:
    """An exhibit as a holder keeps it."""
    return KeptExhibit(exhibit, reference, 1_700_000_000_000, LIST_SEQUENCE)


def of_visit(federation: Federation) -> list[KeptExhibit]:
    """All that a visit leaves, on both sides."""
    found = visit(federation)
    (p1,) = (it for it in found if it.kind == "P1")
    (d3,) = (it for it in found if it.kind == "D3")
    sessions = {"D1": fields_of("P1", 12, p1.signed)[10], "H1": fields_of("D3", 12, d3.signed)[9]}
    return [kept(it, sessions.get(it.kind, b"r" * 16)) for it in found]


def of_deputies(federation: Federation) -> list[KeptExhibit]:
    """A mandate and a guardianship, at the deputy."""
    now, entropy = federation.clock.now, federation.entropy
    patient, hospital = federation.party(federation.patient), federation.party(federation.hospital_a)
    deputy = PatientId(federation.other_patient.identity)
    mandate = make_mandate(patient, deputy, [POWER_READ], timedelta(days=1), now=now, entropy=entropy)
    until = now + milliseconds(timedelta(days=1))
    ward = Ward(PatientId("P:wang"), deputy, "court", "officer", [POWER_READ], until)
    guardianship = make_guardianship(hospital, ward, now=now, entropy=entropy)
    held = Deputyship(guardianship=guardianship, key_statement=hospital.self_.key_statement)
    return [kept(exhibits.of_mandate(mandate, patient.self_)), kept(exhibits.of_deputyship(held, hospital.self_))]


def of_publication(federation: Federation) -> KeptExhibit:
    """PUBACK, at the hospital."""
    receipt = PublicationReceipt(publication_digest=digest(b"pub"), done_at=federation.clock.now)
    signed = sign_statement("puback", receipt, federation.cloud.keys.signing_key)
    return kept(Exhibit.of(Signed.of_statement("puback", signed), federation.cloud.anchors.cloud_id))


def writer_of(federation: Federation) -> Writer:
    """A hospital's log."""
    hospital = federation.party(federation.hospital_a)
    realm = federation.cloud.anchors.realm
    return Writer(realm, "H:alpha", hospital.signing_key, PatientId("P:wang"), federation.clock.now)


def of_accesses(federation: Federation, *, by_itself: bool = False) -> KeptExhibit:
    """What a hospital's log told, cosigned by another hospital, or by that one itself."""
    writer = writer_of(federation)
    hospital = federation.party(federation.hospital_a)
    witness = hospital if by_itself else federation.party(federation.hospital_b)
    answer = told(writer, (witness.signing_key, witness.identity, witness.self_.key_statement))
    author = LogAuthor(writer.realm, "H:alpha", hospital.self_.key)
    head = as_evidence(answer.head, author, federation.patient.verifier(), now=federation.clock.now)
    stated = hospital.self_.key_statement
    return kept(exhibits.of_accesses(head, answer.entries, writer.patient_id, "H:alpha", stated))


def of_fork(federation: Federation, size: int = SIZE) -> KeptExhibit:
    """Two heads of one log: of one size a fork."""
    writer = writer_of(federation)
    shown = ProvedHead(note=writer.note(size, reader_of(writer.leaves(b" rewritten"))))
    known = writer.note(SIZE, reader_of(writer.leaves()))
    stated = federation.party(federation.hospital_a).self_.key_statement
    return kept(exhibits.of_heads(known, shown, "H:alpha", stated))


def of_stamp(federation: Federation, size: int = SIZE, over: int = SIZE + 20) -> KeptExhibit:
    """A head of a hospital's log, and a time stamp over a later one."""
    writer, hospital = writer_of(federation), federation.party(federation.hospital_a)
    read = reader_of(writer.leaves())
    note = writer.note(over, read)
    answer = GetTimeStampResponse(
        note=note,
        key_statement=hospital.self_.key_statement,
        time_stamp=shared_authority().stamp(note),
        consistency=consistency_proof(size, over, read),
    )
    head = writer.note(size, read)
    return kept(time_exhibit("H:alpha", head, hospital.self_.key_statement, answer))


def of_every_kind(federation: Federation) -> list[KeptExhibit]:
    """One of each kind, or more."""
    others = of_publication(federation), of_accesses(federation), of_fork(federation), of_stamp(federation)
    return [*of_visit(federation), *of_deputies(federation), *others]


def changed(one: KeptExhibit, **parts: Any) -> KeptExhibit:
    """The same with something else in it."""
    return replace(one, exhibit=replace(one.exhibit, **parts))


def flipped(data: bytes, at: int = -1) -> bytes:
    """The same with one bit of it turned."""
    found = bytearray(data)
    found[at] ^= 1
    return bytes(found)
