"""The policy of each purpose: what generation gives keeps it, what breaks it is refused at opening and named by the audit."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from hsm import KeyPolicy, ObjectInfo, Provenance, Token
from hsm.errors import KeyPolicyViolation
from keystore.keyring import generate, public_half
from keystore.party import CloudKeys, HospitalKeys, PartyKeys
from keystore.policies import (
    CLOUD_POLICIES,
    EPOCH_PREFIX,
    IDENTITY,
    INDEXING,
    ISSUING,
    MEDICAL_AUTHORITY,
    MLKEM_PREFIX,
    PERSON_POLICIES,
    POLICIES,
    RECORDS,
    REGISTRATION_PREFIX,
    ROTATABLE,
    SEALING,
    TLS_CA,
    audit,
    policy_of,
)

LABELS = [purpose + "01" if purpose.endswith("-") else purpose for purpose in POLICIES]
# SoftHSM keeps no ML-KEM keys: tests/contract/test_token_mlkem.py has theirs.
MADE_HERE = [label for label in LABELS if not label.startswith(MLKEM_PREFIX)]


def make(token: Token, label: str, policy: KeyPolicy) -> None:
    generate(token, label, policy)


def reasons(objects: list[ObjectInfo]) -> set[str]:
    return {finding.reason for finding in audit(objects)}


def reasons_beside_the_index(token: Token, label: str) -> set[str]:
    """What is found in a server's token: an index key says that it is one."""
    if label != INDEXING:
        make(token, INDEXING, POLICIES[INDEXING])
    return reasons(token.objects())


def test_a_person_seals_by_a_key_of_the_curve_and_a_server_by_hmac(token: Token) -> None:
    make(token, SEALING, PERSON_POLICIES[SEALING])
    assert reasons(token.objects()) == set()
    assert reasons_beside_the_index(token, SEALING) == {"KEY_POLICY_VIOLATION"}


@pytest.mark.parametrize("purpose", POLICIES)
def test_every_secret_is_private_sensitive_fixed_and_does_one_thing(purpose: str) -> None:
    policy = POLICIES[purpose]
    assert policy.purpose == purpose
    assert (policy.private, policy.sensitive, policy.extractable) == (True, True, False)
    assert (policy.modifiable, policy.copyable) == (False, False)
    assert policy.usages in ({"SIGN"}, {"DERIVE"}, {"DECAPSULATE"})


def importable(policies: Mapping[str, KeyPolicy]) -> set[str]:
    return {purpose for purpose, policy in policies.items() if policy.provenance is Provenance.IMPORTABLE}


def test_only_s_x_and_what_a_ceremony_restores_may_come_from_elsewhere() -> None:
    assert importable(POLICIES) == {REGISTRATION_PREFIX, ISSUING, RECORDS, SEALING, INDEXING}
    assert importable(CLOUD_POLICIES) - importable(POLICIES) == {IDENTITY, TLS_CA}


@pytest.mark.parametrize("label", LABELS)
def test_label_says_its_purpose(label: str) -> None:
    policy = policy_of(label)
    assert policy is not None
    assert label.startswith(policy.purpose)


@pytest.mark.parametrize("purpose", sorted(ROTATABLE))
def test_every_generation_of_a_purpose_has_its_policy(purpose: str) -> None:
    assert policy_of(f"{purpose}.2") == policy_of(f"{purpose}.10") == POLICIES[purpose]
    assert policy_of(f"{purpose}.2", CLOUD_POLICIES) == CLOUD_POLICIES[purpose]
    assert [policy_of(f"{purpose}{end}") for end in (".1", ".0", ".02", ".", ".2.2", "-2")] == [None] * 6


def test_the_purposes_that_rotate_are_those_of_adr_18() -> None:
    assert {IDENTITY, SEALING, INDEXING, ISSUING, TLS_CA, RECORDS, MEDICAL_AUTHORITY} == ROTATABLE


@pytest.mark.parametrize(
    "label", ["", "identity2", "Identity", "kem", EPOCH_PREFIX, MLKEM_PREFIX, REGISTRATION_PREFIX, "other", "other.2"]
)
def test_label_of_no_purpose_has_no_policy(label: str) -> None:
    assert policy_of(label) is None


