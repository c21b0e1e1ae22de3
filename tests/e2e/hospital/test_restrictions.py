"""What a patient hides, at a hospital: taken without trusting the cloud, not on file for others; what is under way ends."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from federation.errors import Corrupt, Limit, NoSuchRecord
from federation.hospital.restrictions import take_restrictions
from federation.hospital.sessions import MOST_RECORDS, answer, take_frame
from federation.hospital.standing import Grounds
from federation.hospital.vault import RecordMetadata
from federation.party.member import Member
from federation.protocol.access import Hidden
from federation.protocol.consent import make_mandate
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.store.schema import restrictions
from federation.v1.access_pb2 import Deputyship
from federation.v1.record_pb2 import PURPOSE_READ, Scope
from federation.v1.statement_pb2 import POWER_READ, POWER_RESTRICT
from keystore.identities import DepartmentId, PatientId
from tests.e2e.hospital.records import parts_of
from tests.hiding import Handing, hide, stated
from tests.hospital_lab import Client, HospitalLab
from tests.mallory import refused


def mandate(lab: HospitalLab, *powers: int) -> Deputyship:
    federation = lab.federation
    deputy, now = federation.other_patient.identity, federation.clock.now
    party = federation.party(federation.patient)
    signed = make_mandate(party, deputy, powers, timedelta(days=1), now=now, entropy=federation.entropy)
    return Deputyship(mandate=signed, key_statement=federation.patient.key_statement)


def record_of(handle: bytes) -> Hidden:
    return Hidden("H:alpha", handle=handle.hex())


def read(client: Client, shown: Shown, asker: Member, *handles: bytes) -> set[bytes]:
    """Read what is shown to who asks; give the handles, none where there is no record."""
    scope = Scope(purpose=PURPOSE_READ, department_class="*", handles=handles)
    intent = Intent(shown, scope, client.federation.entropy(32))
    try:
        content, _ = client.read(intent, doctor=asker)
    except NoSuchRecord:
        return set()
    return {entry.handle for entry in parts_of(content)[0].records}


def by_doctor(client: Client, *handles: bytes) -> set[bytes]:
    federation = client.federation
    return read(client, federation.shown(federation.grant()), federation.doctor, *handles)


@pytest.fixture
def handles(lab: HospitalLab) -> tuple[bytes, bytes]:
    return lab.import_files(), lab.import_files(department_id="H:alpha/neurology")


def test_hidden_record_is_not_on_file_for_a_doctor_and_is_for_the_patient(
    lab: HospitalLab, client: Client, handles: tuple[bytes, bytes]
) -> None:
    first, second = handles
    assert by_doctor(client) == {first, second}
    hide(lab, record_of(first))
    assert by_doctor(client) == {second}
    assert by_doctor(client, first) == set()
    assert by_doctor(client, first, second) == {second}
    assert read(client, lab.federation.own(), lab.federation.patient) == {first, second}
    hide(lab, Hidden(department_class="neurology"))
    assert by_doctor(client) == {first}
    hide(lab, Hidden("H:other"))
    assert by_doctor(client) == {first, second}
    hide(lab, Hidden())
    assert by_doctor(client) == set()


def test_answer_holds_as_many_records_as_it_may_beside_those_that_are_hidden_limit_reached(
    lab: HospitalLab, client: Client
) -> None:
    vault, now = lab.hospital.vault, lab.federation.clock.now
    handles = [b"%016d" % number for number in range(MOST_RECORDS + 3)]
    for handle in handles:
        metadata = RecordMetadata(PatientId("P:wang"), DepartmentId("H:alpha/cardiology"), handle, 1, now, "normal")
        lab.hospital.stores.records.add(vault.draft().sealed(metadata), blobs=(), outbox=None, answer=None)
    hide(lab, *map(record_of, handles[:3]))
    assert by_doctor(client) == set(handles[3:])
    hide(lab, *map(record_of, handles[:2]))
    with pytest.raises(Limit, match="here are more"):
        by_doctor(client)
    assert by_doctor(client, *handles[:5]) == set(handles[2:5])


def test_deputy_sees_what_is_hidden_with_the_power_to_hide_alone(
    lab: HospitalLab, client: Client, handles: tuple[bytes, bytes]
) -> None:
    first, second = handles
    hide(lab, record_of(first))
    deputy = lab.federation.other_patient
    assert read(client, Shown.by_own_right("P:wang", mandate(lab, POWER_READ)), deputy) == {second}
    able = mandate(lab, POWER_READ, POWER_RESTRICT)
    assert read(client, Shown.by_own_right("P:wang", able), deputy) == {first, second}


def test_many_are_taken_and_acknowledged_until_nothing_is_left(lab: HospitalLab) -> None:
    # All of one moment, the newest handed out first: the rest are older.
    now = lab.federation.clock.now
    shown = [stated(lab, Hidden(f"H:h{number}"), above=now + number) for number in range(40)]
    cloud = Handing(*shown[::-1])
    assert take_restrictions(lab.hospital, cloud) == 1
    assert (len(cloud.held), cloud.waiting) == (40, {})
    assert lab.hospital.restrictions.of("P:wang").hidden == (Hidden("H:h39"),)


def test_older_number_never_replaces_a_newer_one(lab: HospitalLab) -> None:
    older = stated(lab)
    hide(lab, Hidden())
    lab.federation.clock.now += 1
    hide(lab, Hidden("H:alpha"))
    cloud = Handing(older)
    assert take_restrictions(lab.hospital, cloud) == 0
    assert cloud.waiting == {}
    assert lab.hospital.restrictions.of("P:wang").hidden == (Hidden("H:alpha"),)


def test_what_the_patient_did_not_sign_is_not_taken_and_hides_nothing(
    lab: HospitalLab, client: Client, handles: tuple[bytes, bytes]
) -> None:
    """The cloud makes it up, passes on another patient's, or alters the patient's own."""
    another = stated(lab, Hidden(), signer=lab.federation.other_patient)
    altered = stated(lab, Hidden())
    altered.restriction.signature = bytes(31) + b"\x01" + bytes(31) + b"\x01"
    cloud = Handing(another, altered)
    assert take_restrictions(lab.hospital, cloud) == 0
    assert len(cloud.waiting) == 2
    assert by_doctor(client) == set(handles)


def test_cloud_does_not_show_again_what_the_patient_hid(
    lab: HospitalLab, client: Client, handles: tuple[bytes, bytes]
) -> None:
    hide(lab, Hidden())
    forged = stated(lab, signer=lab.federation.other_patient, above=lab.federation.clock.now)
    take_restrictions(lab.hospital, Handing(forged))
    assert by_doctor(client) == set()


def test_log_names_what_was_taken_and_not_what_is_hidden(lab: HospitalLab, handles: tuple[bytes, bytes]) -> None:
    hide(lab, record_of(handles[0]))
    number = lab.hospital.restrictions.of("P:wang").number
    events = [entry.event for entry in lab.hospital.audit.entries() if entry.event.kind == "RESTRICTION-TAKEN"]
    assert [(event.reason, event.detail) for event in events] == [("OK", f"P:wang: number {number}")]


def test_restriction_that_does_not_open_fails_closed_stored_record_corrupt(
    lab: HospitalLab, client: Client, handles: tuple[bytes, bytes]
) -> None:
    hide(lab, record_of(handles[0]))
    lab.database.write(lambda connection: connection.execute(sa.update(restrictions).values(sealed=b"\x00\x01" * 60)))
    with pytest.raises(Corrupt):
        by_doctor(client)


def test_restriction_lasts_over_a_restart(lab: HospitalLab, handles: tuple[bytes, bytes]) -> None:
    hide(lab, record_of(handles[0]))
    lab.restart()
    assert lab.hospital.restrictions.of("P:wang").hidden == (record_of(handles[0]),)


def test_record_under_way_ends_as_no_record_when_it_is_hidden_and_another_goes_on(
    lab: HospitalLab, handles: tuple[bytes, bytes]
) -> None:
    federation, grounds = lab.federation, Grounds(lab.hospital)
    established, awaiting = federation.establish(
        federation.hospital_a, federation.intent(federation.grant(), handles=handles[:1])
    )
    _, frame = established.query(now=federation.clock.now)
    record = answer(lab.hospital, take_frame(lab.hospital, awaiting, frame))
    before = grounds()
    hide(lab, record_of(handles[1]))
    between = grounds()
    assert between is not before
    assert grounds() is between
    record.require_still_allowed()
    assert not record.next().last

    hide(lab, record_of(handles[0]))
    assert grounds() is not between
    with refused(NoSuchRecord):
        record.require_still_allowed()
    ended = record.next()
    assert ended.last
    assert record.next() is None
    assert lab.reasons[-1] == "NO_SUCH_RECORD"
