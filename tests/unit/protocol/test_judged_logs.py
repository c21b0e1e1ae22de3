"""What a judge makes of a log's heads and of what was told of it: whose they have to be, and that nothing more is shown."""

from dataclasses import replace

import pytest

from federation.protocol import exhibits
from federation.protocol.exhibit import KeptExhibit
from federation.protocol.judge import judge
from federation.protocol.judging import Judgement
from federation.v1.access_pb2 import ProvedHead
from tests.simulator import CLOUD_ID, Federation
from tests.time_authority import shared_authority
from tests.trees import reader_of
from tests.unit.protocol.judging import changed, kept, of_accesses, of_fork, of_stamp, writer_of
from tests.vectors.told import READ, SIZE


def judged(federation: Federation, one: KeptExhibit) -> Judgement:
    (found,) = judge([one], federation.cloud.anchors, shared_authority().trusted)
    return found


def failed(found: Judgement) -> tuple[str, str]:
    assert found.proves == ()
    return found.checks[-1].name, found.checks[-1].reason


def with_opening(one: KeptExhibit, **openings: bytes) -> KeptExhibit:
    return changed(one, openings={**one.exhibit.openings, **openings})


def fork_of_the_cloud(federation: Federation, *, signed_by_another: bool = False) -> KeptExhibit:
    """Two heads of the public cloud's log, which has no key statement."""
    keys = federation.hospital_a.keys if signed_by_another else federation.cloud.keys
    writer = replace(writer_of(federation), party_id=CLOUD_ID, key=keys.signing_key)
    shown = ProvedHead(note=writer.note(SIZE, reader_of(writer.leaves(b" rewritten"))))
    known = writer.note(SIZE, reader_of(writer.leaves()))
    return kept(exhibits.of_heads(known, shown, CLOUD_ID, None))


def test_fork_of_the_public_cloud_is_judged_by_the_keys_of_the_trust_bundle(federation: Federation) -> None:
    assert judged(federation, fork_of_the_cloud(federation)).holds
    found = judged(federation, fork_of_the_cloud(federation, signed_by_another=True))
    assert failed(found) == ("known", "SIGNATURE_INVALID")


def test_head_of_the_public_cloud_with_a_key_statement_is_field_invalid(federation: Federation) -> None:
    stated = federation.party(federation.hospital_a).self_.key_statement
    found = judged(federation, changed(fork_of_the_cloud(federation), key_statement=stated))
    assert failed(found) == ("known", "FIELD_INVALID")


@pytest.mark.parametrize("make", [of_accesses, of_fork, of_stamp])
def test_head_of_somebody_elses_log_is_identity_mismatch(federation: Federation, make) -> None:
    stated = federation.party(federation.hospital_b).self_.key_statement
    found = judged(federation, changed(make(federation), signer="H:beta", key_statement=stated))
    assert failed(found)[1] == "IDENTITY_MISMATCH"


def test_head_of_another_federations_log_is_identity_mismatch(federation: Federation) -> None:
    writer = replace(writer_of(federation), realm="elsewhere")
    stated = federation.party(federation.hospital_a).self_.key_statement
    notes = [writer.note(SIZE, reader_of(writer.leaves(fork))) for fork in (b"", b" rewritten")]
    fork = kept(exhibits.of_heads(notes[0], ProvedHead(note=notes[1]), "H:alpha", stated))
    assert failed(judged(federation, fork)) == ("known", "IDENTITY_MISMATCH")


@pytest.mark.parametrize("make", [of_accesses, of_fork, of_stamp])
@pytest.mark.parametrize("part", ["message", "certificate", "encryption_key_statement"])
def test_head_with_something_beside_it_that_nobody_looks_at_is_field_invalid(
    federation: Federation, make, part: str
) -> None:
    stated = federation.party(federation.hospital_a).encryption_key_statement
    beside = stated if part == "encryption_key_statement" else b"more"
    assert failed(judged(federation, changed(make(federation), **{part: beside}))) == ("signature", "FIELD_INVALID")


@pytest.mark.parametrize("make", [of_accesses, of_fork, of_stamp])
def test_head_whose_signature_is_not_the_exhibits_is_signature_invalid(federation: Federation, make) -> None:
    true = make(federation)
    for part in ("signed", "signature"):
        other = getattr(true.exhibit, part)[:-2] + b"??"
        assert failed(judged(federation, changed(true, **{part: other}))) == ("signature", "SIGNATURE_INVALID")


def test_accesses_without_an_entry_are_missing_field(federation: Federation) -> None:
    true = of_accesses(federation)
    openings = {name: value for name, value in true.exhibit.openings.items() if not name.startswith("entry-")}
    assert failed(judged(federation, changed(true, openings=openings))) == ("content", "MISSING_FIELD")


def test_accesses_of_nobody_that_is_a_patient_are_field_invalid(federation: Federation) -> None:
    for patient in (b"H:alpha", b"P:\xff", b""):
        found = judged(federation, with_opening(of_accesses(federation), patient_id=patient))
        assert failed(found) == ("patient", "FIELD_INVALID")


def test_entry_under_another_leaf_than_its_own_is_field_invalid(federation: Federation) -> None:
    true = of_accesses(federation)
    found = judged(federation, with_opening(true, **{"entry-9999": true.exhibit.openings[f"entry-{READ}"]}))
    assert failed(found)[1] == "FIELD_INVALID"


def test_two_heads_of_two_logs_of_one_node_are_no_fork_head_older(federation: Federation) -> None:
    writer = writer_of(federation)
    stated = federation.party(federation.hospital_a).self_.key_statement
    known = writer.note(SIZE, reader_of(writer.leaves()))
    shown = writer.note(SIZE, reader_of(writer.leaves(b" rewritten")), number=2)
    fork = kept(exhibits.of_heads(known, ProvedHead(note=shown), "H:alpha", stated))
    assert failed(judged(federation, fork)) == ("contradiction", "HEAD_OLDER")


def test_proof_of_broken_hashes_is_field_invalid(federation: Federation) -> None:
    true = of_stamp(federation)
    for proof in (true.exhibit.openings["consistency"][:-1], true.exhibit.openings["consistency"] + b"\0"):
        assert failed(judged(federation, with_opening(true, consistency=proof))) == ("consistency", "FIELD_INVALID")
