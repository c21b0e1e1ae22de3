"""Deposits of amendments: the next version of the consultation's record, or refused, and then nothing is kept."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.clinical.errors import WrongStatus
from federation.errors import AmendmentMismatch, Rejected
from federation.hospital import deposits
from keystore.transcript import digest
from tests.e2e.hospital.records import parts_of
from tests.hospital_lab import Client, Encounter, HospitalLab, amended, ecg, encounter_of, report


@pytest.fixture
def first(lab: HospitalLab) -> Encounter:
    federation = lab.federation
    return encounter_of(federation, ecg(), report(federation), federation.grant())


def versions(lab: HospitalLab, handle: bytes) -> list[int]:
    return [record.version for record in lab.hospital.stores.administration.versions(handle)]


def test_amendment_is_the_next_version_and_all_that_a_reader_gets(
    lab: HospitalLab, client: Client, first: Encounter
) -> None:
    federation = lab.federation
    one = client.deposit(first)[0]
    assert lab.outbox.publish_due() == 1
    second = amended(federation, first)
    two = client.deposit(second)[0]
    assert (two.handle, one.version, two.version) == (one.handle, 1, 2)
    manifest, parts = parts_of(client.read(federation.intent(federation.grant(), handles=(one.handle,)))[0])
    assert [(entry.handle, entry.version) for entry in manifest.records] == [(one.handle, 2)]
    assert parts[2] == second.diagnosis
    assert json.loads(parts[3])["amends"] == digest(first.deposit.diagnosis_signature).hex()
    assert versions(lab, one.handle) == [1, 2]
    assert lab.hospital.stores.outbox.size() == 0  # the index has its handle already


def test_second_amendment_amends_the_first(lab: HospitalLab, client: Client, first: Encounter) -> None:
    second = amended(lab.federation, first)
    third = amended(lab.federation, second)
    assert [client.deposit(encounter)[0].version for encounter in (first, second, third)] == [1, 2, 3]


def test_what_is_kept_already_gets_a_receipt_for_the_version_that_it_is(
    lab: HospitalLab, client: Client, first: Encounter
) -> None:
    client.deposit(first)
    client.deposit(amended(lab.federation, first))
    lab.federation.clock.now += 1
    first.deposit.sent_at = lab.federation.clock.now
    again = client.deposit(first)[0]
    assert again.version == 1
    assert versions(lab, again.handle) == [1, 2]


def test_amendment_alone_is_taken_and_the_first_after_it_is_refused(
    lab: HospitalLab, client: Client, first: Encounter
) -> None:
    """It was not deposited. What was amended must not come back as the newest."""
    receipt = client.deposit(amended(lab.federation, first))[0]
    assert receipt.version == 1
    with pytest.raises(Rejected):
        client.deposit(first)
    assert lab.reasons[-1] == "AMENDMENT_MISMATCH"
    assert versions(lab, receipt.handle) == [1]


@pytest.mark.parametrize("named", [bytes(32), None], ids=["nobody's", "the first's, which is amended already"])
def test_amendment_mismatch_for_one_that_does_not_amend_the_newest_on_file(
    lab: HospitalLab, client: Client, first: Encounter, named: bytes | None
) -> None:
    handle = client.deposit(first)[0].handle
    client.deposit(amended(lab.federation, first))
    kept = len(lab.blobs)
    lab.federation.clock.now += 1000  # another report
    with pytest.raises(Rejected):
        client.deposit(amended(lab.federation, first, named=named))
    assert lab.reasons[-1] == AmendmentMismatch.reason
    assert versions(lab, handle) == [1, 2]
    assert len(lab.blobs) == kept


def test_amendment_mismatch_under_another_class(lab: HospitalLab, client: Client, first: Encounter) -> None:
    """The index has the record in the class of its first version."""
    handle = client.deposit(first)[0].handle
    second = amended(lab.federation, first)
    elsewhere = lab.federation.intent(lab.federation.grant(), second.intent.scope.purpose, "neurology")
    scope = elsewhere.scope
    second.deposit.scope.CopyFrom(scope)
    moved = Encounter(
        type(second.intent)(second.intent.shown, scope, second.intent.blind),
        second.biosignal,
        second.diagnosis,
        second.deposit,
    )
    with pytest.raises(Rejected):
        client.deposit(moved)
    assert lab.reasons[-1] == "AMENDMENT_MISMATCH"
    assert versions(lab, handle) == [1]


def test_wrong_status_for_a_report_that_does_not_say_that_it_amends(
    lab: HospitalLab, client: Client, first: Encounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.deposit(first)
    final = report(lab.federation)
    monkeypatch.setattr("tests.hospital_lab.report", lambda *_arguments, **_named: final)
    with pytest.raises(Rejected):
        client.deposit(amended(lab.federation, first))
    assert lab.reasons[-1] == WrongStatus.reason


def test_one_of_two_amendments_at_once_is_kept_and_the_other_refused(
    lab: HospitalLab, client: Client, first: Encounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw the same newest version on file, and write the same next one."""
    handle = client.deposit(first)[0].handle
    both, look = threading.Barrier(2), deposits._amended

    def seen_together(hospital, versions, sto):
        before = look(hospital, versions, sto)
        both.wait(20)
        return before

    monkeypatch.setattr(deposits, "_amended", seen_together)
    one = amended(lab.federation, first)
    lab.federation.clock.now += 1000
    other = amended(lab.federation, first)
    with ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(client.deposit, encounter) for encounter in (one, other)]
        failed = [future.exception(60) for future in sent]
    assert sorted(type(error).__name__ for error in failed) == ["NoneType", "Rejected"]
    assert versions(lab, handle) == [1, 2]
    assert "AMENDMENT_MISMATCH" in lab.reasons
