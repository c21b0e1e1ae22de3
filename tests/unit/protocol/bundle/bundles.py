"""Contents of trust bundles as a test wants them, and the keys that sign them."""

from federation.protocol.bundle import TrustedBundle
from federation.protocol.statements import sign_statement
from federation.v1.directory_pb2 import KeyPeriod, TrustBundle
from federation.v1.statement_pb2 import SignedStatement
from keystore.signatures import SigningKey
from tests.keys import new_signing_key
from tests.policies import stated

NOW = 1_790_000_000_000
ROTATED = NOW + 10_000
S_1, S_2, C_1, C_2, C_3 = (new_signing_key() for _ in range(5))


def public(key: SigningKey) -> bytes:
    return key.verifying_key.data


def period(key: SigningKey, *times: int | None) -> KeyPeriod:
    """Give a period: begin, end, taint, revocation, as far as they are named."""
    names = "not_before", "not_after", "tainted_at", "revoked_at"
    return KeyPeriod(verifying_key=public(key), **dict(zip(names, times, strict=False)))


def content(**changes: object) -> TrustBundle:
    bundle = TrustBundle(
        realm="test",
        cloud_id="C:union",
        cloud_address="localhost:1",
        cloud_peer_address="localhost:2",
        issuers=[period(S_1, 0)],
        cloud_keys=[period(C_1, 0)],
        tls_ca_certificates=[b"unused"],
        department_classes=["cardiology"],
        sequence=1,
        issued_at=NOW,
        offline_grace_seconds=3600,
        witness_policies=[stated()],
    )
    _change(bundle, changes)
    return bundle


def changed(bundle: TrustedBundle, key: SigningKey, **changes: object) -> SignedStatement:
    """Sign what may be the next bundle: number and time as they should be unless they are changed too."""
    following = TrustBundle()
    following.CopyFrom(bundle.content)
    following.sequence += 1
    _change(following, changes)
    return sign_statement("tb", following, key)


def _change(bundle: TrustBundle, changes: dict[str, object]) -> None:
    for name, value in changes.items():
        if isinstance(value, list):
            bundle.ClearField(name)
            getattr(bundle, name).extend(value)
        else:
            setattr(bundle, name, value)


BOTH_PREPARED = [period(C_1, 0), period(C_2)]
BOTH = [period(C_1, 0, ROTATED), period(C_2, ROTATED)]
