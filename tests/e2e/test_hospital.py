"""A hospital over TLS: what it serves, what it refuses and with which reason, and what a refusal leaves behind (nothing)."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc
import pytest

from federation.clinical.errors import FhirInvalid
from federation.errors import (
    CertificateRevoked,
    Conflict,
    FutureDated,
    GrantExpired,
    GrantMissing,
    GrantRevoked,
    GrantScope,
    Limit,
    MalformedMessage,
    MessageTooLarge,
    NoSuchRecord,
    NoSuchRoom,
    OutOfOrder,
    RecordCutShort,
    Rejected,
    SignatureInvalid,
    SilentStream,
    StaleMessage,
    Unavailable,
    UnknownKeyId,
    UnsupportedVersion,
)
from federation.protocol.grant import Terms
from federation.protocol.room import ask_for_room, request_transcript
from federation.services.hospital.outbox import Outbox
from federation.services.hospital.rooms import MOST_ROOMS_PER_DOCTOR
from federation.v1.consultation_pb2 import (
    DIRECTION_TO_DOCTOR,
    DIRECTION_TO_PATIENT,
    FollowFramesRequest,
    GetRoomRequest,
    PutFrameRequest,
    RelayFrame,
)
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.v1.envelope_pb2 import SealedOpening, SessionFrame, SessionRefusal
from federation.v1.record_pb2 import PURPOSE_STORE, GetHospitalRequest, RecordManifest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_READ
from federation.wire.status import from_rpc_error
from hsm import TokenUri
from keystore.transcript import digest
from tests.conftest import USER_PIN
from tests.hospital_lab import JOHNNIE, LUNA, Client, HospitalLab, ecg, encounter_of, report
from tests.simulator import Federation, lent, simulated


@pytest.fixture(scope="module")
def shared_federation(make_token_uri: Callable[..., TokenUri]) -> Iterator[Federation]:
    with simulated(make_token_uri, USER_PIN) as federation:
        yield federation


@pytest.fixture
def federation(shared_federation: Federation) -> Iterator[Federation]:
    with lent(shared_federation) as federation:
        yield federation


@pytest.fixture
def lab(federation: Federation, tmp_path: Path) -> Iterator[HospitalLab]:
    lab = HospitalLab(federation, tmp_path)
    yield lab
    lab.database.close()


@pytest.fixture
def client(lab: HospitalLab) -> Iterator[Client]:
    with lab.serving() as client:
        yield client


def parts_of(content: bytes) -> tuple[RecordManifest, list[bytes]]:
    """Take M_EMR apart: F(manifest), then the parts in its order, whose sizes and digests must be the manifest's."""
    size = int.from_bytes(content[:4], "big")
    manifest, at, parts = RecordManifest.FromString(content[4 : 4 + size]), 4 + size, []
    for record in manifest.records:
        for part in record.parts:
            parts.append(content[at : at + part.size_bytes])
            assert digest(parts[-1]) == part.digest
            at += part.size_bytes
    assert at == len(content)
    return manifest, parts


def first_answer(client: Client, *, opening: SealedOpening | None = None, frame: SessionFrame | None = None) -> object:
    """Open a session with this message, and give what comes back."""
    with client.session() as session:
        session.send(opening=opening, frame=frame)
        return session.receive()


# What it serves.


def test_a_record_that_was_imported_is_read_as_it_was(lab: HospitalLab, client: Client, tmp_path: Path) -> None:
    scan = tmp_path / "scan.bin"
    scan.write_bytes(bytes(range(256)) * 10_000)
    handle = lab.import_files(JOHNNIE, "P:wang", "H:alpha/cardiology", scan)
    content, received = client.read(lab.federation.intent(lab.federation.grant()))
    manifest, parts = parts_of(content)
    assert parts == [JOHNNIE.read_bytes(), scan.read_bytes()]
    assert [record.handle for record in manifest.records] == [handle]
    assert [part.name for part in manifest.records[0].parts] == ["synthea-johnnie679.json", "scan.bin"]
    assert manifest.patient_id == "P:wang"
    assert manifest.hospital_id == "H:alpha"
    assert received.end.version == 1
    assert lab.reasons == ["OK"]


