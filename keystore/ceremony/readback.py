"""Keys as their token tells of them when they are there: shown, and put into the transcript, as is that they are gone."""

from hsm import ObjectInfo, Token
from hsm.errors import KeyNotFound
from keystore.backup import RecoverableKey
from keystore.ceremony.console import Room
from keystore.ceremony.errors import KeyAttributesWrong
from keystore.ceremony.kinds import KeySpec, differences, known_key, reported
from keystore.keyring import public_half


def record_key(spec: KeySpec, token: Token, room: Room, *, imported: bool = False, check: str | None = None) -> None:
    """Read a key back, show it and put it into the transcript. Raises KeyAttributesWrong, KeyNotFound."""
    attributes = reported(_secret_half(token, spec))
    wrong = differences(attributes, spec.policy, imported=imported)
    if wrong:
        raise KeyAttributesWrong(f"the key {spec.label!r} breaks its policy in {', '.join(wrong)}")
    public = public_half(token, spec.label, spec.policy).hex() or None
    facts = {"label": spec.label, "policy": spec.policy.purpose, "attributes": attributes, "public_key": public}
    whose = {"serial": token.serial, "card": room.plan.kind.card, "imported": imported, "check": check}
    room.transcript.add("key", room.plan.roles.administrator, **facts, **whose)
    room.desk.say(f"{spec.label}: {spec.purpose}")
    for name, value in attributes.items():
        room.desk.say(f"    {name}: {value}")
    if public:
        room.desk.say(f"    public key: {public}")


def record_destroyed(label: str, token: Token, room: Room, why: str) -> None:
    """Put into the transcript that a token no longer holds what had this label."""
    facts = {"label": label, "serial": token.serial, "why": why}
    room.transcript.add("destroyed", room.plan.roles.administrator, **facts)


def _secret_half(token: Token, spec: KeySpec) -> ObjectInfo:
    kind = spec.policy.kind.object_class.name
    found = [info for info in token.objects() if (info.label, info.object_class) == (spec.label, kind)]
    if len(found) != 1:
        raise KeyNotFound(f"The token holds {len(found)} secret halves of the key {spec.label!r}.")
    return found[0]


def spec_of(key: RecoverableKey) -> KeySpec:
    """Return a recoverable key as ceremonies speak of it."""
    spec = known_key(key.label)
    return KeySpec(key.label, key.policy, spec.purpose if spec else "")
