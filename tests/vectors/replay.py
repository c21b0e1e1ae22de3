"""Replays refusals: what a receiver says to a bent message."""

from federation.errors import Authorization, FederationError
from federation.protocol import outcomes
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
        return reason_of(error), _told(step, error)
    return "success", "success"


def _told(step: Step, error: FederationError) -> str:
    """What C tells of a question that holds is an outcome; everything else tells its reason."""
    if step.label == "d2" and isinstance(error, Authorization):
        told = outcomes.of_search(outcomes.search_outcome(error)).error
        return (told or Authorization).reason
    return error.reason


def _encoded(step: Step) -> bytearray:
    return bytearray(step.message.SerializeToString(deterministic=True))