@pytest.mark.parametrize("label", MADE_HERE)
def test_generated_key_keeps_its_policy(token: Token, label: str) -> None:
    policy = POLICIES[next(purpose for purpose in POLICIES if label.startswith(purpose))]
    if label.startswith(REGISTRATION_PREFIX):
        token.import_key(label, policy, bytearray(range(32)))
    else:
        make(token, label, policy)
    public_half(token, label, policy)
    assert reasons_beside_the_index(token, label) == set()


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"extractable": True}, "EXTRACTABLE"),
        ({"modifiable": True}, "MODIFIABLE"),
        ({"copyable": True}, "COPYABLE"),
        ({"usages": frozenset({"SIGN", "DERIVE"})}, "DERIVE"),
    ],
)
def test_key_that_could_do_more_is_refused_at_opening_and_named(
    token: Token, change: dict[str, object], attribute: str
) -> None:
    loose = replace(POLICIES[IDENTITY], provenance=Provenance.IMPORTABLE, **change)
    make(token, IDENTITY, loose)
    make(token, SEALING, PERSON_POLICIES[SEALING])
    with pytest.raises(KeyPolicyViolation, match=attribute):
        PartyKeys(token)
    (finding,) = audit(token.objects())
    assert (finding.label, finding.reason) == (IDENTITY, "KEY_POLICY_VIOLATION")
    assert attribute in finding.says


def test_imported_key_is_refused_where_the_token_has_to_have_made_it(token: Token) -> None:
    token.import_key(IDENTITY, replace(POLICIES[IDENTITY], provenance=Provenance.IMPORTABLE), bytearray(range(32)))
    make(token, SEALING, PERSON_POLICIES[SEALING])
    with pytest.raises(KeyPolicyViolation, match="LOCAL"):
        PartyKeys(token)
    assert reasons(token.objects()) == {"KEY_POLICY_VIOLATION"}


def test_restored_signing_key_is_a_finding_but_for_the_public_cloud(token: Token) -> None:
    token.import_key(IDENTITY, CLOUD_POLICIES[IDENTITY], bytearray(range(32)))
    assert reasons(token.objects()) == {"KEY_POLICY_VIOLATION"}
    make(token, ISSUING, POLICIES[ISSUING])
    assert audit(token.objects()) == []


def test_cloud_is_known_by_its_issuing_key_of_any_generation(token: Token) -> None:
    token.import_key(f"{IDENTITY}.2", CLOUD_POLICIES[IDENTITY], bytearray(range(32)))
    assert reasons(token.objects()) == {"KEY_POLICY_VIOLATION"}
    make(token, f"{ISSUING}.3", POLICIES[ISSUING])
    assert audit(token.objects()) == []


def test_imported_key_is_taken_where_a_ceremony_may_restore_it(token: Token) -> None:
    token.import_key(ISSUING, POLICIES[ISSUING], bytearray(range(32)))
    token.signing(ISSUING, POLICIES[ISSUING])
    assert audit(token.objects()) == []


def test_public_half_that_could_do_more_is_named(token: Token) -> None:
    loose = replace(POLICIES[IDENTITY], public_usages=frozenset({"VERIFY", "ENCRYPT"}))
    make(token, IDENTITY, loose)
    (finding,) = audit(token.objects())
    assert (finding.object_class, finding.reason) == ("PUBLIC_KEY", "KEY_POLICY_VIOLATION")
    assert "ENCRYPT" in finding.says


def test_object_of_no_purpose_is_named(token: Token) -> None:
    token.generate_mac("left-over")
    (finding,) = audit(token.objects())
    assert (finding.label, finding.reason) == ("left-over", "PURPOSE_UNKNOWN")


def test_key_of_another_kind_than_its_purpose_is_named(token: Token) -> None:
    token.generate_mac(MEDICAL_AUTHORITY)
    assert reasons(token.objects()) == {"KEY_POLICY_VIOLATION"}


def test_private_key_without_its_public_half_is_named(token: Token) -> None:
    make(token, IDENTITY, POLICIES[IDENTITY])
    private = [info for info in token.objects() if info.is_secret]
    assert reasons(private) == {"HALF_MISSING"}


def test_two_objects_of_one_label_are_named(token: Token) -> None:
    make(token, RECORDS, POLICIES[RECORDS])
    assert reasons(token.objects() * 2) == {"KEY_AMBIGUOUS"}


@pytest.mark.parametrize("kind", [PartyKeys, HospitalKeys, CloudKeys])
def test_keys_of_every_party_pass_the_audit(make_token: Callable[..., Token], kind: type[PartyKeys]) -> None:
    token = make_token()
    kind.create(token).new_epoch()
    assert audit(token.objects()) == []