def test_only_the_classes_of_the_scope_and_the_grant_are_read(lab: HospitalLab, client: Client) -> None:
    lab.import_files(department_id="H:alpha/neurology")
    wanted = lab.import_files(department_id="H:alpha/cardiology")
    narrow = lab.federation.grant(Terms(department_classes=["cardiology"]))
    for intent in (lab.federation.intent(narrow), lab.federation.intent(lab.federation.grant(), 1, "cardiology")):
        manifest, _ = parts_of(client.read(intent)[0])
        assert [record.handle for record in manifest.records] == [wanted]


def test_a_deposit_is_read_back_with_its_evidence(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    receipt, _ = client.deposit(encounter)
    manifest, parts = parts_of(client.read(federation.intent(federation.grant(), handles=(receipt.handle,)))[0])
    assert [part.name for part in manifest.records[0].parts] == [
        "encounter.json",
        "biosignal.json",
        "diagnosis.json",
        "evidence.json",
    ]
    assert manifest.records[0].department_id == "H:alpha/cardiology"
    assert parts[1] == encounter.biosignal
    assert parts[2] == encounter.diagnosis
    assert json.loads(parts[3])["biosignal_digest"] == digest(encounter.biosignal).hex()
    assert lab.outbox.publish_due() == 1
    assert [p.doctor_id for p in lab.published] == ["D:chen"]
    assert len(lab.published[0].consent_digest) == 32


def test_the_same_deposit_again_gets_the_same_receipt(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    first = client.deposit(encounter)[1]
    federation.clock.advance(timedelta(minutes=10))  # even when its T is long stale
    assert client.deposit(encounter)[1] == first
    assert len(list(lab.hospital.stores.records.all())) == 1
    assert lab.hospital.stores.records.outbox_size() == 1
    assert len(lab.blobs) == 4


def test_the_same_encounter_sent_anew_under_another_time_is_kept_once(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    first = client.deposit(encounter)[0]
    federation.clock.advance(timedelta(minutes=1))
    encounter.deposit.sent_at = federation.clock.now
    again = client.deposit(encounter)[0]
    assert (again.handle, again.version) == (first.handle, first.version)
    assert again.deposit_digest != first.deposit_digest
    assert len(list(lab.hospital.stores.records.all())) == 1
    assert lab.hospital.stores.records.outbox_size() == 1
    assert len(lab.blobs) == 4


def test_another_doctor_does_not_get_the_receipt_of_a_deposit(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    client.deposit(encounter)
    with client.session() as session:
        established = client.establish(session, encounter.intent, federation.other_doctor)
        _, frames = established.deposit(encounter.biosignal, encounter.diagnosis, encounter.deposit)
        for frame in frames:
            session.send(frame=frame)
        with pytest.raises(Rejected):
            session.receive()
    assert lab.reasons[-1] == "IDENTITY_MISMATCH"


def test_the_hospital_gives_its_own_statements(lab: HospitalLab, client: Client) -> None:
    answer = RecordServiceStub(client.channel).GetHospital(GetHospitalRequest(), timeout=5)
    assert answer.key_statement == lab.federation.hospital_a.key_statement


# Grants: no grant, no record (C1).


def test_without_a_grant_there_is_no_record_grant_missing(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    with pytest.raises(GrantMissing):
        client.read(lab.federation.intent(None))
    assert lab.reasons == ["GRANT_MISSING"]


def test_another_doctors_grant_is_rejected_grant_invalid(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    with pytest.raises(Rejected):
        client.read(lab.federation.intent(lab.federation.grant(doctor=lab.federation.other_doctor)))
    assert lab.reasons == ["GRANT_INVALID", "GRANT_INVALID"]  # the access log, and the refused call


def test_another_patients_grant_is_rejected_grant_invalid(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    with pytest.raises(Rejected):
        client.read(lab.federation.intent(lab.federation.grant(patient=lab.federation.other_patient)))
    assert lab.reasons[0] == "GRANT_INVALID"


def test_an_expired_grant_is_refused_grant_expired(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    grant = lab.federation.grant()
    lab.federation.clock.advance(timedelta(hours=24))
    lab.federation.refresh()
    with pytest.raises(GrantExpired):
        client.read(lab.federation.intent(grant))
    assert lab.reasons == ["GRANT_EXPIRED"]


def test_a_grant_is_refused_once_the_list_that_names_it_arrives_grant_revoked(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    grant = lab.federation.grant()
    client.read(lab.federation.intent(grant))
    lab.federation.revoke_grant(grant)
    with pytest.raises(GrantRevoked):
        client.read(lab.federation.intent(grant))
    assert lab.reasons == ["OK", "GRANT_REVOKED"]


@pytest.mark.parametrize(
    "terms",
    [
        Terms(department_classes=["psychiatry"]),
        Terms(hospitals=["H:beta"]),
        Terms(rights=[RIGHT_INDEX]),
        Terms(department_classes=[]),
        Terms(hospitals=[]),
    ],
)
def test_a_grant_for_something_else_is_refused_grant_scope(lab: HospitalLab, client: Client, terms: Terms) -> None:
    lab.import_files()
    with pytest.raises(GrantScope):
        client.read(lab.federation.intent(lab.federation.grant(terms), 1, "cardiology"))
    assert lab.reasons == ["GRANT_SCOPE"]


def test_unknown_patient_and_unknown_record_are_one_outcome_no_record(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    with pytest.raises(NoSuchRecord) as nobody:
        client.read(federation.intent(federation.grant()))
    lab.import_files(department_id="H:alpha/neurology")
    with pytest.raises(NoSuchRecord) as nothing:
        client.read(federation.intent(federation.grant(), handles=(b"h" * 16,)))
    with pytest.raises(NoSuchRecord) as elsewhere:
        client.read(federation.intent(federation.grant(), 1, "cardiology"))
    assert str(nobody.value) == str(nothing.value) == str(elsewhere.value)
    assert lab.reasons == ["OK", "NO_SUCH_RECORD"] * 3


# The session.


def test_a_d4_that_c_p_does_not_open_to_is_rejected_commitment_mismatch(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    federation = lab.federation
    promised = federation.intent(federation.grant(), 1, "neurology")
    with client.session() as session:
        established = client.establish(session, promised)
        asked = replace(established, intent=federation.intent(federation.grant(), 1, "cardiology"))
        with pytest.raises(Rejected):
            client.receive_record(session, *asked.query(now=federation.clock.now))
    assert lab.reasons == ["COMMITMENT_MISMATCH"]


def test_a_replayed_d3_is_rejected_message_replayed(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    for attempt in range(2):
        with client.session() as session:
            session.send(opening=opening)
            if attempt:
                with pytest.raises(Rejected):
                    session.receive()
            else:
                session.receive()
    assert "MESSAGE_REPLAYED" in lab.reasons  # the first session, given up by the doctor, may be told of too


def test_a_flipped_bit_of_d3_is_rejected_seal_invalid(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    opening.sealed = opening.sealed[:-1] + bytes([opening.sealed[-1] ^ 1])
    with pytest.raises(Rejected):
        first_answer(client, opening=opening)
    assert lab.reasons == ["SEAL_INVALID"]


def test_a_d3_of_a_time_far_off_is_refused_stale_future_dated(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    for minutes, reason in ((10, StaleMessage), (-10, FutureDated)):
        federation.clock.advance(timedelta(minutes=minutes))
        with pytest.raises(reason):
            first_answer(client, opening=opening)
        federation.clock.advance(timedelta(minutes=-minutes))


def test_clear_fields_of_d3_are_refused_precisely_unknown_key_id_unsupported_version(
    lab: HospitalLab, client: Client
) -> None:
    federation = lab.federation
    for changed, reason in (({"key_id": b"k" * 16}, UnknownKeyId), ({"version": 2}, UnsupportedVersion)):
        _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
        for name, value in changed.items():
            setattr(opening, name, value)
        with pytest.raises(reason):
            first_answer(client, opening=opening)


def test_a_silent_stream_is_ended_silent_stream(lab: HospitalLab, client: Client) -> None:
    with client.session() as session, pytest.raises(SilentStream):
        session.receive()
    assert lab.reasons == ["SILENT_STREAM"]


def test_a_stream_that_begins_with_something_else_is_refused_out_of_order(lab: HospitalLab, client: Client) -> None:
    frame = SessionFrame(
        session_id=b"s" * 16, sequence=0, last=True, sealed=b"x" * 32, sent_at=lab.federation.clock.now
    )
    with pytest.raises(OutOfOrder):
        first_answer(client, frame=frame)


def test_a_stream_that_ends_after_d3_is_refused_record_cut_short(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    with client.session() as session:
        client.establish(session, federation.intent(federation.grant()))
        session.half_close()
        with pytest.raises(RecordCutShort):
            session.receive()


def test_a_stale_revocation_list_means_no_reads(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    federation = lab.federation
    federation.party(federation.hospital_a)  # at work already when its list grows old
    federation.clock.advance(timedelta(hours=2))
    federation.refresh(federation.doctor, federation.patient)
    with pytest.raises(Rejected):
        client.read(federation.intent(federation.grant()))
    assert lab.reasons == ["REVOCATION_LIST_STALE"]


def test_an_oversized_message_is_refused_before_it_is_read(lab: HospitalLab, client: Client) -> None:
    for size, reason in ((1_200_000, MessageTooLarge), (3_000_000, Limit)):
        with pytest.raises(reason):
            first_answer(client, frame=SessionFrame(sealed=bytes(size)))


def test_bytes_that_are_no_message_are_refused_malformed(lab: HospitalLab, client: Client) -> None:
    raw = client.channel.stream_stream("/federation.v1.RecordService/OpenSession")
    with pytest.raises(grpc.RpcError) as refused:
        next(raw(iter([b"\xff\xff\xff"]), timeout=5))
    assert isinstance(from_rpc_error(refused.value), MalformedMessage)


# Deposits.


def nothing_is_kept(lab: HospitalLab) -> bool:
    records = lab.hospital.stores.records
    return not list(records.all()) and not lab.blobs and not records.outbox_size()


@pytest.mark.parametrize(
    ("biosignal", "diagnosis", "reason"),
    [
        (ecg(), b'{"resourceType":"DiagnosticReport"}', "FHIR_INVALID"),
        (b"ecg", None, "FHIR_NOT_JSON"),
        (ecg("P:somebody"), None, "WRONG_SUBJECT"),
        (JOHNNIE.read_bytes(), None, "FHIR_INVALID"),
    ],
)
def test_a_faulty_deposit_is_rejected_and_nothing_is_kept(
    lab: HospitalLab, client: Client, biosignal: bytes, diagnosis: bytes | None, reason: str
) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, biosignal, diagnosis or report(federation), federation.grant())
    with pytest.raises(Rejected):
        client.deposit(encounter)
    assert nothing_is_kept(lab)
    assert lab.reasons == ["OK", reason, reason]


def test_a_deposit_under_a_grant_without_write_is_refused_grant_scope(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    grant = federation.grant(Terms(rights=[RIGHT_READ]))
    with pytest.raises(GrantScope):
        client.deposit(encounter_of(federation, ecg(), report(federation), grant))
    assert nothing_is_kept(lab)


def test_a_deposit_to_a_class_without_a_department_is_rejected_department_foreign(
    lab: HospitalLab, client: Client
) -> None:
    federation = lab.federation
    with pytest.raises(Rejected):
        client.deposit(encounter_of(federation, ecg(), report(federation), federation.grant(), "psychiatry"))
    assert nothing_is_kept(lab)
    assert lab.reasons[-1] == "DEPARTMENT_FOREIGN"


def test_a_deposit_whose_diagnosis_another_doctor_signed_is_rejected_signature_invalid(
    lab: HospitalLab, client: Client
) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    encounter.deposit.diagnosis_signature = bytes(64)
    with pytest.raises(Rejected):
        client.deposit(encounter)
    assert nothing_is_kept(lab)
    assert lab.reasons[-1] == "SIGNATURE_INVALID"


def test_a_deposit_cut_off_leaves_nothing(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    with client.session() as session:
        _, frames = client.establish(session, encounter.intent).deposit(
            encounter.biosignal, encounter.diagnosis, encounter.deposit
        )
        session.send(frame=next(frames))
    with client.session() as session:
        _, frames = client.establish(session, encounter.intent).deposit(
            encounter.biosignal, encounter.diagnosis, encounter.deposit
        )
        session.send(frame=next(frames))
        session.half_close()
        with pytest.raises(RecordCutShort):
            session.receive()
    assert nothing_is_kept(lab)


def test_a_store_session_does_not_read(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    federation = lab.federation
    with pytest.raises(Rejected):
        client.read(federation.intent(federation.grant(), PURPOSE_STORE, "cardiology"))


# The relay.


def refused(call: Callable[[], object]) -> Exception:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return from_rpc_error(error.value)


def frame_of(number: int) -> RelayFrame:
    return RelayFrame(refusal=SessionRefusal(session_id=number.to_bytes(16, "big"), sent_at=number))


def open_room(federation: Federation, client: Client) -> bytes:
    request = ask_for_room(
        federation.party(federation.doctor), "H:alpha", now=federation.clock.now, entropy=federation.entropy
    )
    return RelayServiceStub(client.channel).OpenRoom(request, timeout=5).room_id


def follow(client: Client, room_id: bytes, *, from_number: int = 0):
    request = FollowFramesRequest(room_id=room_id, direction=DIRECTION_TO_DOCTOR, from_number=from_number)
    return RelayServiceStub(client.channel).FollowFrames(request, timeout=10)


def test_a_room_serves_its_doctors_statements_and_the_lists(lab: HospitalLab, client: Client) -> None:
    room_id = open_room(lab.federation, client)
    room = RelayServiceStub(client.channel).GetRoom(GetRoomRequest(room_id=room_id), timeout=5)
    party = lab.federation.party(lab.federation.doctor)
    assert room.key_statement == party.self_.key_statement
    assert room.doctor_certificate == party.certificate
    assert room.encryption_key_statement == party.encryption_key_statement
    assert room.certificate_revocation_list == lab.federation.authority.crl()
    lab.federation.patient.verifier().doctor(room.key_statement, room.doctor_certificate, now=lab.federation.clock.now)


def test_frames_arrive_in_order_as_they_are_put(lab: HospitalLab, client: Client) -> None:
    relay = RelayServiceStub(client.channel)
    room = open_room(lab.federation, client)
    followed = follow(client, room)
    for number in range(6):
        request = PutFrameRequest(room_id=room, direction=DIRECTION_TO_DOCTOR, number=number, frame=frame_of(number))
        relay.PutFrame(request, timeout=5)
        relay.PutFrame(request, timeout=5)  # the same again is taken once
        answer = next(followed)
        assert (answer.number, answer.frame) == (number, frame_of(number))
    followed.cancel()
    later = follow(client, room, from_number=4)
    assert [next(later).number, next(later).number] == [4, 5]
    later.cancel()


def test_a_frame_that_another_process_put_is_found_by_looking(lab: HospitalLab, client: Client) -> None:
    room = open_room(lab.federation, client)
    request = FollowFramesRequest(room_id=room, direction=DIRECTION_TO_PATIENT, from_number=0)
    followed = RelayServiceStub(client.channel).FollowFrames(request, timeout=10)
    frame = frame_of(7).SerializeToString(deterministic=True)
    lab.hospital.stores.rooms.put_frame(
        room, DIRECTION_TO_PATIENT, 0, frame, now=lab.federation.clock.now, most_bytes=10_000
    )
    assert next(followed).frame == frame_of(7)
    followed.cancel()


def test_frames_out_of_order_or_different_are_refused(lab: HospitalLab, client: Client) -> None:
    relay = RelayServiceStub(client.channel)
    room = open_room(lab.federation, client)

    def put(number: int, content: int) -> object:
        frame = frame_of(content)
        request = PutFrameRequest(room_id=room, direction=DIRECTION_TO_DOCTOR, number=number, frame=frame)
        return relay.PutFrame(request, timeout=5)

    put(0, 1)
    assert isinstance(refused(lambda: put(0, 2)), Conflict)
    assert isinstance(refused(lambda: put(2, 2)), OutOfOrder)
    assert isinstance(refused(lambda: put(5_000, 2)), Limit)


def test_an_expired_or_unknown_room_is_refused_no_such_room(lab: HospitalLab, client: Client) -> None:
    relay = RelayServiceStub(client.channel)
    room = open_room(lab.federation, client)
    followed = follow(client, room)
    lab.federation.clock.advance(timedelta(hours=12, seconds=1))
    assert isinstance(refused(lambda: next(followed)), NoSuchRoom)
    for request in (GetRoomRequest(room_id=room), GetRoomRequest(room_id=b"r" * 16)):
        assert isinstance(refused(partial(relay.GetRoom, request, timeout=5)), NoSuchRoom)


def test_a_room_is_opened_for_its_signer_alone(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    relay = RelayServiceStub(client.channel)

    def ask(hospital_id: str = "H:alpha"):
        party = federation.party(federation.doctor)
        return ask_for_room(party, hospital_id, now=federation.clock.now, entropy=federation.entropy)

    assert isinstance(refused(lambda: relay.OpenRoom(ask("H:beta"), timeout=5)), SignatureInvalid)
    forged = ask()
    forged.signature = federation.other_doctor.keys.signing_key.sign(request_transcript(forged, "D:chen", "H:alpha"))
    assert isinstance(refused(lambda: relay.OpenRoom(forged, timeout=5)), SignatureInvalid)
    once = ask()
    relay.OpenRoom(once, timeout=5)
    assert isinstance(refused(lambda: relay.OpenRoom(once, timeout=5)), Rejected)
    assert lab.reasons[-1] == "MESSAGE_REPLAYED"
    federation.authority.revoke(federation.doctor.certificate)
    unknowing = ask()
    federation.refresh()
    assert isinstance(refused(lambda: relay.OpenRoom(unknowing, timeout=5)), CertificateRevoked)


def test_a_doctor_has_a_bounded_number_of_rooms(lab: HospitalLab, client: Client) -> None:
    for _ in range(MOST_ROOMS_PER_DOCTOR):
        open_room(lab.federation, client)
    assert isinstance(refused(lambda: open_room(lab.federation, client)), Limit)


# The outbox and imports.


def test_an_import_is_published_after_a_restart(lab: HospitalLab) -> None:
    handle = lab.import_files()

    def unavailable(_: object) -> None:
        raise Unavailable("no answer")

    assert Outbox(lab.hospital, unavailable).publish_due() == 0
    lab.restart()
    assert lab.outbox.publish_due() == 0  # put off after the attempt
    lab.federation.clock.advance(timedelta(seconds=3))
    assert lab.outbox.publish_due() == 1
    assert [(p.handle, p.patient_id, p.department_id) for p in lab.published] == [
        (handle, "P:wang", "H:alpha/cardiology")
    ]
    assert lab.hospital.stores.records.outbox_size() == 0
    assert [kind for kind, *_ in lab.hospital.stores.evidence.all()] == ["puback"]


def test_a_publication_whose_answer_is_lost_is_made_again_under_a_new_nonce(lab: HospitalLab) -> None:
    lab.import_files()

    def lost(publication):
        lab.publish(publication)
        raise Unavailable("the answer is lost")

    Outbox(lab.hospital, lost).publish_due()
    lab.federation.clock.advance(timedelta(seconds=3))
    assert lab.outbox.publish_due() == 1
    first, second = lab.published
    assert first.handle == second.handle
    assert first.nonce != second.nonce
    assert first.signature != second.signature


def test_a_bundle_with_faults_is_refused_whole(lab: HospitalLab, tmp_path: Path) -> None:
    attached = tmp_path / "scan.bin"
    attached.write_bytes(b"scan")
    with pytest.raises(FhirInvalid) as refusal:
        lab.import_files(LUNA, "P:wang", "H:alpha/cardiology", attached)
    assert refusal.value.count == 2
    assert nothing_is_kept(lab)


def test_an_attachment_that_cannot_be_read_leaves_nothing(lab: HospitalLab, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lab.import_files(JOHNNIE, "P:wang", "H:alpha/cardiology", tmp_path / "gone.bin")
    assert nothing_is_kept(lab)


def test_a_hundred_megabytes_stream_with_bounded_memory(softhsm: object, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.e2e.hospital_memory", str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    print(measured)
    assert measured["received_bytes"] > 100_000_000
    assert measured["digest_matches"]
    assert measured["import_growth_bytes"] < 24_000_000
    assert measured["fetch_growth_bytes"] < 48_000_000  # both sides of the stream, in one process
