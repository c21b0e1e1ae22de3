"""What a judge makes of a time stamp over a log: what it dates, by whom, and what of it has to hold."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from federation.protocol.exhibit import KeptExhibit
from federation.protocol.judge import judge
from federation.protocol.judged_logs import time_exhibit
from federation.protocol.judging import Judgement, moment
from federation.protocol.log_head import cosign
from federation.protocol.merkle import consistency_proof
from federation.protocol.time_stamps import peek_stamp
from federation.v1.log_pb2 import GetTimeStampResponse
from tests.simulator import Federation
from tests.time_authority import TimeAuthority, shared_authority
from tests.trees import reader_of
from tests.unit.protocol.judging import changed, kept, of_accesses, of_fork, of_stamp, writer_of
from tests.vectors.told import SIZE


def judged(federation: Federation, one: KeptExhibit, trusted: Sequence[x509.Certificate] | None = None) -> Judgement:
    (found,) = judge([one], federation.cloud.anchors, shared_authority().trusted if trusted is None else trusted)
    return found


def failed(found: Judgement) -> tuple[str, str]:
    assert found.proves == ()
    return found.checks[-1].name, found.checks[-1].reason


def with_opening(one: KeptExhibit, **openings: bytes) -> KeptExhibit:
    return changed(one, openings={**one.exhibit.openings, **openings})


def test_stamp_dates_the_head_by_the_authoritys_word(federation: Federation) -> None:
    one = of_stamp(federation)
    found, said = judged(federation, one), peek_stamp(one.exhibit.openings["time_stamp"])
    assert found.holds
    assert f"CN=Chamber of Time says that all of this was there by {moment(said.latest)}" in "\n".join(found.proves)
    assert found.there_by == said.latest


def test_stamp_over_the_head_itself_dates_it_too(federation: Federation) -> None:
    assert judged(federation, of_stamp(federation, over=SIZE)).holds


def test_judge_who_names_no_authority_is_told_no_time_and_that_there_is_a_stamp(federation: Federation) -> None:
    found = judged(federation, of_stamp(federation), [])
    assert found.holds
    assert found.there_by == 0
    assert not any("was there by" in it for it in found.proves)
    assert any("with --tsa" in it for it in found.leaves_open)


def test_accesses_below_a_dated_head_are_dated_and_without_the_authority_are_not(federation: Federation) -> None:
    told = of_accesses(federation)
    writer, hospital = writer_of(federation), federation.party(federation.hospital_a)
    read = reader_of(writer.leaves())
    note = writer.note(SIZE + 7, read)
    answer = GetTimeStampResponse(
        note=note,
        time_stamp=shared_authority().stamp(note),
        consistency=consistency_proof(SIZE, SIZE + 7, read),
    )
    stamp = kept(time_exhibit("H:alpha", told.exhibit.openings["note"], hospital.self_.key_statement, answer))
    said = peek_stamp(answer.time_stamp)
    accesses, dated = judge([told, stamp], federation.cloud.anchors, shared_authority().trusted)
    assert f"by the time stamp of exhibit 2, all of it was written by {moment(said.latest)}" in accesses.proves
    assert "it dates the head of exhibit 1" in dated.proves
    accesses, _ = judge([told, stamp], federation.cloud.anchors)
    assert accesses.holds
    assert not any("by the time stamp" in it for it in accesses.proves)


def test_stamp_of_an_authority_that_the_judge_does_not_trust_is_refused_by_its_name(
    federation: Federation, tmp_path: Path
) -> None:
    other = TimeAuthority(tmp_path / "other")
    assert failed(judged(federation, of_stamp(federation), other.trusted)) == ("time-stamp", "TIME_STAMP_UNTRUSTED")


def test_stamp_over_something_else_is_refused_by_its_name(federation: Federation) -> None:
    other = with_opening(of_stamp(federation), time_stamp=shared_authority().stamp(b"another head"))
    assert failed(judged(federation, other)) == ("time-stamp", "TIME_STAMP_MISMATCH")


def test_stamp_after_the_end_of_the_authoritys_certificate_is_refused_by_its_name(
    federation: Federation, tmp_path: Path
) -> None:
    ended, true = TimeAuthority(tmp_path / "ended", lasts=timedelta(days=-1)), of_stamp(federation)
    one = with_opening(true, time_stamp=ended.stamp(true.exhibit.openings["stamped"]))
    assert failed(judged(federation, one, ended.trusted)) == ("time-stamp", "TIME_STAMP_EXPIRED")


def test_stamp_by_a_certificate_for_something_else_is_refused_by_its_name(federation: Federation) -> None:
    true = of_stamp(federation)
    answer = shared_authority().signed_by_another_key(true.exhibit.openings["stamped"], None)
    assert failed(judged(federation, with_opening(true, time_stamp=answer))) == ("time-stamp", "TIME_STAMP_USAGE")


@pytest.mark.parametrize("proof", [b"", bytes(32), bytes(31)])
def test_stamped_head_that_does_not_go_on_from_the_one_that_it_dates_is_refused(
    federation: Federation, proof: bytes
) -> None:
    name, reason = failed(judged(federation, with_opening(of_stamp(federation), consistency=proof)))
    assert (name, reason) == ("consistency", "FIELD_INVALID" if len(proof) == 31 else "LOG_PROOF_INVALID")


def test_stamped_head_of_another_past_of_the_log_is_refused(federation: Federation) -> None:
    shown = of_fork(federation, SIZE + 20).exhibit.openings["shown"]
    one = with_opening(of_stamp(federation), stamped=shown, time_stamp=shared_authority().stamp(shown))
    assert failed(judged(federation, one)) == ("consistency", "LOG_PROOF_INVALID")


def test_stamped_head_of_another_of_the_nodes_logs_is_refused(federation: Federation) -> None:
    writer = writer_of(federation)
    note = writer.note(SIZE + 20, reader_of(writer.leaves()), number=2)
    one = with_opening(of_stamp(federation), stamped=note, time_stamp=shared_authority().stamp(note))
    assert failed(judged(federation, one)) == ("consistency", "HEAD_OLDER")


def line_of(federation: Federation, note: bytes) -> bytes:
    """H:beta's cosignature."""
    witness = federation.party(federation.hospital_b)
    return cosign(note, witness.signing_key, "H:beta", federation.clock.now)


def test_line_under_a_head_that_nobody_looks_at_is_field_invalid(federation: Federation) -> None:
    true = of_stamp(federation)
    head = true.exhibit.openings["head"]
    assert failed(judged(federation, with_opening(true, head=head + line_of(federation, head)))) == (
        "lines",
        "FIELD_INVALID",
    )


def test_cosignatures_under_the_stamped_head_are_told_and_have_to_hold(federation: Federation) -> None:
    true = of_stamp(federation)
    stamped, stated = true.exhibit.openings["stamped"], federation.party(federation.hospital_b).self_.key_statement
    shown = {"stamped": stamped + line_of(federation, stamped), "witness-1": stated.statement}
    shown["witness-1_signature"] = stated.signature
    found = judged(federation, with_opening(true, **shown))
    assert found.holds
    assert any(it.startswith("that one is cosigned by H:beta at ") for it in found.proves)
    other = line_of(federation, true.exhibit.openings["head"])
    wrong = with_opening(true, **{**shown, "stamped": stamped + other})
    assert failed(judged(federation, wrong)) == ("cosignatures", "SIGNATURE_INVALID")
    del shown["witness-1"], shown["witness-1_signature"]
    assert failed(judged(federation, with_opening(true, **shown))) == ("cosignatures", "SIGNATURE_INVALID")
