"""A witness refuses by name what is no head that goes on from the one it keeps, and shows the one that it keeps."""

from dataclasses import replace
from typing import Any, cast

import pytest

from federation.errors import (
    FieldInvalid,
    HeadBaseMismatch,
    HeadConflict,
    HeadOlder,
    IdentityMismatch,
    LogProofInvalid,
    MissingField,
    NoteMalformed,
    SignatureInvalid,
    WitnessIneligible,
)
from federation.party.log_rpc import LogDesk
from federation.party.witness import FORK, RESTARTED, open_shown
from federation.protocol.log_head import LogHead, Origin, cosign, require_cosigned, sign_head
from federation.store.errors import NotStored, StoredRecordCorrupt
from federation.store.witnessed import Witnessed
from federation.v1.log_pb2 import (
    CosignRequest,
    GetConsistencyRequest,
    GetLogHeadRequest,
    GetLogTileRequest,
)
from tests.log_lab import LogNode
from tests.simulator import Federation

ALPHA, BETA = "H:alpha", "H:beta"


@pytest.fixture
def alpha(federation: Federation) -> LogNode:
    node = LogNode(ALPHA, federation, federation.hospital_a, cast("Any", None))
    node.write("one", "two", "three")
    return node


@pytest.fixture
def beta(federation: Federation) -> LogNode:
    return LogNode(BETA, federation, federation.hospital_b, cast("Any", None))


def asked(node: LogNode, old_size: int = 0, own=None) -> CosignRequest:
    """What a log asks a witness that keeps a head of that size."""
    own = own or node.own
    head = own.sign_newest()
    return CosignRequest(
        note=head.note,
        old_size=old_size,
        proof=own.consistency(old_size, head.size),
        key_statement=own.key_statement(),
    )


def took(witness: LogNode, request: CosignRequest) -> None:
    """Take a head as `Witness.cosign` does, and raise by name why not."""
    stated = request.key_statement if request.HasField("key_statement") else None
    shown = open_shown(request.note, stated, witness.verifier(), now=witness.federation.clock.now)
    witness.witness.take(shown, request.old_size, request.proof, now=witness.federation.clock.now)


def test_head_is_cosigned_and_kept(alpha: LogNode, beta: LogNode) -> None:
    request = asked(alpha)
    line = beta.witness.cosign(request).cosignature
    key = beta.own.signing_key(0).verifying_key
    (cosignature,) = require_cosigned(request.note, [line], [(BETA, key)], 1)
    assert cosignature.witness_id == BETA
    held = beta.witness.witnessed.of(ALPHA)
    assert (held.size, held.note) == (3, request.note)


def test_head_that_grew_is_cosigned_by_its_proof(alpha: LogNode, beta: LogNode) -> None:
    beta.witness.cosign(asked(alpha))
    alpha.write("four", "five")
    assert beta.witness.cosign(asked(alpha, old_size=3)).HasField("cosignature")
    assert beta.witness.witnessed.of(ALPHA).size == 5


def test_same_head_is_cosigned_again(alpha: LogNode, beta: LogNode) -> None:
    """A log whose answer was lost asks once more."""
    beta.witness.cosign(asked(alpha))
    assert beta.witness.cosign(asked(alpha, old_size=3)).HasField("cosignature")


def test_base_mismatch_is_answered_with_the_kept_head(alpha: LogNode, beta: LogNode) -> None:
    beta.witness.cosign(asked(alpha))
    alpha.write("four")
    answer = beta.witness.cosign(asked(alpha))
    assert not answer.HasField("cosignature")
    assert answer.kept_note == beta.witness.witnessed.of(ALPHA).note
    with pytest.raises(HeadBaseMismatch):
        took(beta, asked(alpha))


def test_base_mismatch_of_a_witness_that_keeps_nothing_is_answered_with_nothing(alpha: LogNode, beta: LogNode) -> None:
    request = asked(alpha)
    request.old_size = 2
    request.proof[:] = alpha.own.consistency(2, 3)
    answer = beta.witness.cosign(request)
    assert not answer.HasField("cosignature")
    assert not answer.HasField("kept_note")


