"""Records that are kept from some: what an access does not show is not on file for who asks; and patients who ask themselves."""

import json

import pytest
import sqlalchemy as sa

from federation.errors import Corrupt, GrantInvalid, NoSuchRecord, NotOwnRecord, Rejected
from federation.hospital.guardians import state_guardianship
from federation.party.member import Member
from federation.protocol.consent import Ward
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.store.schema import records
from federation.v1.access_pb2 import Deputyship
from federation.v1.record_pb2 import PURPOSE_READ, Scope
from federation.v1.statement_pb2 import (
    POWER_READ,
    SENSITIVITY_NORMAL,
    SENSITIVITY_RESTRICTED,
    SENSITIVITY_SECRET,
)
from tests.e2e.hospital.records import parts_of
from tests.grants import wide
from tests.hospital_lab import JOHNNIE, Client, HospitalLab, ecg, encounter_of, report

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_WORDS = {"N": "normal", "R": "restricted", "V": "secret"}


def filed(lab: HospitalLab, code: str, patient_id: str = "P:wang") -> bytes:
    """Import a record labelled so; give its handle."""
    bundle = json.loads(JOHNNIE.read_bytes())
    bundle["entry"][0]["resource"].setdefault("meta", {})["security"] = [{"system": CONFIDENTIALITY, "code": code}]
    path = lab.directory / f"{code}.json"
    path.write_text(json.dumps(bundle))
    return lab.import_files(path, patient_id)


@pytest.fixture
def handles(lab: HospitalLab) -> dict[str, bytes]:
    """Give a record of each sensitivity."""
    return {word: filed(lab, code) for code, word in _WORDS.items()}


def read(lab: HospitalLab, client: Client, shown: Shown, asker: Member, handles: tuple[bytes, ...] = ()) -> set[bytes]:
    """Read what is shown to who asks; give the handles."""
    scope = Scope(purpose=PURPOSE_READ, department_class="*", handles=handles)
    intent = Intent(shown, scope, lab.federation.entropy(32))
    content, _ = client.read(intent, doctor=asker)
    return {entry.handle for entry in parts_of(content)[0].records}


@pytest.mark.parametrize(
    ("highest", "expected"),
    [(SENSITIVITY_NORMAL, {"normal"}), (SENSITIVITY_RESTRICTED, {"normal", "restricted"})],
)
def test_grant_opens_records_up_to_the_sensitivity_that_it_names(
    lab: HospitalLab, client: Client, handles: dict[str, bytes], highest: int, expected: set[str]
) -> None:
    federation = lab.federation
    shown = federation.shown(federation.grant(wide(highest_sensitivity=highest)))
    assert read(lab, client, shown, federation.doctor) == {handles[word] for word in expected}


def test_record_that_is_hidden_and_one_that_is_not_there_are_one_outcome_no_record(
    lab: HospitalLab, client: Client, handles: dict[str, bytes]
) -> None:
    federation = lab.federation
    refusals = []
    for handle in (handles["restricted"], handles["secret"], b"n" * 16):
        with pytest.raises(NoSuchRecord) as refusal:
            read(lab, client, federation.shown(federation.grant()), federation.doctor, (handle,))
        refusals.append(str(refusal.value))
    assert len(set(refusals)) == 1
    assert lab.reasons == ["BEGUN", "NO_SUCH_RECORD"] * 3


def test_grant_for_what_is_secret_is_rejected_grant_invalid(lab: HospitalLab, client: Client) -> None:
    filed(lab, "V")
    federation = lab.federation
    shown = federation.shown(federation.grant(wide(highest_sensitivity=SENSITIVITY_SECRET)))
    with pytest.raises(Rejected):
        read(lab, client, shown, federation.doctor)
    assert lab.reasons[0] == GrantInvalid.reason


def test_patient_reads_all_of_its_own(lab: HospitalLab, client: Client, handles: dict[str, bytes]) -> None:
    federation = lab.federation
    assert read(lab, client, federation.own(), federation.patient) == set(handles.values())
    events = [entry.event for entry in lab.hospital.audit.entries() if entry.event.kind == "READ"]
    assert {(event.asker_id, event.ground) for event in events} == {("P:wang", "own")}


def test_patient_asks_for_anothers_records_not_own_record(lab: HospitalLab, client: Client) -> None:
    filed(lab, "N")
    federation = lab.federation
    with pytest.raises(NotOwnRecord):
        read(lab, client, federation.own(), federation.other_patient)
    assert lab.reasons == ["NOT_OWN_RECORD"]


def guardianship(lab: HospitalLab, until: int) -> Deputyship:
    """State that the other patient stands for the patient."""
    federation = lab.federation
    deputy = federation.other_patient.identity
    ward = Ward("P:wang", deputy, "parent", "Officer Ona", [POWER_READ], until)
    return state_guardianship(lab.hospital, ward, "test").shown


def test_guardian_reads_what_is_not_secret(lab: HospitalLab, client: Client, handles: dict[str, bytes]) -> None:
    federation = lab.federation
    shown = Shown.by_own_right("P:wang", guardianship(lab, federation.clock.now + 86_400_000))
    expected = {handles["normal"], handles["restricted"]}
    assert read(lab, client, shown, federation.other_patient) == expected


def test_patient_deposits_nothing_rejected(lab: HospitalLab, client: Client) -> None:
    """A copy of what a doctor deposits, in a session of the patient's own: frames named "sto" are a doctor's alone."""
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    with client.session() as session:
        established = client.establish(session, encounter.intent, federation.patient)
        for frame in established.deposit(encounter.biosignal, encounter.diagnosis, encounter.deposit)[1]:
            session.send(frame=frame)
        with pytest.raises(Rejected):
            session.receive()
    assert "SEAL_INVALID" in lab.reasons
    assert not list(lab.hospital.stores.records.all())


def test_row_changed_to_a_lower_sensitivity_does_not_open_stored_record_corrupt(
    lab: HospitalLab, client: Client
) -> None:
    """By somebody who writes the database, and has no token."""
    filed(lab, "V")
    lab.database.write(lambda connection: connection.execute(sa.update(records).values(sensitivity="normal")))
    federation = lab.federation
    with pytest.raises(Corrupt):
        read(lab, client, federation.shown(federation.grant()), federation.doctor)


def test_deposit_is_as_sensitive_as_what_is_in_it(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    diagnosis = json.loads(report(federation))
    diagnosis["meta"] = {"security": [{"system": CONFIDENTIALITY, "code": "R"}]}
    encounter = encounter_of(federation, ecg(), json.dumps(diagnosis).encode(), federation.grant())
    client.deposit(encounter)
    (kept,) = lab.hospital.stores.records.all()
    assert kept.sensitivity == "restricted"
    assert lab.outbox.publish_due() == 1
    assert [publication.sensitivity for publication in lab.published] == [SENSITIVITY_RESTRICTED]
