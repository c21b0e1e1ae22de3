"""One run through every phase, each side's own steps in the real code. Who carries the messages is the caller's affair.

The vectors' generator records what goes by, the vectors' test puts the recorded bytes in its place, the properties bend it.
States are frozen, so a step's `receive` may be tried again with other bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from federation.protocol import consultation, record, record_hospital, room_requests, search
from federation.protocol import duty as protocol_duty
from federation.protocol.access import Receiver, Right, ToDoctor, Validity
from federation.protocol.consent import Shift, Terms, make_duty, make_grant
from federation.protocol.consultation import code_digest
from federation.protocol.documents import NewDocument, sign_document
from federation.protocol.frames import IncomingRecord, Piece
from federation.protocol.handshake import ReceivedOpening, Session, SessionKeys
from federation.protocol.parsing import check
from federation.protocol.parties import Party
from federation.protocol.revocation import entries_of_room
from federation.protocol.sealing import UNNAMED, Context
from federation.protocol.shown import Shown
from federation.protocol.verifier import Peer, VerifiedParty, Verifier
from federation.v1 import record_pb2, search_pb2
from federation.v1.access_pb2 import Access, Consent, OwnAccess, ShownDuty
from federation.v1.consultation_pb2 import (
    BiosignalDelivery,
    CloseRoomRequest,
    ConsultationOpening,
    ConsultationReply,
    GetRoomResponse,
    OpenRoomRequest,
)
from federation.v1.diagnosis_pb2 import DiagnosisDelivery, DiagnosisReceipt
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_LOG, RIGHT_READ, RIGHT_WRITE, SENSITIVITY_RESTRICTED
from keystore.transcript import digest
from tests.vectors import broken, told
from tests.vectors.signed import Facts
from tests.vectors.single_calls import DEPARTMENT_CLASS, HANDLE, call_all
from tests.vectors.spec import field, padded_size, sha256
from tests.vectors.world import Carry, Step, World

PLACE = bytes(range(100, 180))
"""Where an answer goes on: sealed by the cloud, and read by nobody else."""
ROOM_ID = bytes(range(16))
BIOSIGNAL = b"ecg " * 30
NOTE_TITLE, NOTE = "Nasenbluten, März", b"Since Monday, each morning."
ATTACHMENT = b"what a part of the record holds"
CUT = 100
"""Where M_EMR is cut into two slices: within its manifest."""
DIAGNOSIS = b'{"resourceType": "DiagnosticReport"}'
AMENDED = b'{"resourceType": "DiagnosticReport", "status": "amended"}'


@dataclass(frozen=True)
class Consulted:
    """What a consultation leaves: both sides' states, and TH1."""

    patient: consultation.AwaitingDiagnosis
    doctor: consultation.InConsultation
    consent: Consent


TERMS = Terms(("*",), ("*",), (RIGHT_INDEX, RIGHT_READ, RIGHT_WRITE))
HOUR_MS = 3_600_000


def duty(world: World) -> ShownDuty:
    """The doctor's duty at its hospital, for a day."""
    shift = Shift(
        b"a doctor's shift", world.doctor.identity, (DEPARTMENT_CLASS,), Validity(world.now, world.now + 24 * HOUR_MS)
    )
    stated = make_duty(world.hospital, shift, world.doctor.self_.verifying_key)
    return ShownDuty(duty=stated, key_statement=world.hospital.self_.key_statement)


def room(world: World) -> tuple[GetRoomResponse, bytes]:
    """What the relay serves of the doctor, and the digest in the doctor's code."""
    own = world.doctor
    statement, shown = own.self_.key_statement, duty(world)
    served = GetRoomResponse(
        key_statement=statement,
        doctor_certificate=own.certificate,
        encryption_key_statement=own.encryption_key_statement,
        revocations=world.cloud.excerpt(*entries_of_room(statement, own.encryption_key_statement, shown)),
        certificate_revocation_list=world.cloud.crls[0],
        duty=shown,
    )
    return served, code_digest(statement.statement, statement.signature, own.certificate)


def open_room(world: World, carry: Carry) -> None:
    """The doctor asks its hospital's relay for a room: signed, in clear."""
    hospital_id, doctor = world.hospital.identity, world.doctor
    request = room_requests.ask_for_room(doctor, hospital_id, now=world.now, entropy=world.entropy("room"))

    def receive(message: Any, *, now: int, admitted: bool = True) -> Peer:
        return room_requests.receive_room_request(message, hospital_id, world.verifier, now=now).admit(admitted)

    facts = Facts(receiver=hospital_id, query=doctor.identity)
    carry(Step("room", OpenRoomRequest, request, receive, None, None, facts, doctor.signing_key))


