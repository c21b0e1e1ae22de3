"""Any flipped bit of any message of any phase is refused, with a reason of the protocol's own."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from federation.errors import FederationError
from federation.protocol.anchors import read_excerpt
from federation.protocol.consultation import check_duty, check_room
from federation.protocol.statements import open_statement
from federation.v1 import directory_pb2, membership_pb2, publication_pb2, record_pb2, statement_pb2
from federation.v1.consultation_pb2 import GetRoomResponse
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.statement_pb2 import SignedStatement
from keystore.signatures import VerifyingKey
from tests.properties.exchange import NAMES, Steps, require_refused, spoiled
from tests.simulator import Federation
from tests.vectors.generate import read

POSITIONS = st.integers(0, 2**24)
STATEMENTS = {vector["name"]: vector for vector in read()["statements"]["vectors"]}
KINDS = {
    message.DESCRIPTOR.full_name: message
    for module in (statement_pb2, record_pb2, publication_pb2, membership_pb2, directory_pb2)
    for message in vars(module).values()
    if isinstance(message, type)
}
MLKEM_CIPHERTEXT_BYTES = 1088
NO_POINTS = (bytes(65), b"\x04" + bytes(64), b"\x02" + bytes(64), b"\x04" + (1).to_bytes(32, "big") * 2)


def flipped(data: bytes, position: int) -> bytes:
    """Turn one bit around; positions beyond the end count from the start again."""
    bit = position % (len(data) * 8)
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES)
def test_message_with_a_flipped_bit_is_refused(steps: Steps, federation: Federation, name: str) -> None:
    step = steps[name]
    encoded = step.message.SerializeToString(deterministic=True)

    @settings(max_examples=200, deadline=None)
    @given(POSITIONS)
    def holds(position: int) -> None:
        require_refused(step, flipped(encoded, position), federation.clock.now)

    for position in range(min(len(encoded), 40) * 8):  # tags, lengths, ids and times: all of them
        require_refused(step, flipped(encoded, position), federation.clock.now)
    holds()


@pytest.mark.parametrize("name", NAMES)
def test_message_cut_short_is_refused(steps: Steps, federation: Federation, name: str) -> None:
    step = steps[name]
    encoded = step.message.SerializeToString(deterministic=True)

    @settings(max_examples=10, deadline=None)
    @given(POSITIONS)
    def holds(position: int) -> None:
        require_refused(step, encoded[: position % len(encoded)], federation.clock.now)

    holds()


@pytest.mark.parametrize(
    "name",
    [name for name in NAMES if not name.startswith(("P", "H2", "STO", "D4", "D5", "room", "duty")) or name == "P1"],
)
def test_seal_with_a_share_that_is_no_point_is_refused(steps: Steps, federation: Federation, name: str) -> None:
    step = steps[name]
    assert isinstance(step.message, SealedOpening | SealedReply)
    sealed = step.message.sealed
    for share in NO_POINTS:
        changed = sealed[:MLKEM_CIPHERTEXT_BYTES] + share + sealed[MLKEM_CIPHERTEXT_BYTES + 65 :]
        message = spoiled(step, sealed=changed).message
        with pytest.raises(FederationError) as refused:
            step.receive(message, now=federation.clock.now)
        assert refused.value.reason == "REJECTED"


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_with_a_flipped_bit_is_refused(name: str) -> None:
    vector = STATEMENTS[name]
    kind, key = (
        KINDS[vector["message_type"]],
        VerifyingKey(bytes.fromhex(vector["verifying_key"])),
    )
    statement, signature = bytes.fromhex(vector["statement"]), bytes.fromhex(vector["signature"])
    open_statement(vector["label"], kind, SignedStatement(statement=statement, signature=signature), key)

    @settings(max_examples=60, deadline=None)
    @given(POSITIONS)
    @example(511)
    def holds(position: int) -> None:
        changed = flipped(signature + statement, position)
        signed = SignedStatement(statement=changed[64:], signature=changed[:64])
        with pytest.raises(FederationError):
            open_statement(vector["label"], kind, signed, key)

    holds()


def test_what_the_relay_serves_with_a_flipped_bit_is_refused(federation: Federation) -> None:
    room, code = federation.room()
    now, verifier = federation.clock.now, federation.patient.verifier()
    encoded = room.SerializeToString(deterministic=True)

    def taken(served: GetRoomResponse) -> None:
        doctor = check_room(served, code, verifier, now=now)
        check_duty(served, doctor, "H:alpha", verifier, now=now)
        lists = read_excerpt(verifier.anchors, served.revocations, (served.certificate_revocation_list,))
        check_room(served, code, type(verifier)(verifier.anchors, lists), now=now)

    taken(room)

    @settings(max_examples=150, deadline=None)
    @given(POSITIONS)
    def holds(position: int) -> None:
        try:
            served = GetRoomResponse.FromString(flipped(encoded, position))
        except DecodeError:
            return
        with pytest.raises(FederationError):
            taken(served)

    holds()
