"""What each kind of ceremony makes, as data: keys by purpose, public outputs, and which parts of a file apply to it.

And a key's attributes, as its token reports them and as its policy wants them: for the transcript, and checked from it offline.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from hsm import KeyPolicy, ObjectInfo
from keystore.backup import CLOUD, CLOUD_SIGNERS, HOSPITAL, RecoverableKey
from keystore.generations import purpose_and_number
from keystore.policies import (
    IDENTITY,
    INDEXING,
    ISSUING,
    MEDICAL_AUTHORITY,
    PERSON_POLICIES,
    POLICIES,
    RECORDS,
    SEALING,
    TLS_CA,
    rotatable_purpose,
)

CEREMONY: Final = "ceremony"
"""Label of the key with which a participant signs transcripts."""


@dataclass(frozen=True)
class KeySpec:
    """A key to make: its label in the token, what it may do, and what it is for."""

    label: str
    policy: KeyPolicy
    purpose: str


@dataclass(frozen=True)
class Kind:
    """A kind of ceremony. Outputs are named here, and made by the functions of these names in `outputs`.

    `card`: the token is a person's.
    """

    name: str
    purpose: str
    keys: tuple[KeySpec, ...] = ()
    outputs: tuple[str, ...] = ()
    certificate: tuple[str, ...] = ()
    issuer: bool = False
    revokes: bool = False
    chooses: Literal["rotate", "destroy"] | None = None
    backup: Literal["make", "restore", "twin"] | None = None
    quorum: bool = False
    card: bool = False


_PURPOSES: Final = {
    IDENTITY: "PRK_X: signs in this party's name",
    SEALING: "seals this party's own secrets",
    INDEXING: "makes the pseudonyms of the index",
    TLS_CA: "certifies TLS names",
    MEDICAL_AUTHORITY: "certifies doctors",
    ISSUING: "s: issues credentials, and signs nothing else",
    RECORDS: "makes the keys of medical records",
}


def policies_of(*, card: bool) -> Mapping[str, KeyPolicy]:
    """Return the policies of keys that are made in a token, which is a person's card or a server's."""
    return PERSON_POLICIES if card else POLICIES


def known_key(label: str, *, card: bool = False) -> KeySpec | None:
    """Return the key of a label, of any generation; None if no purpose names it."""
    purpose = rotatable_purpose(label)
    if purpose is None:
        return None
    number, says = purpose_and_number(label)[1], _PURPOSES[purpose]
    policy = policies_of(card=card)[purpose]
    return KeySpec(label, policy, says if number == 1 else f"generation {number}; {says}")


def _known(*labels: str, card: bool = False) -> tuple[KeySpec, ...]:
    return tuple(KeySpec(label, policies_of(card=card)[label], _PURPOSES[label]) for label in labels)


@dataclass(frozen=True)
class Handover:
    """What a successor needs so that others can rely on it: the names in its certificate, and the outputs.

    `card`: it is a person's.
    """

    certificate: tuple[str, ...]
    outputs: tuple[str, ...]
    card: bool = False


ROTATIONS: Final[Mapping[str, tuple[Handover, ...]]] = {
    IDENTITY: (Handover((), ("verifying_key",)), Handover(("doctor",), ("certificate_request",), card=True)),
    SEALING: (Handover((), ()), Handover(("doctor",), (), card=True)),
    INDEXING: (Handover((), ()),),
    RECORDS: (Handover((), ()),),
    ISSUING: (Handover((), ("issuer_public_key",)),),
    TLS_CA: (Handover(("realm",), ("tls_ca_certificate",)), Handover(("hospital",), ("identity_ca_request",))),
    MEDICAL_AUTHORITY: (Handover(("authority",), ("authority_certificate", "first_crl")),),
}
"""What comes out of a rotation, by purpose; where parties differ, the name under `[certificate]` says whose key it is."""
PARTIES: Final[Mapping[str, tuple[RecoverableKey, ...]]] = {
    "public-cloud": (*CLOUD, *CLOUD_SIGNERS),
    "hospital": HOSPITAL,
}
"""Whose keys a backup is of, and which come from the seed; a hospital's signing keys are made in its token."""
KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "public-cloud-root",
            "make the keys that the federation stands on: s, PRK_C, sealing, index, TLS CA",
            keys=_known(IDENTITY, SEALING, ISSUING, INDEXING, TLS_CA),
            outputs=("issuer_public_key", "verifying_key", "tls_ca_certificate"),
            certificate=("realm",),
            quorum=True,
        ),
        Kind(
            "medical-authority",
            "make the key that certifies doctors, its certificate and its first revocation list",
            keys=_known(MEDICAL_AUTHORITY),
            outputs=("authority_certificate", "first_crl"),
            certificate=("authority",),
            quorum=True,
        ),
        Kind(
            "federation-tls-ca",
            "make a TLS CA key of the federation and its certificate",
            keys=_known(TLS_CA),
            outputs=("tls_ca_certificate",),
            certificate=("realm",),
            quorum=True,
        ),
        Kind(
            "hospital-enrolment",
            "make a hospital's keys, and what the public cloud needs to enrol it",
            keys=_known(IDENTITY, SEALING, RECORDS, INDEXING, TLS_CA),
            outputs=("verifying_key", "identity_ca_request"),
            certificate=("hospital",),
            quorum=True,
        ),
        Kind(
            "doctor-card",
            "make a doctor's keys in a card and have the medical authority certify them",
            keys=_known(IDENTITY, SEALING, card=True),
            outputs=("certificate_request", "doctor_certificate"),
            certificate=("doctor",),
            issuer=True,
            card=True,
        ),
        Kind(
            "re-issue",
            "replace a lost card or phone: new keys, a new certificate, the old one revoked",
            keys=_known(IDENTITY, SEALING, card=True),
            outputs=("certificate_request", "doctor_certificate", "crl"),
            certificate=("doctor", "revoked_serial"),
            issuer=True,
            revokes=True,
            card=True,
        ),
        Kind(
            "rotation",
            "make the successor of a key beside it; what it signed before still verifies",
            chooses="rotate",
            quorum=True,
        ),
        Kind(
            "backup",
            "make the keys that must survive a dead token from a seed, and split the seed among the officers",
            outputs=("backup_card",),
            backup="make",
            quorum=True,
        ),
        Kind(
            "restore",
            "put the keys of a backup into a fresh token, from the officers' shares",
            backup="restore",
            quorum=True,
        ),
        Kind(
            "twin",
            "make the keys that must survive a dead token in several tokens at once, in no memory but theirs",
            backup="twin",
            quorum=True,
        ),
        Kind("destruction", "destroy keys whose time has ended", chooses="destroy", quorum=True),
    )
}


def reported(info: ObjectInfo) -> dict[str, object]:
    """Return what the token says of a key. None stands for an attribute that the token does not have."""
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
    """Return what a key that was made in the token under this policy has to say, or one that was imported under it."""
    return {
        "class": policy.kind.object_class.name,
        "type": policy.kind.key_type.name,
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
