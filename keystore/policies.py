"""What each key of the federation has to be, by its purpose: the label says the purpose (docs/adr/0014-key-policies.md), and the
generation of a key that was rotated ("sealing.2", docs/adr/0018-rotation.md).

Generation applies the policy, opening verifies it, `audit` names every object that breaks its policy or has no purpose.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from hsm import KeyKind, KeyPolicy, ObjectInfo, Provenance
from keystore.errors import GenerationUnknown
from keystore.generations import purpose_and_number

IDENTITY = "identity"
SEALING = "sealing"
INDEXING = "index"
ISSUING = "issuer"
TLS_CA = "tls-ca"
RECORDS = "records"
MEDICAL_AUTHORITY = "medical-authority"
EPOCH_PREFIX = "kem-"
MLKEM_PREFIX = "mlkem-"
REGISTRATION_PREFIX = "registration-secret-"

_SIGNS = KeyPolicy(
    "", KeyKind.P256, frozenset({"SIGN"}), public_usages=frozenset({"VERIFY"}), provenance=Provenance.LOCAL
)
_AGREES = KeyPolicy("", KeyKind.P256, frozenset({"DERIVE"}), provenance=Provenance.LOCAL)
_MACS = KeyPolicy("", KeyKind.HMAC_256, frozenset({"SIGN"}), provenance=Provenance.LOCAL)
_DECAPSULATES = KeyPolicy("", KeyKind.ML_KEM_768, frozenset({"DECAPSULATE"}), provenance=Provenance.LOCAL)


def _importable(policy: KeyPolicy) -> KeyPolicy:
    return replace(policy, provenance=Provenance.IMPORTABLE)


# S_X comes from the public cloud; its public half S_X B would be of use to a thief of s alone.
_REGISTRATION_SECRET = replace(_importable(_AGREES), has_public_half=False)
_BY_PREFIX = {EPOCH_PREFIX: _AGREES, MLKEM_PREFIX: _DECAPSULATES, REGISTRATION_PREFIX: _REGISTRATION_SECRET}


def _named(policies: Mapping[str, KeyPolicy]) -> dict[str, KeyPolicy]:
    return {purpose: replace(policy, purpose=purpose) for purpose, policy in policies.items()}


POLICIES = _named(
    {
        IDENTITY: _SIGNS,
        SEALING: _importable(_MACS),
        INDEXING: _importable(_MACS),
        ISSUING: _importable(_SIGNS),
        TLS_CA: _SIGNS,
        RECORDS: _importable(_MACS),
        MEDICAL_AUTHORITY: _SIGNS,
    }
    | _BY_PREFIX
)
"""Purpose -> policy, of a server. A purpose is a label, or what a label begins with if it ends in a hyphen. Importable is S_X,
which the public cloud makes, and what a ceremony restores after a token's death (ADR 17)."""
PERSON_POLICIES = POLICIES | _named({SEALING: _importable(_AGREES)})
"""A doctor's or a patient's: a card has P-256 and no secret keys."""
CLOUD_POLICIES = POLICIES | {label: _importable(POLICIES[label]) for label in (IDENTITY, TLS_CA)}
"""The public cloud's: its signing keys may come back from a backup, since everybody pins them. A person's never do (ADR 17)."""
ROTATABLE = frozenset(POLICIES) - frozenset(_BY_PREFIX)
"""The purposes whose keys have generations; what a prefix names is made anew and never rotated."""
_OF_SERVERS = frozenset({INDEXING, RECORDS, TLS_CA})


def policy_of(label: str, policies: Mapping[str, KeyPolicy] = POLICIES) -> KeyPolicy | None:
    """Return the policy of a key of this label, the same for every generation, or None if no purpose names it."""
    rotatable = rotatable_purpose(label)
    if rotatable is not None:
        return policies[rotatable]
    return next((policies[prefix] for prefix in _BY_PREFIX if label.startswith(prefix) and label != prefix), None)


def rotatable_purpose(label: str) -> str | None:
    """Return the purpose of which the label names a generation, or None."""
    try:
        purpose, _ = purpose_and_number(label)
    except GenerationUnknown:
        return None
    return purpose if purpose in ROTATABLE else None


@dataclass(frozen=True)
class Finding:
    """Something about one object that is not as it should be. `reason` is UPPER_SNAKE, `says` a sentence."""

    label: str
    object_class: str
    reason: str
    says: str


def audit(objects: Iterable[ObjectInfo]) -> list[Finding]:
    """Name every object that breaks its policy, that no purpose names, that is there twice or without its other half.

    Whose token it is, its keys of any generation say: an issuing key is the public cloud's, an index key a server's.
    """
    things = list(objects)
    policies = _policies_of({rotatable_purpose(thing.label) for thing in things})
    numbers = Counter((thing.label, thing.object_class) for thing in things)
    findings = [finding for thing in things for finding in _about(thing, policies)]
    for (label, object_class), number in numbers.items():
        if number > 1:
            says = f"there are {number} of this label: none of them is used"
            findings.append(Finding(label, object_class, "KEY_AMBIGUOUS", says))
        half = _OTHER_HALF.get(object_class)
        if half is not None and not numbers[label, half] and _needs_halves(label, policies):
            says = f"its {half.lower().replace('_', ' ')} is missing"
            findings.append(Finding(label, object_class, "HALF_MISSING", says))
    return sorted(findings, key=lambda finding: (finding.label, finding.object_class, finding.reason))


def _policies_of(purposes: Collection[str | None]) -> Mapping[str, KeyPolicy]:
    if ISSUING in purposes:
        return CLOUD_POLICIES
    return POLICIES if _OF_SERVERS.intersection(purposes) else PERSON_POLICIES


def _needs_halves(label: str, policies: Mapping[str, KeyPolicy]) -> bool:
    policy = policy_of(label, policies)
    return policy is None or policy.has_public_half


_OTHER_HALF = {"PRIVATE_KEY": "PUBLIC_KEY", "PUBLIC_KEY": "PRIVATE_KEY"}


def _about(thing: ObjectInfo, policies: Mapping[str, KeyPolicy]) -> list[Finding]:
    policy = policy_of(thing.label, policies)
    if policy is None:
        return [
            Finding(thing.label, thing.object_class, "PURPOSE_UNKNOWN", "no purpose of the federation has this label")
        ]
    wrong = thing.violations(policy)
    if not wrong:
        return []
    says = f"not as the policy {policy.purpose!r} wants it: {', '.join(wrong)}"
    return [Finding(thing.label, thing.object_class, "KEY_POLICY_VIOLATION", says)]
