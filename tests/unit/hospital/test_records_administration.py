"""Records kept, held, withdrawn, corrected and erased: what is found afterwards, what stays, what the log says."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import Conflict, FieldInvalid, NoSuchRecord, RecordErased, Unavailable
from federation.hospital import records_administration
from federation.hospital.outbox import Outbox, publish_again
from federation.hospital.records_administration import OperatorAction, correct_record
from federation.hospital.retention import Retention, years_later
from federation.hospital.vault import rekey_records
from federation.protocol.time import milliseconds
from federation.store.errors import NotStored, StillHeld, StillKept, StoreUnavailable
from federation.v1.publication_pb2 import PUBLICATION_ACTION_ADD, PUBLICATION_ACTION_WITHDRAW, Publication
from federation.v1.statement_pb2 import SignedStatement
from tests.hospital_lab import JOHNNIE, QUIET, HospitalLab

ACT = OperatorAction("ann", "as the law says")
ADD, WITHDRAW = PUBLICATION_ACTION_ADD, PUBLICATION_ACTION_WITHDRAW
MORE_THAN_FRESH = timedelta(minutes=2)


def filed(lab: HospitalLab, *, published: bool = True) -> bytes:
    handle = lab.import_files()
    if published:
        assert lab.outbox.publish_due() == 1
        lab.published.clear()
    return handle


def past(lab: HospitalLab, handle: bytes) -> None:
    records_administration.keep_until(lab.hospital, handle, lab.federation.clock.now - 1, ACT)


def erased(lab: HospitalLab) -> bytes:
    handle = filed(lab)
    past(lab, handle)
    assert records_administration.erase(lab.hospital, handle, ACT)
    return handle


def corrected(lab: HospitalLab, handle: bytes, spaces: int = 1) -> int:
    """Correct a record by a bundle of other bytes."""
    bundle = lab.directory / f"corrected-{spaces}.json"
    bundle.write_text(json.dumps(json.loads(JOHNNIE.read_text()), indent=spaces))
    return correct_record(lab.hospital, handle, bundle, (), ACT, lambda _: None).version


def found(lab: HospitalLab) -> list[bytes]:
    keys = lab.hospital.vault.patient_keys("P:wang")
    records = lab.hospital.stores.records.of_classes(keys, ["cardiology", "neurology"], ["normal"], most=99)
    return [record.handle for record in records]


def publish_all(lab: HospitalLab, publish: Callable[[Publication], SignedStatement] | None = None) -> list[int]:
    """Empty the outbox, however long it takes; return the actions that the cloud took."""
    outbox = Outbox(lab.hospital, publish or lab.publish)
    while lab.hospital.stores.outbox.size():
        outbox.publish_due()
        lab.federation.clock.advance(MORE_THAN_FRESH)
    return [publication.action for publication in lab.published]


def kinds(lab: HospitalLab) -> list[tuple[str, str]]:
    events = (entry.event for entry in lab.hospital.audit.entries())
    return [(event.kind, event.reason) for event in events if event.kind not in QUIET | {"PUBLISHED"}]


def test_record_erased_is_gone_from_disk_database_and_index_and_the_log_says_why(lab: HospitalLab) -> None:
    handle = erased(lab)
    assert found(lab) == lab.blobs == list(lab.hospital.stores.records.all()) == []
    assert set(publish_all(lab)) == {WITHDRAW}
    assert {(it.patient_id, it.handle) for it in lab.published} == {("P:wang", handle)}
    assert kinds(lab)[:2] == [("RETENTION", "OK"), ("ERASED", "OK")]
    entry = next(it.event for it in lab.hospital.audit.entries() if it.event.kind == "ERASED")
    assert f"{handle.hex()}, 1 versions of H:alpha/cardiology; by ann: as the law says" in entry.detail


def test_record_erased_is_said_to_be_and_erasing_it_again_does_nothing(lab: HospitalLab) -> None:
    handle = erased(lab)
    before = kinds(lab)
    assert not records_administration.erase(lab.hospital, handle, ACT)
    with pytest.raises(RecordErased):
        records_administration.overview(lab.hospital, handle)
    for act in (records_administration.withdraw, records_administration.reinstate, records_administration.place_hold):
        with pytest.raises(RecordErased):
            act(lab.hospital, handle, ACT)
    assert kinds(lab) == before
    assert records_administration.why_absent(lab.hospital, [b"x" * 16, handle]) == "RECORD_ERASED"


def test_record_that_never_was_is_no_such_record(lab: HospitalLab) -> None:
    for act in (
        records_administration.withdraw,
        records_administration.reinstate,
        records_administration.place_hold,
        records_administration.erase,
    ):
        with pytest.raises(NoSuchRecord):
            act(lab.hospital, b"x" * 16, ACT)
    assert records_administration.why_absent(lab.hospital, []) == "NO_SUCH_RECORD"


def test_record_held_outlives_its_retention_record_held(lab: HospitalLab) -> None:
    handle = filed(lab)
    past(lab, handle)
    hold = records_administration.place_hold(lab.hospital, handle, OperatorAction("ann", "court of Alpha, 12/26"))
    with pytest.raises(StillHeld):
        records_administration.erase(lab.hospital, handle, ACT)
    assert found(lab) == [handle]
    assert lab.blobs
    with pytest.raises(NotStored):
        records_administration.release_hold(lab.hospital, handle, b"none", ACT)
    records_administration.release_hold(lab.hospital, handle, hold, ACT)
    assert records_administration.erase(lab.hospital, handle, ACT)
    assert [kind for kind, _ in kinds(lab)] == ["RETENTION", "HELD", "ERASED", "RELEASED", "ERASED"]
    assert ("ERASED", "RECORD_HELD") in kinds(lab)


def test_record_whose_retention_runs_or_was_never_set_is_not_erased_record_retained(lab: HospitalLab) -> None:
    handle = filed(lab)
    for until in (None, lab.federation.clock.now + 1):
        if until is not None:
            records_administration.keep_until(lab.hospital, handle, until, ACT)
        with pytest.raises(StillKept):
            records_administration.erase(lab.hospital, handle, ACT)
    assert found(lab) == [handle]


def test_policy_gives_each_record_its_date_when_it_is_stored(lab: HospitalLab) -> None:
    object.__setattr__(lab.hospital, "retention", Retention(10, {"neurology": 30}))
    stored_at = lab.federation.clock.now
    for department, years in (("H:alpha/cardiology", 10), ("H:alpha/neurology", 30)):
        handle = lab.import_files(department_id=department)
        view = records_administration.overview(lab.hospital, handle)
        assert view.keep_until == years_later(stored_at, years)
        assert lab.hospital.vault.metadata_of(view.newest).keep_until == view.keep_until
    assert years_later(1_709_164_800_000, 1) == 1_740_787_200_000  # from 29 February 2024 to 1 March 2025


def test_wrapping_anew_leaves_the_retention_as_it_is(lab: HospitalLab) -> None:
    handle = filed(lab)
    past(lab, handle)
    before = records_administration.overview(lab.hospital, handle).keep_until
    for _ in rekey_records(lab.hospital.stores.records, lab.hospital.vault):
        pass
    assert records_administration.overview(lab.hospital, handle).keep_until == before


def test_record_withdrawn_is_found_by_nobody_until_it_is_reinstated(lab: HospitalLab) -> None:
    handle = filed(lab)
    assert records_administration.withdraw(lab.hospital, handle, ACT)
    assert not records_administration.withdraw(lab.hospital, handle, ACT)
    assert found(lab) == []
    assert records_administration.why_absent(lab.hospital, [handle]) == "RECORD_WITHDRAWN"
    assert publish_all(lab)[-1] == WITHDRAW
    assert records_administration.reinstate(lab.hospital, handle, ACT)
    assert not records_administration.reinstate(lab.hospital, handle, ACT)
    assert found(lab) == [handle]
    assert publish_all(lab)[-1] == ADD
    assert [kind for kind, _ in kinds(lab) if kind != "UNPUBLISHED"] == ["WITHDRAWN", "REINSTATED"]


def test_correction_is_what_is_found_and_the_version_before_stays(lab: HospitalLab) -> None:
    handle = filed(lab)
    assert corrected(lab, handle) == 2
    view = records_administration.overview(lab.hospital, handle)
    assert [version.version for version in view.versions] == [1, 2]
    assert found(lab) == [handle]
    contents = [b"".join(lab.hospital.vault.read(version)) for version in view.versions]
    assert contents[0] == JOHNNIE.read_bytes() != contents[1]
    assert lab.hospital.vault.metadata_of(view.newest).patient_id == "P:wang"
    past(lab, handle)
    assert records_administration.erase(lab.hospital, handle, ACT)
    assert lab.blobs == []
    with pytest.raises(RecordErased):
        corrected(lab, handle)


def test_correction_made_again_is_the_one_that_was_made(lab: HospitalLab) -> None:
    handle = filed(lab)
    assert corrected(lab, handle) == corrected(lab, handle) == 2
    assert corrected(lab, handle, 2) == 3
    assert len(lab.blobs) == 3
    assert [kind for kind, _ in kinds(lab)] == ["CORRECTED"] * 2


def test_two_corrections_at_once_are_one_and_a_conflict(lab: HospitalLab) -> None:
    handle = filed(lab)
    scan = lab.directory / "scan.bin"
    scan.write_bytes(b"scan")

    def meanwhile(_: int) -> None:
        if len(records_administration.overview(lab.hospital, handle).versions) == 1:
            corrected(lab, handle)

    with pytest.raises(Conflict):
        correct_record(lab.hospital, handle, JOHNNIE, (scan,), ACT, meanwhile)
    assert len(records_administration.overview(lab.hospital, handle).versions) == len(lab.blobs) == 2


def test_publication_that_waits_when_its_record_is_erased_adds_nothing_to_the_index(lab: HospitalLab) -> None:
    handle = filed(lab, published=False)
    past(lab, handle)
    assert records_administration.erase(lab.hospital, handle, ACT)
    assert set(publish_all(lab)) == {WITHDRAW}


def test_record_erased_while_it_is_published_is_withdrawn_after_all(lab: HospitalLab) -> None:
    handle = filed(lab, published=False)
    past(lab, handle)

    def slowly(publication: Publication) -> SignedStatement:
        """The cloud takes "add", and before its answer is here the record is erased."""
        receipt = lab.publish(publication)
        if publication.action == ADD:
            assert records_administration.erase(lab.hospital, handle, ACT)
        return receipt

    actions = publish_all(lab, slowly)
    assert actions[0] == ADD
    assert actions[-1] == WITHDRAW
    assert actions.count(ADD) == 1


def test_withdrawal_is_repeated_when_no_message_from_before_can_arrive_any_more(lab: HospitalLab) -> None:
    handle = erased(lab)
    freshness = lab.hospital.member.freshness
    assert lab.outbox.publish_due() == 1
    assert lab.outbox.publish_due() == 0
    lab.federation.clock.advance(freshness.window + 2 * freshness.skew)
    assert lab.outbox.publish_due() == 0
    lab.federation.clock.advance(timedelta(milliseconds=1))
    assert lab.outbox.publish_due() == 1
    assert lab.hospital.stores.outbox.size() == 0
    assert [it.handle for it in lab.published] == [handle] * 2
    assert lab.published[1].sent_at > lab.published[0].sent_at + milliseconds(freshness.window)


def test_withdrawal_outlives_a_cloud_that_is_away_and_a_restart(lab: HospitalLab) -> None:
    erased(lab)

    def away(_: Publication) -> SignedStatement:
        raise Unavailable("away")

    assert Outbox(lab.hospital, away).publish_due() == 0
    lab.restart()
    lab.federation.clock.advance(MORE_THAN_FRESH)
    assert publish_all(lab) == [WITHDRAW]


def test_patients_records_are_found_withdrawn_ones_too_and_nobody_elses(lab: HospitalLab) -> None:
    mine = {filed(lab), filed(lab)}
    lab.import_files(patient_id="P:lin")
    records_administration.withdraw(lab.hospital, next(iter(mine)), ACT)
    assert set(records_administration.records_of(lab.hospital, "P:wang")) == mine
    with pytest.raises(FieldInvalid):
        records_administration.records_of(lab.hospital, "wang")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_act_without_a_reason_is_refused_field_invalid(reason: str) -> None:
    with pytest.raises(FieldInvalid):
        OperatorAction("ann", reason)


def test_content_of_an_erased_record_goes_when_the_shelf_answers_again(lab: HospitalLab) -> None:
    handle = filed(lab)
    past(lab, handle)
    folder = lab.blobs[0].parent
    aside = folder.rename(folder.with_name("aside"))
    folder.write_bytes(b"no folder")
    assert records_administration.erase(lab.hospital, handle, ACT)
    with pytest.raises(StoreUnavailable):
        records_administration.bury(lab.hospital)
    folder.unlink()
    aside.rename(folder)
    assert lab.blobs
    assert records_administration.bury(lab.hospital) == 1
    assert lab.blobs == []


def test_publishing_all_again_adds_no_record_that_is_withdrawn(lab: HospitalLab) -> None:
    hidden, shown = filed(lab), filed(lab)
    records_administration.withdraw(lab.hospital, hidden, ACT)
    publish_all(lab)
    lab.published.clear()
    for _ in publish_again(lab.hospital):
        pass
    publish_all(lab)
    assert {(it.handle, it.action) for it in lab.published} == {(hidden, WITHDRAW), (shown, ADD)}


def test_corrected_version_of_two_people_is_said_without_whose_record_it_is(lab: HospitalLab, tmp_path: Path) -> None:
    handle = lab.import_files()
    people = [{"resourceType": "Patient", "name": [{"family": name}]} for name in "AB"]
    other = {"resourceType": "Patient", "identifier": [{"value": "P:other"}], "name": [{"family": "A"}]}
    bundle = tmp_path / "corrected.json"
    bundle.write_text("\n".join(map(json.dumps, [*people, other])))
    corrected = correct_record(lab.hospital, handle, bundle, (), ACT, lambda _: None)
    assert corrected.version == 2
    assert corrected.warnings == ["holds 2 people: A; B", "names P:other, and is filed under another"]