def test_head_older_than_the_kept_one_is_refused_and_no_finding(alpha: LogNode, beta: LogNode) -> None:
    """Anybody may bring an old head: it says nothing of the log."""
    old = asked(alpha)
    alpha.write("four")
    beta.witness.cosign(asked(alpha))
    assert beta.witness.cosign(old).kept_note == beta.witness.witnessed.of(ALPHA).note
    with pytest.raises(HeadOlder):
        took(beta, old)
    assert beta.found == []


def test_head_conflict_is_refused_and_kept_with_both_heads(alpha: LogNode, beta: LogNode) -> None:
    request = asked(alpha)
    beta.witness.cosign(request)
    other = asked(alpha, own=alpha.another("one", "two", "nothing"))
    other.old_size = 3
    assert beta.witness.cosign(other).kept_note == request.note
    with pytest.raises(HeadConflict):
        took(beta, other)
    (finding,) = beta.findings
    assert (finding.kind, finding.held_note, finding.shown_note) == (FORK, request.note, other.note)


def test_log_proof_invalid_is_refused_and_no_finding(alpha: LogNode, beta: LogNode) -> None:
    """Anybody may bring an honest head with a proof of another size."""
    beta.witness.cosign(asked(alpha))
    alpha.write("four", "five")
    request = asked(alpha, old_size=3)
    request.proof[:] = alpha.own.consistency(2, 5)
    with pytest.raises(LogProofInvalid):
        beta.witness.cosign(request)
    assert beta.found == []


def test_signature_invalid_of_another_hospital_is_refused(alpha: LogNode, beta: LogNode) -> None:
    head = alpha.own.sign_newest()
    named = LogHead(str(Origin.of("test", ALPHA)), head.size, head.root)
    request = asked(alpha)
    request.note = sign_head(named, beta.own.signing_key(0))
    with pytest.raises(SignatureInvalid):
        beta.witness.cosign(request)


def test_identity_mismatch_of_a_key_statement_is_refused(alpha: LogNode, beta: LogNode) -> None:
    request = asked(alpha)
    request.key_statement.CopyFrom(beta.own.key_statement())
    with pytest.raises(IdentityMismatch):
        alpha.witness.cosign(request)


def test_identity_mismatch_of_another_federation_is_refused(alpha: LogNode, beta: LogNode) -> None:
    foreign = replace(alpha.own, anchors=lambda: replace(alpha.federation.cloud.anchors, realm="elsewhere"))
    with pytest.raises(IdentityMismatch):
        beta.witness.cosign(asked(alpha, own=foreign))


def test_witness_ineligible_for_its_own_log_is_refused(alpha: LogNode) -> None:
    with pytest.raises(WitnessIneligible):
        alpha.witness.cosign(asked(alpha))


@pytest.mark.parametrize("author", ["P:wang", "D:chen", "H:alpha"])
def test_witness_ineligible_who_shows_no_key_statement_of_a_hospital(
    alpha: LogNode, beta: LogNode, author: str
) -> None:
    request = asked(alpha)
    request.ClearField("key_statement")
    head = alpha.own.sign_newest()
    request.note = sign_head(LogHead(str(Origin.of("test", author)), head.size, head.root), alpha.own.signing_key(0))
    with pytest.raises(WitnessIneligible):
        beta.witness.cosign(request)


@pytest.mark.parametrize("note", [b"nothing", b"\n\n", b"test/H:alpha/1\n3\nAAAA\n\nno line\n"])
def test_note_malformed_is_refused(alpha: LogNode, beta: LogNode, note: bytes) -> None:
    request = asked(alpha)
    request.note = note
    with pytest.raises(NoteMalformed):
        beta.witness.cosign(request)


def test_note_malformed_that_its_author_signed_twice_is_refused(alpha: LogNode, beta: LogNode) -> None:
    request = asked(alpha)
    request.note += request.note.splitlines(keepends=True)[-1]
    with pytest.raises(NoteMalformed):
        beta.witness.cosign(request)


def test_missing_field_is_refused(beta: LogNode) -> None:
    with pytest.raises(MissingField):
        beta.witness.cosign(CosignRequest())


def test_what_stands_under_a_note_beside_its_author_is_not_kept(alpha: LogNode, beta: LogNode) -> None:
    request = asked(alpha)
    by_its_author = request.note
    request.note += cosign(by_its_author, alpha.own.signing_key(0), "H:gamma", 0)
    assert beta.witness.cosign(request).HasField("cosignature")
    assert beta.witness.witnessed.of(ALPHA).note == by_its_author


