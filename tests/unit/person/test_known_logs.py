"""What a patient's device remembers of logs: one cut back or forked between two looks is found, and kept as evidence."""

from pathlib import Path
from typing import Any

import pytest

from federation.errors import HeadConflict, HeadOlder, LeafMismatch, LogProofInvalid, MissingField, Unavailable
from federation.person.evidence import EvidenceBook
from federation.person.known_logs import MOST_UNDATED, KnownLogs, LogAnswer, LogChecker
from federation.protocol.access_log import proved_head
from federation.protocol.judge import judge
from federation.protocol.judged_logs import ACCESS, LOG_FORK, LOG_TIME
from federation.protocol.log_head import cosign, peek_head
from federation.protocol.merkle import consistency_proof
from federation.protocol.told_log import LogAuthor, ToldLog
from federation.store.database import open_database
from federation.store.party import Evidence
from federation.v1.access_pb2 import ProvedHead
from federation.v1.log_pb2 import GetTimeStampResponse
from keystore.identities import PatientId
from tests.simulator import Federation
from tests.time_authority import shared_authority
from tests.trees import reader_of
from tests.vectors.told import KNOWN, READ, REFUSED, SIZE, Writer

PATIENT = PatientId("P:wang")


class Device:
    """A patient's device that looks at one hospital's log."""

    def __init__(self, federation: Federation, directory: Path) -> None:
        member = federation.patient
        self.directory = directory
        self.member = member
        self.hospital = federation.hospital_a.party(federation.clock.now)
        realm = member.anchors.realm
        self.writer = Writer(realm, "H:alpha", self.hospital.signing_key, PATIENT, federation.clock.now)
        self.read = reader_of(self.writer.leaves())
        self.forked = reader_of(self.writer.leaves(b" rewritten"))
        self.book = EvidenceBook(member, Evidence(open_database(f"sqlite:///{directory / 'store'}.sqlite")))
        self.now = federation.clock.now

    @property
    def known(self) -> KnownLogs:
        return KnownLogs(self.directory / "logs", self.member)

    def look(self, size: int, read: Any = None, **head: Any) -> Any:
        read = read or self.read
        known_size = LogChecker(self.member, self.known, self.book).known_size("H:alpha")
        proved = proved_head(self.writer.note(size, read), size, known_size, read)
        indices = [(READ, 2), (REFUSED, 1)] if size > READ else [(REFUSED, 1)] if size > REFUSED else []
        entries = [self.writer.entry(index, number, read, size) for index, number in indices]
        return self.checked(entries, head.get("head", proved))

    def checked(
        self, entries: Any, head: ProvedHead | None, before: ToldLog | None = None, older: int | None = None
    ) -> Any:
        author = LogAuthor(self.writer.realm, "H:alpha", self.hospital.self_.key)
        checker = LogChecker(self.member, self.known, self.book)
        said = LogAnswer(entries, head, author, self.hospital.self_.key_statement, older)
        return checker.checked(said, PATIENT, before, now=self.now)

    @property
    def kept(self) -> list[Any]:
        return list(self.book.all(LOG_FORK))


@pytest.fixture
def device(federation: Federation, tmp_path: Path) -> Device:
    return Device(federation, tmp_path)


def test_head_of_a_log_is_remembered_sealed_and_the_next_look_is_from_there(device: Device) -> None:
    device.look(KNOWN)
    told = device.look(SIZE)
    known = device.known.head("H:alpha")
    assert known == told.head
    assert known is not None
    assert not any(known.note in path.read_bytes() for path in (device.directory / "logs").iterdir())
    assert device.kept == []


def test_log_cut_back_between_two_looks_is_head_older_and_both_heads_are_evidence(device: Device) -> None:
    before = device.look(SIZE).head.note
    with pytest.raises(HeadOlder):
        device.look(KNOWN)
    (kept,) = device.kept
    assert kept.exhibit.signer == "H:alpha"
    assert kept.exhibit.openings["known"] == before
    assert peek_head(kept.exhibit.openings["shown"]) == peek_head(device.writer.note(KNOWN, device.read))
    assert device.known.head("H:alpha").note == before


