"""The trust bundles of the vectors: a chain over a rotation of s and PRK_C, and successors that nobody may follow."""

from collections.abc import Callable
from typing import Any

from federation.errors import FederationError
from federation.protocol.bundle import TrustedBundle, follow, follow_all, pin
from federation.v1.directory_pb2 import KeyPeriod, MedicalAuthority, TrustBundle, WitnessPolicy
from tests.policies import stated
from tests.vectors import spec
from tests.vectors.draws import Json, Stream
from tests.vectors.software import NOW, ROTATED_AT, Cast, signed

CLASSES = ("cardiology", "neurology")
HOUR_MS = 3_600_000
PREPARED_AT = NOW - HOUR_MS
Change = Callable[[TrustBundle], None]


def chain(cloud: Json, authorities: list[Json]) -> list[Json]:
    """Give the founding, the preparation of both successors, their activation: each signed as its predecessor allows."""
    retired, active = (spec.public_key(bytes.fromhex(cloud[name])) for name in ("retired_signing_key", "signing_key"))
    old, new = (spec.public_key(bytes.fromhex(cloud[name])) for name in ("retired_issuing_key", "issuing_key"))
    first = TrustBundle(
        realm="vectors",
        cloud_id=cloud["identity"],
        cloud_address="localhost:4001",
        cloud_peer_address="localhost:4002",
        issuers=[KeyPeriod(verifying_key=old, not_before=0)],
        cloud_keys=[KeyPeriod(verifying_key=retired, not_before=0)],
        tls_ca_certificates=[b"unused here"],
        medical_authorities=[
            MedicalAuthority(
                authority_id=authority["identity"],
                certificate=bytes.fromhex(authority["certificate"]),
                doctor_ids=authority["doctor_ids"],
            )
            for authority in authorities
        ],
        department_classes=CLASSES,
        sequence=1,
        issued_at=NOW - 2 * HOUR_MS,
        offline_grace_seconds=7 * 24 * 3600,
        witness_policies=[stated()],
    )
    second = _after(first, PREPARED_AT)
    second.issuers.add(verifying_key=new)
    second.cloud_keys.add(verifying_key=active)
    second.witness_policies.append(stated(2, ["H:general", "H:north"], not_before=first.issued_at + 1))
    second.medical_authorities[0].crl_url = "https://lists.example/chamber-1a2b3c4d.crl"
    third = _after(second, ROTATED_AT)
    third.witness_policies.append(stated(not_before=PREPARED_AT))
    for periods in (third.issuers, third.cloud_keys):
        periods[0].not_after = periods[1].not_before = ROTATED_AT
    keys = ("retired_signing_key", "retired_signing_key", "signing_key")
    return [_signed(bundle, cloud[key]) for bundle, key in zip((first, second, third), keys, strict=True)]


def vectors(cast: Cast) -> list[Json]:
    """Give the chain, and what may not follow its second or third bundle, with the reason."""
    found = [
        {"name": name, "expect": "success", "follows": index, **bundle}
        for index, (name, bundle) in enumerate(
            zip(("founding", "prepared", "activated"), cast.data["trust_bundles"], strict=True)
        )
    ]
    refused = [_refused(cast, *case) for case in (*_cases(cast), *_policies(cast))]
    high = _refused(
        cast, "signed with the high s", 3, cast.data["cloud"]["signing_key"], _nothing, "BUNDLE_SIGNER_UNKNOWN"
    )
    high["signature"] = spec.other_half(bytes.fromhex(high["signature"])).hex()
    return [*found, *refused, high]


def _nothing(_: TrustBundle) -> None:
    pass


def _cases(cast: Cast) -> list[tuple[str, int, str, Change, str]]:
    cloud = cast.data["cloud"]
    retired, active = cloud["retired_signing_key"], cloud["signing_key"]
    stranger = Stream("stranger").private_key().hex()

    def tell(name: str, value: object) -> Change:
        return lambda bundle: setattr(bundle, name, value)

    def undo(bundle: TrustBundle) -> None:
        bundle.cloud_keys[0].ClearField("revoked_at")
        bundle.cloud_keys[0].not_after = bundle.cloud_keys[1].not_before = ROTATED_AT + 1

    def forget(bundle: TrustBundle) -> None:
        del bundle.issuers[0]

    def overlap(bundle: TrustBundle) -> None:
        bundle.issuers[0].ClearField("not_after")

    def over_no_point(bundle: TrustBundle) -> None:
        bundle.issuers[1].verifying_key = b"\x02" + spec.octets(1)

    def revoke_unended(bundle: TrustBundle) -> None:
        bundle.issuers[1].revoked_at = NOW

    return [
        ("signed by a stranger", 3, stranger, _nothing, "BUNDLE_SIGNER_UNKNOWN"),
        ("signed by a retired key", 3, retired, _nothing, "BUNDLE_SIGNER_UNKNOWN"),
        ("a number left out", 3, active, tell("sequence", 5), "BUNDLE_OUT_OF_SEQUENCE"),
        ("the same number again", 3, active, tell("sequence", 3), "BUNDLE_OUT_OF_SEQUENCE"),
        ("another realm", 3, active, tell("realm", "another"), "BUNDLE_FOREIGN"),
        ("another cloud", 3, active, tell("cloud_id", "C:another"), "BUNDLE_FOREIGN"),
        ("made before its predecessor", 3, active, tell("issued_at", ROTATED_AT - 1), "BUNDLE_BACKDATED"),
        ("another end of a retired key", 3, active, undo, "BUNDLE_REWRITES_HISTORY"),
        ("a retired issuer left out", 3, active, forget, "BUNDLE_REWRITES_HISTORY"),
        ("two issuers for one time", 3, active, overlap, "BUNDLE_INVALID"),
        ("an issuer over no point", 3, active, over_no_point, "INVALID_POINT"),
        ("revoked without a successor", 3, active, revoke_unended, "BUNDLE_INVALID"),
    ]