def ask_for_duty(world: World, carry: Carry) -> None:
    """The doctor asks its hospital whether it is on duty there: signed, in clear."""
    hospital_id, doctor = world.hospital.identity, world.doctor
    request = protocol_duty.ask_for_duty(doctor, hospital_id, now=world.now, entropy=world.entropy("duty-ask"))

    def receive(message: Any, *, now: int, admitted: bool = True) -> VerifiedParty:
        return protocol_duty.receive_duty_request(message, hospital_id, world.verifier, now=now)

    facts = Facts(receiver=hospital_id, query=doctor.identity)
    carry(Step("duty-ask", record_pb2.GetDutyRequest, request, receive, None, None, facts, doctor.signing_key))


def close_room(world: World, carry: Carry) -> None:
    """The doctor, who has P6, asks the relay to close the room: signed, in clear."""
    hospital_id, doctor = world.hospital.identity, world.doctor
    request = room_requests.ask_to_close(doctor, hospital_id, ROOM_ID)

    def receive(message: Any, *, now: int, admitted: bool = True) -> None:
        check(message)
        room_requests.verify_close(message, doctor.self_.key_statement, hospital_id)

    facts = Facts(receiver=hospital_id, query=doctor.identity)
    carry(Step("room-close", CloseRoomRequest, request, receive, None, None, facts, doctor.signing_key))


def consult(world: World, carry: Carry) -> Consulted:
    """P1, D1, P2."""
    now, verifier = world.now, world.verifier
    doctor = consultation.check_room(*room(world), verifier, now=now)
    waiting, opening = consultation.begin(
        world.patient, doctor, world.biometric_password, verifier, now=now, entropy=world.entropy("P1")
    )

    def receive(message: Any, *, now: int, admitted: bool = True) -> ReceivedOpening[Any, Any, Any]:
        pending = consultation.receive_opening(world.doctor, message, verifier, now=now)
        return pending.admit(admitted)

    key = world.doctor.keyring.find(opening.key_id)
    context = Context("p1", UNNAMED, world.doctor.identity, key.key_id, opening.session_id, now)
    facts = Facts(
        issuer_public_key=world.issuer_of("patient"),
        receiver=world.doctor.identity,
        key_id=key.key_id,
        session_id=opening.session_id,
    )
    signer = world.patient.signing_key
    asked = carry(Step("P1", ConsultationOpening, opening, receive, (key, context), None, facts, signer))
    replying, reply = asked.reply(now=now, entropy=world.entropy("D1"))
    context = Context(
        "d1", world.doctor.identity, world.patient.identity, waiting.decryption_key.key_id, opening.session_id, now
    )
    facts = Facts(issuer_public_key=world.issuer_of("doctor"), transcript_hash=replying.session.transcript_hash)
    keys = _keys(replying.session)
    step = Step(
        "D1",
        ConsultationReply,
        reply,
        lambda message, *, now, admitted=True: waiting.receive(message, verifier, now=now),
        (waiting.decryption_key, context),
        None,
        facts,
        world.doctor.signing_key,
        keys,
    )
    established = carry(step)
    return deliver(world, carry, established, replying)


def _keys(responder: Session) -> SessionKeys:
    return SessionKeys(responder.receiving.keys, responder.sending.keys, b"")


def deliver(
    world: World,
    carry: Carry,
    established: consultation.Established,
    replying: consultation.AwaitingBiosignal,
) -> Consulted:
    """P2, in two frames."""
    now = world.now
    certificate = world.doctor.certificate
    grantee = ToDoctor(world.doctor.identity, "M:chamber")
    grant = make_grant(world.patient, grantee, TERMS, now=now, entropy=world.entropy("grant"))
    consent = Consent(grant=grant, key_statement=world.patient.self_.key_statement)
    waiting, frames = established.deliver(BIOSIGNAL, Shown.by_consent(consent, world.patient.identity), now=now)
    facts = Facts(
        transcript_hash=replying.session.transcript_hash, doctor_id=world.doctor.identity, certificate=certificate
    )
    state: Any = replying
    for number, frame in enumerate(frames):
        framed = "p2", replying.receiving.keys
        receive = _receiving(state, world.verifier, duty(world))
        kind = BiosignalDelivery if frame.last else None
        state = carry(Step(f"P2-{number}", kind, frame, receive, None, framed, facts, world.patient.signing_key))
    return Consulted(waiting, state, consent)


