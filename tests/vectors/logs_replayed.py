"""The vectors of the log, each replayed through the product."""

from federation.errors import FederationError, HeadBaseMismatch
from federation.protocol.access import AccessEvent
from federation.protocol.log_head import Origin, open_head, require_cosigned
from federation.protocol.log_leaf import access_leaf, event_leaf, require_leaf
from federation.protocol.merkle import TreeHead, require_consistent, require_included
from federation.protocol.witness import ShownHead, WitnessState, next_state
from federation.protocol.witness_policy import WitnessPolicy, require_believed
from keystore.identities import PatientId
from keystore.signatures import VerifyingKey
from tests.vectors.draws import Json


def outcome(vector: Json) -> str:
    """Replay a vector through the product: "success", or the reason of its refusal."""
    try:
        _REPLAYS[vector["kind"]](vector)
    except HeadBaseMismatch as error:
        return error.reason if error.kept_size == vector["kept_size"] else f"another size: {error.kept_size}"
    except FederationError as error:
        return error.reason
    return "success"


def _bytes(vector: Json, name: str) -> bytes:
    return bytes.fromhex(vector[name])


def _many(vector: Json, name: str) -> list[bytes]:
    return [bytes.fromhex(it) for it in vector[name]]


def _replay_origin(vector: Json) -> None:
    origin = Origin.of(vector["realm"], vector["author_id"], vector["number"])
    assert str(origin) == vector["origin"]
    assert Origin.read(vector["origin"]) == origin


def _replay_access_leaf(vector: Json) -> None:
    event = AccessEvent(
        kind=vector["access_kind"],
        asker_id=vector["asker_id"],
        patient_id=PatientId(vector["patient_id"]),
        scope=vector["department_class"],
        authorization=_bytes(vector, "authorization"),
        ground=vector["ground"],
        reason=vector["reason"],
        grant_digest=_bytes(vector, "grant_digest"),
    )
    _require_data(vector, access_leaf(event, vector["where"], vector["at"], _bytes(vector, "blind")))


def _replay_event_leaf(vector: Json) -> None:
    data = event_leaf(_bytes(vector, "event"), vector["where"], vector["at"], _bytes(vector, "blind"))
    _require_data(vector, data)


def _require_data(vector: Json, data: bytes) -> None:
    assert data.hex() == vector.get("data", data.hex())
    require_leaf(data, _bytes(vector, "leaf"))


def _replay_inclusion(vector: Json) -> None:
    shown = _many(vector, "proof")
    require_included(_bytes(vector, "leaf"), vector["index"], vector["size"], shown, _bytes(vector, "root"))


def _replay_consistency(vector: Json) -> None:
    old, new = (TreeHead(vector[f"{it}_size"], _bytes(vector, f"{it}_root")) for it in ("old", "new"))
    require_consistent(old, new, _many(vector, "proof"))


def _replay_head(vector: Json) -> None:
    head = open_head(_bytes(vector, "note"), vector["origin"], VerifyingKey(_bytes(vector, "verifying_key")))
    assert (str(head.size), head.root.hex()) == (vector["size"], vector["root"])


def _replay_believed(vector: Json) -> None:
    keys = [(it["id"], VerifyingKey(_bytes(it, "verifying_key"))) for it in vector["witnesses"]]
    stated = vector["policy"]
    hospitals = None if stated["hospitals"] == ["*"] else frozenset(stated["hospitals"])
    policy = WitnessPolicy(0, stated["cosignatures"], hospitals, vector["cloud_id"] if stated["public_cloud"] else None)
    found = require_believed(_bytes(vector, "note"), _many(vector, "lines"), keys, policy)
    assert list(found) == vector["counted"]


def _replay_cosigned(vector: Json) -> None:
    keys = [(it["id"], VerifyingKey(_bytes(it, "verifying_key"))) for it in vector["witnesses"]]
    found = require_cosigned(_bytes(vector, "note"), _many(vector, "lines"), keys, vector["quorum"])
    assert [{"id": it.witness_id, "at": it.at} for it in found] == vector["cosigned_by"]


def _replay_witness(vector: Json) -> None:
    origin, key = vector["origin"], VerifyingKey(_bytes(vector, "verifying_key"))
    kept, note = _bytes(vector, "kept"), _bytes(vector, "note")
    before = WitnessState(open_head(kept, origin, key), kept) if kept else None
    shown = ShownHead(note, vector["old_size"], _many(vector, "proof"))
    after = next_state(before, shown, origin=origin, key=key, witness_id=vector["witness_id"])
    assert after == WitnessState(open_head(note, origin, key), note)


_REPLAYS = {
    "origin": _replay_origin,
    "access leaf": _replay_access_leaf,
    "event leaf": _replay_event_leaf,
    "inclusion": _replay_inclusion,
    "consistency": _replay_consistency,
    "head": _replay_head,
    "cosigned": _replay_cosigned,
    "believed": _replay_believed,
    "witness": _replay_witness,
}
