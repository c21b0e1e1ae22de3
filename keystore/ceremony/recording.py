"""A key on record: what the token says of it, held against its policy before anything else happens."""

from hsm import ObjectInfo, Token
from hsm.errors import KeyNotFound
from hsm.policy import KeyKind
from keystore.ceremony.attributes import differences, reported
from keystore.ceremony.errors import KeyAttributesWrong
from keystore.ceremony.kinds import KeySpec
from keystore.ceremony.room import Room


def record_key(spec: KeySpec, room: Room, *, imported: bool = False) -> None:
    """Read a key back, show it and put it into the transcript. Raises KeyAttributesWrong, KeyNotFound."""
    attributes = reported(_secret_half(room.token, spec))
    wrong = differences(attributes, spec.policy, imported=imported)
    if wrong:
        raise KeyAttributesWrong(f"the key {spec.label!r} breaks its policy in {', '.join(wrong)}")
    public = _public_key(room.token, spec)
    facts = {"label": spec.label, "policy": spec.policy.purpose, "attributes": attributes, "public_key": public}
    room.transcript.add("key", room.plan.roles.administrator, imported=imported, **facts)
    room.desk.say(f"{spec.label}: {spec.purpose}")
    for name, value in attributes.items():
        room.desk.say(f"    {name}: {value}")
    if public:
        room.desk.say(f"    public key: {public}")


def _public_key(token: Token, spec: KeySpec) -> str | None:
    if spec.policy.kind is not KeyKind.ED25519:
        return None
    return token.ed25519(spec.label, spec.policy).public_key().public_bytes_raw().hex()


def _secret_half(token: Token, spec: KeySpec) -> ObjectInfo:
    kind = spec.policy.kind.object_class.name
    found = [info for info in token.objects() if (info.label, info.object_class) == (spec.label, kind)]
    if len(found) != 1:
        raise KeyNotFound(f"The token holds {len(found)} secret halves of the key {spec.label!r}.")
    return found[0]