def _receiving(state: Any, verifier: Verifier, *more: Any) -> Callable[..., Any]:
    return lambda message, *, now, admitted=True: state.receive(message, verifier, *more, now=now)


def by_consent(world: World, consent: Consent) -> Shown:
    """What the doctor shows: the consent, and that it is on duty."""
    return Shown.by_consent(consent, world.patient.identity, duty(world))


def own(world: World) -> Shown:
    """What the patient shows for its own records."""
    return Shown(world.patient.identity, Access(own=OwnAccess()))


def told_by_cloud(world: World) -> told.Answer:
    """What the cloud's log has of the patient, its head cosigned by the hospital."""
    hospital = world.hospital
    witness = hospital.signing_key, hospital.identity, hospital.self_.key_statement
    return told.told(told.writer_of(world, world.cloud.identity, world.cloud.signing_key), witness, told.KNOWN)


def told_by_hospital(world: World) -> told.Answer:
    """What the hospital's log has of the patient, its head cosigned by the cloud."""
    witness = world.cloud.signing_key, world.cloud.identity, None
    return told.told(told.writer_of(world, world.hospital.identity, world.hospital.signing_key), witness, told.SIZE)


def look_up(
    world: World, carry: Carry, asker: Party, shown: Shown, suffix: str = "", right: Right = RIGHT_INDEX
) -> search.Answer:
    """D2, C."""
    now, cloud, verifier = world.now, world.cloud, world.verifier
    # The patient asks for a page that is not the first, and the doctor's is not the last.
    after = PLACE if suffix == "-own" else b""
    department_class, known_size = (DEPARTMENT_CLASS, 0) if right == RIGHT_INDEX else ("*", told.KNOWN)
    question = search.Question(shown, department_class, after, right, known_size)
    draws = world.entropy("D2" + suffix)
    waiting, opening = search.ask(asker, question, cloud.encryption_key, verifier, now=now, entropy=draws)
    own = asker.self_

    def receive(message: Any, *, now: int, admitted: bool = True) -> search.VerifiedQuery:
        claimed = search.receive_query(message, cloud.keyring, verifier, now=now)
        known = claimed.claimed_asker == asker.identity
        pending = claimed.verify(own.serial if known else None, world.shared_key(asker), verifier, now=now)
        query = pending.admit(admitted)
        query.decide(verifier, Receiver(), now=now)
        return query

    key = cloud.keyring.find(opening.key_id)
    context = Context("d2", UNNAMED, cloud.identity, key.key_id, opening.session_id, now)
    facts = Facts(cloud_id=cloud.identity, registration_point=own.registration_point, serial=own.serial)
    step = Step("D2" + suffix, search_pb2.SearchQuery, opening, receive, (key, context), None, facts, asker.signing_key)
    query = carry(step)
    hospital = world.hospital
    departments = {"": [HANDLE, bytes(16)], ".ward-2": [bytes(16)]}
    at_hospital = search_pb2.IndexHospital(
        hospital_id=hospital.identity,
        address="localhost:4443",
        key_statement=hospital.self_.key_statement,
        encryption_key_statement=hospital.encryption_key_statement,
        departments=[
            search_pb2.IndexDepartment(department_id=f"{hospital.identity}/{DEPARTMENT_CLASS}{ward}", handles=handles)
            for ward, handles in departments.items()
        ],
    )
    logged = told_by_cloud(world)
    of_log = {"accesses": logged.entries, "log_head": logged.head}
    found = {"hospitals": (at_hospital,)} if right == RIGHT_INDEX else of_log
    findings = search.Findings(search_pb2.SEARCH_OUTCOME_FOUND, next=b"" if suffix else PLACE, **found)
    reply = query.answer(findings, cloud.identity, cloud.signing_key, now=now)
    context = Context("c", cloud.identity, asker.identity, waiting.decryption_key.key_id, opening.session_id, now)
    step = Step(
        "C" + suffix,
        search_pb2.SearchAnswer,
        reply,
        lambda message, *, now, admitted=True: waiting.receive(message, verifier, now=now),
        (waiting.decryption_key, context),
        None,
        replace(facts, query=query.query),
        cloud.signing_key,
    )
    return carry(step)


