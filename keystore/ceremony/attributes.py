"""A key's attributes as the token reports them, and as its policy wants them: for the transcript, and checked from it offline."""

from collections.abc import Mapping
from typing import Final

from hsm import KeyPolicy, ObjectInfo
from hsm.policy import KeyKind

_TEXTS: Final = {KeyKind.ED25519: "EC_EDWARDS", KeyKind.AES_256: "AES", KeyKind.HMAC_256: "GENERIC_SECRET"}


def reported(info: ObjectInfo) -> dict[str, object]:
    """Give what the token says of a key. None stands for an attribute that the token does not have."""
    return {
        "class": info.object_class,
        "type": info.key_type,
        "token": info.stored,
        "private": info.private,
        "sensitive": info.sensitive,
        "extractable": info.extractable,
        "modifiable": info.modifiable,
        "local": info.local,
        "always_sensitive": info.always_sensitive,
        "never_extractable": info.never_extractable,
        "usages": sorted(info.usages),
    }


def wanted(policy: KeyPolicy, *, imported: bool = False) -> dict[str, object]:
    """Give what a key that was made in the token under this policy has to say, or one that was imported under it."""
    return {
        "class": policy.kind.object_class.name,
        "type": _TEXTS[policy.kind],
        "token": True,
        "private": policy.private,
        "sensitive": policy.sensitive,
        "extractable": policy.extractable,
        "modifiable": policy.modifiable,
        "local": not imported,
        "always_sensitive": policy.sensitive and not imported,
        "never_extractable": not policy.extractable and not imported,
        "usages": sorted(policy.usages),
    }


def differences(attributes: Mapping[str, object], policy: KeyPolicy, *, imported: bool = False) -> list[str]:
    """Name what differs from the policy; an attribute that is left out differs."""
    return [name for name, value in wanted(policy, imported=imported).items() if attributes.get(name) != value]