def test_log_forked_between_two_looks_is_refused_and_both_heads_are_evidence(device: Device) -> None:
    device.look(KNOWN)
    with pytest.raises(LogProofInvalid):
        device.look(SIZE, device.forked)
    assert len(device.kept) == 1


def test_two_heads_of_one_size_are_head_conflict_and_evidence(device: Device) -> None:
    device.look(SIZE)
    with pytest.raises(HeadConflict):
        device.look(SIZE, device.forked)
    assert len(device.kept) == 1


def pages(device: Device, by: Any = None) -> tuple[ToldLog, Any, ProvedHead]:
    """A first page, and the entries and head of a further one, of the tree that is read by this reader."""
    read = by or device.read
    head = proved_head(device.writer.note(SIZE, device.read), SIZE, 0, device.read)
    first = device.checked([device.writer.entry(READ, 2, device.read)], head, None, READ)
    further = proved_head(device.writer.note(SIZE, read), SIZE, SIZE, read)
    return first, [device.writer.entry(REFUSED, 1, read)], further


def test_further_page_is_put_to_the_first_below_one_head(device: Device) -> None:
    first, entries, head = pages(device)
    told = device.checked(entries, head, first)
    assert [it.number for it in told.entries] == [2, 1]
    assert (told.head, told.older) == (first.head, None)
    assert device.kept == []


def test_page_of_a_fork_between_two_pages_is_head_conflict_and_evidence(device: Device) -> None:
    first, entries, head = pages(device, device.forked)
    with pytest.raises(HeadConflict):
        device.checked(entries, head, first)
    (kept,) = device.kept
    assert kept.exhibit.openings["known"] == first.head.note


def test_entry_that_says_somebody_else_read_is_leaf_mismatch_and_nothing_is_remembered(device: Device) -> None:
    entry = device.writer.entry(READ, 1, device.read)
    entry.asker_id = "D:roe"
    head = proved_head(device.writer.note(SIZE, device.read), SIZE, 0, device.read)
    with pytest.raises(LeafMismatch):
        device.checked([entry], head)
    assert device.known.head("H:alpha") is None


def test_log_without_a_head_is_missing_field(device: Device) -> None:
    with pytest.raises(MissingField):
        device.checked([], None)


def test_log_begun_anew_is_taken_and_said(device: Device) -> None:
    device.look(SIZE)
    head = proved_head(device.writer.note(KNOWN, device.forked, 2), KNOWN, 0, device.forked)
    told = device.checked([], head)
    assert told.begins_anew
    assert device.known.head("H:alpha").number == 2


def test_leaves_that_were_told_are_kept_for_each_patient_and_log(device: Device) -> None:
    entries = [device.writer.entry(index, 1, device.read) for index in (READ, REFUSED)]
    device.known.remember(PATIENT, "H:alpha", entries[:1])
    device.known.remember(PATIENT, "H:alpha", entries[1:])
    device.known.remember(PatientId("P:lin"), "H:alpha", [])
    assert device.known.leaves(PATIENT, "H:alpha") == {READ, REFUSED}
    assert device.known.leaves(PatientId("P:lin"), "H:alpha") == set()
    assert device.known.leaves(PATIENT, "H:beta") == set()


def test_head_of_another_device_is_not_believed(device: Device, federation: Federation) -> None:
    """It is sealed under the token's key: who writes the directory can make it forget, and not remember something else."""
    device.look(SIZE)
    other = KnownLogs(device.directory / "logs", federation.other_patient)
    with pytest.raises(Exception, match=r"."):
        other.head("H:alpha")


def test_what_a_log_tells_is_evidence_that_a_judge_takes_and_is_kept_once(
    device: Device, federation: Federation
) -> None:
    device.look(KNOWN)
    device.look(SIZE)
    device.look(SIZE)
    kept = list(device.book.all(ACCESS))
    entries = [{it for it in one.exhibit.openings if it.startswith("entry-")} for one in kept]
    assert sorted(map(sorted, entries)) == [[f"entry-{REFUSED}"], [f"entry-{READ}"]]
    judged = judge(kept, federation.cloud.anchors)
    assert all(it.holds for it in judged)
    assert any("READ by D:chen of P:wang" in words for one in judged for words in one.proves)