def establish(
    world: World, carry: Carry, asker: Party, intent: record.Intent, suffix: str
) -> tuple[record.Established, record_hospital.AwaitingRequest]:
    """D3, H1."""
    now, verifier, hospital = world.now, world.verifier, world.hospital
    key = verifier.encryption_key(hospital.encryption_key_statement, hospital.self_, now=now)
    addressed = Peer(hospital.self_, key)
    waiting, opening = record.begin(asker, addressed, intent, verifier, now=now, entropy=world.entropy("D3" + suffix))

    def receive(message: Any, *, now: int, admitted: bool = True) -> ReceivedOpening[Any, Any, Any]:
        return record_hospital.receive_opening(hospital, message, verifier, now=now).admit(admitted)

    own_key = hospital.keyring.find(opening.key_id)
    context = Context("d3", UNNAMED, hospital.identity, own_key.key_id, opening.session_id, now)
    facts = Facts(
        issuer_public_key=world.issuer_of(world.role_of(asker)),
        receiver=hospital.identity,
        key_id=own_key.key_id,
        session_id=opening.session_id,
    )
    signer = asker.signing_key
    asked = carry(
        Step("D3" + suffix, record_pb2.RecordOpening, opening, receive, (own_key, context), None, facts, signer)
    )
    requested, reply = asked.reply(now=now, entropy=world.entropy("H1" + suffix))
    asker_key = waiting.decryption_key
    context = Context("h1", hospital.identity, asker.identity, asker_key.key_id, opening.session_id, now)
    facts = Facts(issuer_public_key=world.issuer_of("hospital"), transcript_hash=requested.session.transcript_hash)
    keys = _keys(requested.session)
    step = Step(
        "H1" + suffix,
        record_pb2.RecordReply,
        reply,
        lambda message, *, now, admitted=True: waiting.receive(message, verifier, now=now),
        (asker_key, context),
        None,
        facts,
        hospital.signing_key,
        keys,
    )
    return carry(step), requested


def read_record(world: World, carry: Carry, asker: Party, shown: Shown, suffix: str = "") -> record.Received:
    """D3, H1, D4, H2 in three frames."""
    scope = record_pb2.Scope(purpose=record_pb2.PURPOSE_READ, department_class=DEPARTMENT_CLASS, handles=[HANDLE])
    return receive_content(world, carry, asker, shown, scope, record_content(world), 7, suffix)


def read_log(world: World, carry: Carry) -> record.Received:
    """The same for the log: a manifest of accesses, and nothing after it."""
    scope = record_pb2.Scope(purpose=record_pb2.PURPOSE_LOG, department_class="*")
    logged = told_by_hospital(world)
    manifest = record_pb2.RecordManifest(
        patient_id=world.patient.identity,
        hospital_id=world.hospital.identity,
        accesses=logged.entries,
        log_head=logged.head,
        next=told.REFUSED,
    )
    content = field(manifest.SerializeToString(deterministic=True))
    return receive_content(world, carry, world.patient, own(world), scope, content, 0, "-log")


def go_on(world: World, carry: Carry, shown: Shown) -> record.Received:
    """The same of a record of which 512 KiB came before its session broke: what is left, in two frames."""
    scope = record_pb2.Scope(purpose=record_pb2.PURPOSE_READ, department_class=DEPARTMENT_CLASS, handles=[HANDLE])
    content = broken.scan_content(world)
    incoming = broken.came(content, broken.FIRST)
    return receive_content(world, carry, world.doctor, shown, scope, content, 1, "-on", incoming)