def test_head_of_a_lower_number_is_older(alpha: LogNode, beta: LogNode) -> None:
    before = alpha.another("one", "two", "three")
    alpha.own.begin_anew()
    beta.witness.cosign(asked(alpha))
    assert not beta.witness.cosign(asked(alpha, own=before)).HasField("cosignature")
    with pytest.raises(HeadOlder):
        took(beta, asked(alpha, own=before))


def test_log_that_is_begun_anew_is_cosigned_and_told(alpha: LogNode, beta: LogNode) -> None:
    beta.witness.cosign(asked(alpha))
    alpha.own.begin_anew()
    assert beta.witness.cosign(asked(alpha)).HasField("cosignature")
    assert beta.found == [(ALPHA, RESTARTED)]


def test_fork_is_not_cosigned_by_a_process_that_read_the_kept_head_before_another_advanced_it(
    alpha: LogNode, beta: LogNode
) -> None:
    """Compare and set: what was decided on has to be what is kept still."""

    class Slow(Witnessed):
        def of(self, node_id: str):
            held = super().of(node_id)
            if not raced:
                raced.append(True)
                assert beta.witness.cosign(asked(alpha)).HasField("cosignature")
            return held

    raced: list[bool] = []
    other = replace(beta.witness, witnessed=Slow(beta.witness.witnessed._database))
    fork = asked(alpha, own=alpha.another("one", "nothing", "three"))
    assert not other.cosign(fork).HasField("cosignature")
    assert beta.found == [(ALPHA, FORK)]


def test_desk_gives_the_head_with_its_witnesses_and_what_is_kept_of_others(alpha: LogNode, beta: LogNode) -> None:
    request = asked(alpha)
    line = beta.witness.cosign(request).cosignature
    alpha.own.keep_cosignature(alpha.own.sign_newest(), BETA, line, beta.own.key_statement())
    shown = LogDesk(alpha.own, alpha.witness).head(GetLogHeadRequest())
    assert shown.note == request.note + line
    assert list(shown.witness_key_statements) == [beta.own.key_statement()]
    assert LogDesk(beta.own, beta.witness).head(GetLogHeadRequest(node_id=ALPHA)).note == request.note
    assert not LogDesk(alpha.own, alpha.witness).head(GetLogHeadRequest(node_id=BETA)).HasField("note")


def test_desk_gives_tiles_and_proofs_of_what_the_tree_has(alpha: LogNode) -> None:
    desk = LogDesk(alpha.own, alpha.witness)
    assert desk.tile(GetLogTileRequest(level=0, index=0, width=3)).hashes == alpha.own.log.tile(0, 0, 3)
    assert list(desk.consistency(GetConsistencyRequest(old_size=2, new_size=3)).proof) == alpha.own.consistency(2, 3)
    with pytest.raises(NotStored):
        desk.tile(GetLogTileRequest(level=0, index=0, width=4))


@pytest.mark.parametrize(("level", "width"), [(8, 1), (0, 0), (0, 257)])
def test_field_invalid_of_a_tile_is_refused(alpha: LogNode, level: int, width: int) -> None:
    with pytest.raises(FieldInvalid):
        LogDesk(alpha.own, alpha.witness).tile(GetLogTileRequest(level=level, index=0, width=width))


@pytest.mark.parametrize(("old_size", "new_size"), [(3, 2), (1, 4)])
def test_field_invalid_of_sizes_is_refused(alpha: LogNode, old_size: int, new_size: int) -> None:
    with pytest.raises(FieldInvalid):
        LogDesk(alpha.own, alpha.witness).consistency(GetConsistencyRequest(old_size=old_size, new_size=new_size))


@pytest.mark.parametrize("others", [("one", "two", "four", "five"), ("one", "two")])
def test_no_head_is_signed_over_another_log_than_that_of_the_last_head(alpha: LogNode, others: tuple[str, ...]) -> None:
    """An administrator has put other entries, or fewer, in place of those that a head was signed over."""
    newest = alpha.own.sign_newest()
    changed = alpha.another(*others)
    changed.heads.put(newest)
    with pytest.raises(StoredRecordCorrupt):
        changed.sign_newest()
    assert changed.heads.newest() == newest