def test_lines_under_a_head_that_prove_nothing_are_not_in_the_evidence(device: Device, federation: Federation) -> None:
    stranger, witness = federation.party(federation.other_patient), federation.party(federation.hospital_b)
    note = device.writer.note(SIZE, device.read)
    spoilt = note + cosign(note, stranger.signing_key, "H:beta", device.now)
    stated = [witness.self_.key_statement, stranger.self_.key_statement]
    head = proved_head(spoilt, SIZE, 0, device.read, stated)
    device.look(SIZE, head=head)
    (kept,) = device.book.all(ACCESS)
    assert kept.exhibit.openings["note"] == note
    assert not any(it.startswith("witness-") for it in kept.exhibit.openings)
    assert judge([kept], federation.cloud.anchors)[0].holds


class Stamping:
    """The hospital's node as it answers for time stamps: of heads up to a size, or not at all."""

    def __init__(self, device: Device, *sizes: int) -> None:
        self.device = device
        self.sizes = sizes
        self.asked: list[tuple[int, int]] = []
        self.read = device.read

    def __call__(self, number: int, size: int) -> GetTimeStampResponse:
        self.asked.append((number, size))
        covering = next((it for it in self.sizes if it >= size), None)
        if covering is None:
            return GetTimeStampResponse()
        note = self.device.writer.note(covering, self.read)
        return GetTimeStampResponse(
            note=note,
            key_statement=self.device.hospital.self_.key_statement,
            time_stamp=shared_authority().stamp(note),
            consistency=consistency_proof(size, covering, self.read),
        )


def dated(device: Device, ask: Any) -> list[Any]:
    """What is kept as evidence of time after the node was asked."""
    LogChecker(device.member, device.known, device.book).have_dated("H:alpha", ask, now=device.now)
    return list(device.book.all(LOG_TIME))


def test_head_that_is_evidence_is_dated_when_its_node_has_a_stamp_and_once(device: Device) -> None:
    device.look(SIZE)
    assert dated(device, Stamping(device)) == []
    (kept,) = dated(device, Stamping(device, SIZE + 5))
    found = judge([*device.book.all(ACCESS), kept], device.member.anchors, shared_authority().trusted)
    assert [it.holds for it in found] == [True, True]
    assert any(it.startswith("by the time stamp of exhibit 2") for it in found[0].proves)
    again = Stamping(device, SIZE + 5)
    assert dated(device, again) == [kept]
    assert again.asked == []


def test_each_head_waits_for_a_stamp_that_covers_it(device: Device) -> None:
    device.look(KNOWN)
    device.look(SIZE)
    assert [it.head.head.size for it in device.known.undated("H:alpha")] == [KNOWN, SIZE]
    assert len(dated(device, Stamping(device, KNOWN))) == 1
    assert [it.head.head.size for it in device.known.undated("H:alpha")] == [SIZE]
    assert len(dated(device, Stamping(device, KNOWN, SIZE))) == 2


def test_stamp_over_another_past_of_the_log_is_not_kept(device: Device) -> None:
    device.look(SIZE)
    asking = Stamping(device, SIZE + 5)
    asking.read = device.forked
    assert dated(device, asking) == []


def test_node_that_does_not_answer_is_asked_again_at_the_next_look(device: Device) -> None:
    def away(number: int, size: int) -> GetTimeStampResponse:
        raise Unavailable("away")

    device.look(SIZE)
    assert dated(device, away) == []
    assert len(dated(device, Stamping(device, SIZE))) == 1


def test_heads_that_wait_for_a_stamp_are_not_more_than_so_many(device: Device) -> None:
    device.look(SIZE)
    (head,) = device.known.undated("H:alpha")
    device.known.keep_undated("H:alpha", [head] * (MOST_UNDATED + 1))
    assert len(device.known.undated("H:alpha")) == MOST_UNDATED
