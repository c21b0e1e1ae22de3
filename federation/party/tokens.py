"""What an operator asks about tokens: which there are, whether one will do for a role, what keys it holds."""

from dataclasses import dataclass, replace
from pathlib import Path

from federation.party.node_directory import NodeDirectory, open_node_token
from federation.settings import CloudSettings, HospitalSettings, MemberSettings, TokenSettings
from hsm import Ability, ObjectInfo, PinProvider, Trial, Way
from hsm.errors import HsmError
from hsm.survey import FoundToken, tokens_of
from keystore.policies import Finding, audit, policy_of

_AUTHORITY = frozenset({Ability.RANDOM, Ability.ECDSA_P256})
_MEMBER = _AUTHORITY | {Ability.ECDH_P256, Ability.IMPORT_P256}
NEEDED = {
    "public-cloud": _MEMBER - {Ability.IMPORT_P256} | {Ability.HMAC_SHA256, Ability.NONCES},
    "hospital": _MEMBER | {Ability.HMAC_SHA256},
    "doctor": _MEMBER,
    "patient": _MEMBER,
    "authority": _AUTHORITY,
}
"""Role -> what its token has to be able to do: the keys of `keystore.party` and how they come into the token."""

OPTIONAL = {
    role: frozenset({Ability.ML_KEM_768} if Ability.ECDH_P256 in needed else ()) for role, needed in NEEDED.items()
}
"""Role -> what it takes of a token beside: what it does in software, under a key of the token, where the token can't."""

CONSEQUENCES = {
    Ability.RANDOM: "no key can be made",
    Ability.ECDSA_P256: "no signing key (identity, issuing key, certificate authority) can live in it",
    Ability.ECDH_P256: "no session key can be agreed on by it, and a person can keep nothing sealed under it",
    Ability.IMPORT_P256: "the registration secret, which the public cloud makes, gets in by its maker's own tool alone",
    Ability.HMAC_SHA256: "no blind index, and a server can keep nothing sealed under it",
    Ability.NONCES: "it may not issue: with the issuing key, a thief would make the secrets of all whom it registered",
    Ability.ML_KEM_768: "the ML-KEM half of an epoch is kept as a seed, sealed, outside the token",
}
"""What it means for the party if its token lacks an ability that its role takes of it."""


@dataclass(frozen=True)
class SurveyedModule:
    """A module and its tokens, or why it can't be used."""

    path: Path
    tokens: tuple[FoundToken, ...] = ()
    fault: str = ""


@dataclass(frozen=True)
class AuditedKey:
    """An object of a token, the purpose that its label says, and what is wrong with it."""

    info: ObjectInfo
    purpose: str | None
    findings: tuple[Finding, ...]


def survey(paths: list[Path]) -> list[SurveyedModule]:
    """Look through modules; one that can't be used is said so and does not hide the others."""
    return [_surveyed(path) for path in paths]


def _surveyed(path: Path) -> SurveyedModule:
    try:
        return SurveyedModule(path, tuple(tokens_of(path)))
    except HsmError as error:
        return SurveyedModule(path, fault=f"{error} [{error.reason}]")


def token_settings_of(directory: NodeDirectory) -> TokenSettings:
    """Return `[token]` of a node of any kind. Raises ConfigError."""
    if directory.letter == "C":
        return directory.settings(CloudSettings).token
    if directory.letter == "H":
        return directory.settings(HospitalSettings).token
    return directory.settings(MemberSettings).token


def try_token(settings: TokenSettings, pin: PinProvider) -> list[Trial]:
    """Try what a token can do, the first if there are several; nothing of it stays on the token. Raises HsmError."""
    with open_node_token(replace(settings, others=()), pin) as token:
        return token.trials()


def how(trial: Trial) -> str:
    """Say how a token does what it was tried for, where there is more than one way; else nothing."""
    if trial.ability is Ability.ECDH_P256 and trial.detail:
        return f"in the way {trial.detail}: {Way[trial.detail].value} leaves the token"
    if trial.ability is Ability.IMPORT_P256 and trial.detail:
        return f"a registration secret gets in by {trial.detail}"
    return ""


def missing_for(role: str, trials: list[Trial]) -> list[Trial]:
    """Return the trials that failed and that the role needs."""
    return [trial for trial in trials if trial.ability in NEEDED[role] and not trial.works]


def audit_token(settings: TokenSettings, pin: PinProvider) -> list[AuditedKey]:
    """Hold every object of a token, the first if there are several, against the policy of its purpose. Raises HsmError."""
    with open_node_token(replace(settings, others=()), pin) as token:
        objects = token.objects()
    findings = audit(objects)
    ordered = sorted(objects, key=lambda info: (info.label, info.object_class))
    return [AuditedKey(info, _purpose(info), tuple(_about(info, findings))) for info in ordered]


def _purpose(info: ObjectInfo) -> str | None:
    policy = policy_of(info.label)
    return None if policy is None else policy.purpose


def _about(info: ObjectInfo, findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if (finding.label, finding.object_class) == (info.label, info.object_class)]
