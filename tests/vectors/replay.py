"""Replays refusals: what a receiver says to a bent message."""

from federation.errors import FederationError
from federation.protocol.parties import reason_of
from tests.vectors.draws import Json
from tests.vectors.world import Step


def outcome(step: Step, vector: Json) -> tuple[str, str]:
    """Give (precise reason, what the peer is told) of a refusal, or ("success", "success")."""
    encoded = bytearray.fromhex(vector["message"]) if "message" in vector else _encoded(step)
    if "flip_bit" in vector:
        encoded[vector["flip_bit"] // 8] ^= 1 << vector["flip_bit"] % 8
    message = type(step.message).FromString(bytes(encoded))
    for name, value in vector.get("set", {}).items():
        setattr(message, name, bytes.fromhex(value) if isinstance(value, str) else value)
    try:
        step.receive(message, now=vector["now"], admitted=not vector.get("replayed", False))
    except FederationError as error:
        return reason_of(error), error.reason
    return "success", "success"


def _encoded(step: Step) -> bytearray:
    return bytearray(step.message.SerializeToString(deterministic=True))