def _policies(cast: Cast) -> list[tuple[str, int, str, Change, str]]:
    active = cast.data["cloud"]["signing_key"]

    def policies(*wanted: WitnessPolicy) -> Change:
        def state(bundle: TrustBundle) -> None:
            del bundle.witness_policies[:]
            bundle.witness_policies.extend(wanted)

        return state

    def policy(*said: Any, **more: Any) -> Change:
        return lambda bundle: bundle.witness_policies.append(stated(*said, not_before=NOW, **more))

    old = TrustBundle.FromString(signed(cast.data["trust_bundles"][2]).statement).witness_policies
    moved = stated(2, ["H:general", "H:north"], not_before=old[1].not_before + 1)

    return [
        ("no witness policy", 3, active, policies(), "BUNDLE_INVALID"),
        ("no witness policy of the beginning", 3, active, policies(*old[1:]), "BUNDLE_INVALID"),
        ("witness policies in another order", 3, active, policies(old[0], old[2], old[1]), "BUNDLE_INVALID"),
        ("two witness policies of one time", 3, active, policies(*old, old[2]), "BUNDLE_INVALID"),
        ("a witness policy that lies ahead", 3, active, policies(*old, stated(not_before=NOW + 1)), "BUNDLE_INVALID"),
        ("no cosignature", 3, active, policy(0), "BUNDLE_INVALID"),
        ("nine cosignatures", 3, active, policy(9), "BUNDLE_INVALID"),
        ("as many cosignatures as witnesses", 3, active, policy(3, ["H:general", "H:north"]), "BUNDLE_INVALID"),
        ("the public cloud alone as a witness", 3, active, policy(1, []), "BUNDLE_INVALID"),
        ("no witness at all", 3, active, policy(1, [], public_cloud=False), "BUNDLE_INVALID"),
        ("a witness twice", 3, active, policy(1, ["H:north", "H:north"]), "BUNDLE_INVALID"),
        ("a witness beside all", 3, active, policy(1, ["*", "H:north"]), "BUNDLE_INVALID"),
        ("a doctor as a witness", 3, active, policy(1, ["D:roe", "H:north"]), "FIELD_INVALID"),
        ("a witness policy left out", 3, active, policies(*old[:2]), "BUNDLE_REWRITES_HISTORY"),
        ("a witness policy of before moved", 3, active, policies(old[0], moved, old[2]), "BUNDLE_REWRITES_HISTORY"),
        (
            "a witness policy of before asking less",
            3,
            active,
            policies(old[0], stated(not_before=old[1].not_before), old[2]),
            "BUNDLE_REWRITES_HISTORY",
        ),
        (
            "a new witness policy of the past",
            2,
            active,
            policies(*old[:2], stated(not_before=PREPARED_AT - 1)),
            "BUNDLE_REWRITES_HISTORY",
        ),
    ]


def _refused(cast: Cast, name: str, follows: int, key: str, change: Change, expect: str) -> Json:
    bundles = [signed(bundle) for bundle in cast.data["trust_bundles"]]
    content = _after(TrustBundle.FromString(bundles[follows - 1].statement), NOW)
    change(content)
    return {"name": name, "expect": expect, "follows": follows, **_signed(content, key)}


def _after(bundle: TrustBundle, issued_at: int) -> TrustBundle:
    following = TrustBundle()
    following.CopyFrom(bundle)
    following.sequence, following.issued_at = bundle.sequence + 1, issued_at
    return following


def _signed(bundle: TrustBundle, key: str) -> Json:
    """By the specification: the product signs no bundle that breaks its rules."""
    statement = bundle.SerializeToString(deterministic=True)
    transcript = spec.transcript("tb", statement)
    signature = spec.sign(bytes.fromhex(key), transcript)
    return {
        "statement": statement.hex(),
        "signature": signature.hex(),
        "digest": spec.sha256(transcript).hex(),
    }


def outcome(found: list[Json], vector: Json) -> str:
    """Say "success" or the reason for which this bundle may not follow the one that it claims to."""
    chained = [signed(entry) for entry in found if entry["expect"] == "success"]
    try:
        if vector["follows"] == 0:
            pin(signed(vector), bytes.fromhex(vector["digest"]))
        else:
            follow(_reached(chained, vector["follows"]), signed(vector))
    except FederationError as error:
        return error.reason
    return "success"


def _reached(chained: list, number: int) -> TrustedBundle:
    return follow_all(pin(chained[0]), chained[1:number])