def receive_content(
    world: World,
    carry: Carry,
    asker: Party,
    shown: Shown,
    scope: record_pb2.Scope,
    content: bytes,
    version: int,
    suffix: str,
    incoming: IncomingRecord | None = None,
) -> record.Received:
    """D3, H1, D4, H2 of this scope and content: cut within its manifest, or what is left of it where some came."""
    now, verifier = world.now, world.verifier
    blind = world.entropy("rho-read" + suffix)(32)
    intent = record.Intent(shown, scope, blind)
    established, requested = establish(world, carry, asker, intent, "-read" + suffix)
    state: Any
    is_log = scope.purpose == record_pb2.PURPOSE_LOG
    # The patient asks for a page that is not the first.
    asked = {"known_size": told.SIZE, "before": told.READ + 1} if is_log else {}
    state, frame = established.query(now=now, incoming=incoming, **asked)

    def receive(message: Any, *, now: int, admitted: bool = True) -> record_hospital.Release:
        received = requested.receive(message, verifier, now=now)
        assert isinstance(received, record_hospital.ReceivedQuery)
        return received.decide(verifier, Receiver(), now=now).recorded()

    framed = "d4", requested.receiving.keys
    release = carry(Step("D4" + suffix, record_pb2.RecordQuery, frame, receive, None, framed))
    zeros = padded_size(len(content)) - len(content)
    facts = Facts(
        transcript_hash=requested.session.transcript_hash,
        commitment=intent.commitment,
        content_digest=sha256(content),
        access_digest=shown.digest,
    )
    framed = "h2", requested.session.sending.keys
    begun = release.query.resumption.offset
    release, _ = release.after(iter([content]), begun)
    slices = [Piece(content[begun:], zeros)] if begun else [Piece(content[:CUT]), Piece(content[CUT:], zeros)]
    for number, piece in enumerate(slices):
        release, sealed = release.slice(piece, now=now)
        state, _ = carry(Step(f"H2-{number}{suffix}", None, sealed.frame, _receiving(state, verifier), None, framed))
    frame = release.end(version, now=now)
    receive_end = _receiving(state, verifier)
    signer = world.hospital.signing_key
    step = Step(f"H2-{len(slices)}{suffix}", record_pb2.RecordEnd, frame, receive_end, None, framed, facts, signer)
    return carry(step)[1]


def record_content(world: World) -> bytes:
    """M_EMR: F(manifest), and the one part of its one record."""
    part = record_pb2.RecordPart(
        kind=record_pb2.PART_KIND_ATTACHMENT,
        name="letter.txt",
        media_type="text/plain",
        size_bytes=len(ATTACHMENT),
        digest=sha256(ATTACHMENT),
    )
    department = f"{world.hospital.identity}/{DEPARTMENT_CLASS}"
    entry = record_pb2.RecordEntry(
        handle=HANDLE, version=7, department_id=department, stored_at=world.now, parts=[part]
    )
    manifest = record_pb2.RecordManifest(
        patient_id=world.patient.identity, hospital_id=world.hospital.identity, records=[entry]
    )
    return field(manifest.SerializeToString(deterministic=True)) + ATTACHMENT


def diagnose(
    world: World, carry: Carry, consulted: Consulted, record_signature: bytes
) -> tuple[DiagnosisDelivery, DiagnosisDelivery]:
    """D5, P6; and the same of an amendment."""
    now = world.now
    waiting, frame = consulted.doctor.diagnose(DIAGNOSIS, (record_signature,), now=now)
    first, patient = deliver_diagnosis(world, carry, consulted.patient, waiting, frame, "")
    waiting, frame = waiting.amend(AMENDED, (record_signature,), now=now)
    second, _ = deliver_diagnosis(world, carry, patient, waiting, frame, "-amended")
    return first, second


def deliver_diagnosis(
    world: World,
    carry: Carry,
    patient: consultation.AwaitingDiagnosis,
    waiting: consultation.AwaitingReceipt,
    frame: SessionFrame,
    suffix: str,
) -> tuple[DiagnosisDelivery, consultation.AwaitingDiagnosis]:
    """D5, P6."""
    signature = waiting.consultation.delivery.signature
    facts = Facts(transcript_hash=patient.transcript_hash, biosignal_signature=signature)
    framed, receive = ("d5", patient.receiving.keys), _receiving(patient, world.verifier)
    step = Step("D5" + suffix, DiagnosisDelivery, frame, receive, None, framed, facts, world.doctor.signing_key)
    diagnosed = carry(step)
    following, receipt = diagnosed.receipt(now=world.now)
    framed, receive = ("p6", patient.sending.keys), _receiving(waiting, world.verifier)
    carry(Step("P6" + suffix, DiagnosisReceipt, receipt, receive, None, framed, Facts(), world.patient.signing_key))
    return diagnosed.delivery, following


def deposit(world: World, carry: Carry, consulted: Consulted, diagnosis: DiagnosisDelivery, suffix: str = "") -> Any:
    """D3, H1, STO in two frames, STOACK."""
    now, verifier = world.now, world.verifier
    scope = record_pb2.Scope(purpose=record_pb2.PURPOSE_STORE, department_class=DEPARTMENT_CLASS)
    blind = world.entropy("rho-store" + suffix)(32)
    intent = record.Intent(by_consent(world, consulted.consent), scope, blind)
    established, requested = establish(world, carry, world.doctor, intent, "-store" + suffix)
    sto = _deposit(world, consulted, diagnosis, intent)
    waiting, frames = established.deposit(BIOSIGNAL, diagnosis.diagnosis, sto)
    state: Any = requested
    framed = "sto", requested.receiving.keys
    for number, frame in enumerate(frames):
        kind = record_pb2.Deposit if frame.last else None
        state = carry(Step(f"STO-{number}{suffix}", kind, frame, _storing(state, verifier), None, framed))
    receipt = state.receipt(HANDLE, 2 if suffix else 1, now=now)
    answer = state.received.answer(receipt, now=now)
    framed = "stoack", requested.session.sending.keys

    def receive(message: Any, *, now: int, admitted: bool = True) -> Any:
        return waiting.receive(message, now=now)

    return carry(Step("STOACK" + suffix, record_pb2.DepositEnd, answer, receive, None, framed))


def add_document(world: World, carry: Carry) -> Any:
    """D3, H1, OWN in two frames, STOACK: a patient's own note."""
    now, verifier = world.now, world.verifier
    shown, new = own(world), NewDocument(NOTE_TITLE, "text/plain; charset=utf-8", NOTE, SENSITIVITY_RESTRICTED)
    blind = world.entropy("rho-add")(32)
    document = sign_document(world.patient, new, shown, world.hospital.hospital_id, DEPARTMENT_CLASS, blind, now=now)
    intent = record.Intent(shown, document.message.scope, blind)
    established, requested = establish(world, carry, world.patient, intent, "-add")
    waiting, frames = established.add(document)
    state: Any = requested
    framed, facts = ("own", requested.receiving.keys), Facts(receiver=world.hospital.identity)
    for number, frame in enumerate(frames):
        kind = record_pb2.OwnDocument if frame.last else None
        receive = _storing(state, verifier)
        state = carry(Step(f"OWN-{number}", kind, frame, receive, None, framed, facts, world.patient.signing_key))
    answer = state.received.answer(state.received.receipt(HANDLE, 1, now=now), now=now)
    framed = "stoack", requested.session.sending.keys

    def receive_end(message: Any, *, now: int, admitted: bool = True) -> Any:
        return waiting.receive(message, now=now)

    return carry(Step("STOACK-own", record_pb2.DepositEnd, answer, receive_end, None, framed))


def _storing(state: record_hospital.AwaitingRequest, verifier: Verifier) -> Callable[..., Any]:
    def receive(message: Any, *, now: int, admitted: bool = True) -> Any:
        taken = state.receive(message, verifier, now=now)
        if isinstance(taken, record_hospital.ReceivedDeposit | record_hospital.ReceivedDocument):
            return taken.decide(verifier, Receiver(), now=now).recorded()
        return taken

    return receive


def _deposit(world: World, consulted: Consulted, d5: DiagnosisDelivery, intent: record.Intent) -> record_pb2.Deposit:
    p2 = consulted.doctor.delivery
    return record_pb2.Deposit(
        patient_id=intent.shown.patient_id,
        doctor_id=world.doctor.identity,
        sent_at=world.now,
        blind=intent.blind,
        scope=intent.scope,
        access=intent.shown.access,
        consultation_digest=consulted.patient.transcript_hash,
        biosignal_size_bytes=len(BIOSIGNAL),
        biosignal_digest=p2.biosignal_digest,
        biosignal_sent_at=p2.sent_at,
        biosignal_signature=p2.signature,
        diagnosis_size_bytes=len(d5.diagnosis),
        diagnosis_digest=digest(d5.diagnosis),
        based_on=d5.based_on,
        diagnosis_sent_at=d5.sent_at,
        diagnosis_signature=d5.signature,
        amends=d5.amends if d5.HasField("amends") else None,
    )


def run(world: World, carry: Carry) -> None:
    """Every phase after registration."""
    ask_for_duty(world, carry)
    open_room(world, carry)
    consulted = consult(world, carry)
    shown = by_consent(world, consulted.consent)
    look_up(world, carry, world.doctor, shown)
    received = read_record(world, carry, world.doctor, shown)
    go_on(world, carry, shown)
    diagnosis, amendment = diagnose(world, carry, consulted, received.end.signature)
    close_room(world, carry)
    deposit(world, carry, consulted, diagnosis)
    deposit(world, carry, consulted, amendment, "-amended")
    look_up(world, carry, world.patient, own(world), "-own")
    read_record(world, carry, world.patient, own(world), "-own")
    look_up(world, carry, world.patient, own(world), "-log", RIGHT_LOG)
    read_log(world, carry)
    add_document(world, carry)
    call_all(world, carry, consulted.consent.grant, duty(world).duty)
