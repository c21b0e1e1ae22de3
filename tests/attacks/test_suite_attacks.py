"""Findings F1 to F8: attacks on P-256 by arithmetic. Each succeeds against a peer that is wrong on purpose, and fails on ours.

Every key here is in software, so a test can be the thief of s, or of PRK_C. What a thief computes is written out in points
(pycryptodome's); what ours does is the production code.
"""

import hashlib
import hmac
from dataclasses import dataclass, replace
from secrets import randbelow

import pytest
from Crypto.PublicKey.ECC import EccPoint
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from federation.errors import CredentialSuperseded, IssuerStopped
from federation.party.registration import register
from federation.v1.statement_pb2 import ROLE_DOCTOR
from keystore.agreement import SoftwareAgreement, agree
from keystore.curve import ORDER, SCALAR_SEED_BYTES, compressed, point_over, private_key, scalar_from_seed
from keystore.errors import CredentialMismatch
from keystore.issuing import IssuingKey, check_issued
from keystore.registration_secret import RegistrationSecret
from keystore.signatures import SigningKey, VerifyingKey
from keystore.transcript import transcript
from tests.mallory import d1_from, p1_to, rejected

SERIAL = bytes(range(16))


def x_bytes(point: EccPoint) -> bytes:
    return int(point.x).to_bytes(32, "big")


def point_of(key: ec.EllipticCurvePublicKey) -> EccPoint:
    numbers = key.public_numbers()
    return EccPoint(numbers.x, numbers.y, "p256")


def lifted(x: bytes) -> EccPoint:
    """Give one of the two points over x, which is all that a thief sees of it."""
    return point_of(point_over(x))


def key_of(point: EccPoint) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicNumbers(int(point.x), int(point.y), ec.SECP256R1()).public_key()


def times(scalar: int, point: EccPoint) -> EccPoint:
    return point * (scalar % ORDER)


def inverse(scalar: int) -> int:
    return pow(scalar, -1, ORDER)


def value_of(key: ec.EllipticCurvePrivateKey) -> int:
    return key.private_numbers().private_value


def fresh() -> int:
    return randbelow(ORDER - 1) + 1


BASE = point_of(private_key((1).to_bytes(32, "big")).public_key())


def hashed(message: bytes) -> int:
    """z: SHA-256 as a number."""
    return int.from_bytes(hashlib.sha256(message).digest(), "big") % ORDER


def agreed(x: bytes, label: str, *fields: bytes) -> bytes:
    """What `agree` gives whose product has this x: nobody needs a key for that."""
    key = hashlib.sha256(x + (1).to_bytes(4, "big") + b"medunion/v1").digest()
    return hmac.digest(key, transcript(label, *fields), "sha256")


def signed(key: int, nonce: int, z: int) -> tuple[int, int]:
    """ECDSA with a nonce of the signer's choice."""
    r = int(times(nonce, BASE).x) % ORDER
    return r, inverse(nonce) * (z + r * key) % ORDER


def holds(key: EccPoint, z: int, r: int, s: int) -> bool:
    """ECDSA as anybody verifies it: over a digest, with whatever s, the key nowhere in what is signed."""
    try:
        key_of(key).verify(encode_dss_signature(r, s), z.to_bytes(32, "big"), ec.ECDSA(Prehashed(SHA256())))
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True)
class Registered:
    """A member: M_X, (R_X1, S_X) as numbers, z, and the points R and U_X."""

    credential: bytes
    rho: int
    secret: int
    z: int
    base: EccPoint
    public: EccPoint

    def k1(self, received: bytes) -> bytes:
        """The responder's K1, by production code."""
        own = SoftwareAgreement(private_key(self.secret.to_bytes(32, "big")))
        return agree(own, point_over(received), "K1", received)


class Issuer:
    """s, which a test may steal, and PK."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.secret = value_of(self.key)
        self.issuing = IssuingKey(self.key)
        self.point = point_of(self.key.public_key())

    def register(self, name: bytes) -> Registered:
        issued = self.issuing.issue(name)
        secret = int.from_bytes(issued.registration_secret, "big")
        rho, z = int.from_bytes(issued.registration_point, "big"), self.hash_of(name)
        return Registered(name, rho, secret, z, lifted(issued.registration_point), self.public(z, rho))

    def hash_of(self, credential: bytes, public_key: bytes | None = None) -> int:
        return hashed(transcript("cred", public_key or self.issuing.public_key, credential))

    def public(self, z: int, rho: int) -> EccPoint:
        """U_X = z B + rho PK."""
        return times(z, BASE) + times(rho, self.point)


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def doctor(issuer: Issuer) -> Registered:
    return issuer.register(b"doctor")


def test_f1_one_scalar_for_r_and_e_gives_k1_to_a_thief_of_s(issuer: Issuer, doctor: Registered) -> None:
    """U_D = (z + rho s) B, so who has s has K1 = x(r U_D) from r B. The wrong patient sends r B as E_P."""
    r, e = fresh(), fresh()
    received = x_bytes(times(r, doctor.base))
    of_public_point = doctor.z + doctor.rho * issuer.secret

    def stolen(ephemeral: EccPoint) -> bytes:
        return agreed(x_bytes(times(of_public_point, lifted(x_bytes(ephemeral)))), "K1", received)

    assert stolen(times(r, BASE)) == doctor.k1(received)
    assert stolen(times(e, BASE)) != doctor.k1(received)


def test_f1_one_scalar_for_r_and_e_gives_k1_to_who_holds_prk_c(issuer: Issuer, doctor: Registered) -> None:
    """Mallory has PRK_C and a registration of her own, not s. She states her R under the doctor's name with another M, so that
    U' = z' B + rho_M PK = +-S_M R_M + (z' - z_M) B, and r U' follows from r R_M and r B.
    """
    mallory = issuer.register(b"mallory")
    stated_z = issuer.hash_of(b"the doctor, as Mallory has it stated")
    r, e = fresh(), fresh()
    sent = x_bytes(times(r, mallory.base))
    initiators = agreed(x_bytes(times(r, issuer.public(stated_z, mallory.rho))), "K1", sent)

    def candidates(ephemeral: EccPoint) -> set[bytes]:
        own = times(mallory.secret, lifted(sent))
        shifted = times(stated_z - mallory.z, lifted(x_bytes(ephemeral)))
        return {agreed(x_bytes(own + way), "K1", sent) for way in (shifted, -shifted)}

    assert initiators in candidates(times(r, BASE))
    assert initiators not in candidates(times(e, BASE))


def test_f2_one_r_on_two_bases_gives_k1_with_a_third(issuer: Issuer, doctor: Registered) -> None:
    """Mallory has two registrations and no key of anybody. Of one r she gets r U_1 and r U_2, two equations for r B and r PK,
    and with them r U of whomever that r met as well.
    """
    one, other = issuer.register(b"mallory"), issuer.register(b"mallory again")

    def candidates(r_one: int, r_other: int) -> set[bytes]:
        received = [x_bytes(times(r_one, one.base)), x_bytes(times(r_other, other.base))]
        first, second = times(one.secret, lifted(received[0])), times(other.secret, lifted(received[1]))
        scale = inverse(one.z * other.rho - other.z * one.rho)
        found = set()
        for sign in (1, -1):
            r_base = times(scale, times(other.rho, first) + times(-sign * one.rho, second))
            r_issuer = times(scale, times(-other.z, first) + times(sign * one.z, second))
            found.add(x_bytes(times(doctor.z, r_base) + times(doctor.rho, r_issuer)))
        return found

    r = fresh()
    received = x_bytes(times(r, doctor.base))
    assert doctor.k1(received) in {agreed(x, "K1", received) for x in candidates(r, r)}
    assert doctor.k1(received) not in {agreed(x, "K1", received) for x in candidates(fresh(), fresh())}


def test_f1_f2_ours_draws_every_r_and_every_e_by_itself(federation, monkeypatch) -> None:
    """Two P1 and a D1: six scalars, each from seed bytes of its own, each r on its receiver's base and each e on B."""
    now, drawn = federation.clock.now, []

    def entropy(size: int, draw=federation.entropy) -> bytes:
        value = draw(size)
        if size == SCALAR_SEED_BYTES:
            drawn.append(value_of(scalar_from_seed(value)))
        return value

    monkeypatch.setattr(federation, "entropy", entropy)
    _, first = federation.open_consultation()
    _, second = federation.open_consultation(federation.other_doctor)
    drawn_before_the_reply = len(drawn)
    _, reply = federation.receive_opening(first).reply(now=now, entropy=federation.entropy)
    assert drawn_before_the_reply == 4
    assert len({min(scalar, ORDER - scalar) for scalar in drawn}) == len(drawn) == 6
    messages = (
        (p1_to(federation, federation.doctor).open(first), federation.doctor),
        (p1_to(federation, federation.other_doctor).open(second), federation.other_doctor),
        (d1_from(federation, federation.doctor).open(reply), federation.patient),
    )
    for (message, receiver), r, e in zip(messages, drawn[::2], drawn[1::2], strict=True):
        base = lifted(federation.party(receiver).self_.registration_point)
        assert message.agreement_point == x_bytes(times(r, base))
        assert message.ephemeral_point == x_bytes(times(e, BASE))


def test_f3_a_stale_base_is_agreed_on_by_who_kept_the_old_secret(issuer: Issuer) -> None:
    """The doctor registered anew. A wrong doctor tries each S that it ever had, and so agrees under a base that its key
    statement no longer names: with whoever kept that S, which may be revoked, or with its thief.
    """
    old, new = issuer.register(b"doctor, 2025"), issuer.register(b"doctor, 2026")
    r = fresh()
    received = x_bytes(times(r, old.base))
    patients = agreed(x_bytes(times(r, old.public)), "K1", received)
    assert patients == old.k1(received)
    assert patients != new.k1(received)


def test_f3_ours_refuses_a_stale_base_before_its_token_is_asked(own_federation, monkeypatch) -> None:
    """The patient's P1 names the serial that the doctor had when the patient looked; the doctor has another by now."""
    federation = own_federation
    _, opening = federation.open_consultation()
    federation.clock.now += 1000
    federation.renew(federation.doctor)
    federation.refresh()

    def touched(*_):
        raise AssertionError("the token was asked")

    monkeypatch.setattr("keystore.registration_secret.RegistrationSecret.agree", touched)
    with rejected(CredentialSuperseded):
        federation.receive_opening(opening)


def test_f4_one_nonce_twice_gives_s(issuer: Issuer) -> None:
    """A wrong cloud releases two credentials of one rho. Whoever sees both has s, up to two signs that PK decides."""
    nonce, z = fresh(), [issuer.hash_of(name) for name in (b"one", b"other")]
    (rho, first), (again, second) = (signed(issuer.secret, nonce, each) for each in z)
    assert rho == again
    found = {(sign * z[1] * first - z[0] * second) * inverse(rho * (second - sign * first)) % ORDER for sign in (1, -1)}
    assert issuer.secret in found


def test_f4_ours_releases_no_second_credential_of_one_nonce_and_issues_no_more(serve_cloud, monkeypatch) -> None:
    """The token of s repeats itself. Nobody gets the second credential, and nobody a third, whose nonce would be another."""
    points: list[bytes] = []

    def repeat(self, credential, issue=IssuingKey.issue):
        issued = issue(self, credential)
        points.append(issued.registration_point)
        return replace(issued, registration_point=points[0])

    def registers(cloud, identity: str) -> None:
        member = cloud.member(identity)
        certificate = cloud.certificate(member)
        register(member, cloud.client(), ROLE_DOCTOR, certificate, None, certificate=certificate, pause=lambda _: None)

    with serve_cloud() as cloud:
        with monkeypatch.context() as patched:
            patched.setattr(IssuingKey, "issue", repeat)
            registers(cloud, "D:one")
            with pytest.raises(IssuerStopped):
                registers(cloud, "D:other")
        with pytest.raises(IssuerStopped):
            registers(cloud, "D:third")
    assert len(points) == 2


def test_f5_a_shown_public_half_of_s_x_gives_k_x_to_a_thief_of_s(issuer: Issuer, doctor: Registered) -> None:
    """Some tokens show S_X B. Were K_X made on PK, a thief of s had it: S_X PK = s (S_X B). On Q, of which nobody knows the
    logarithm, the same product is another point's.
    """
    shown = times(doctor.secret, BASE)
    stolen = x_bytes(times(issuer.secret, shown))
    assert stolen == x_bytes(times(doctor.secret, issuer.point))
    own = SoftwareAgreement(private_key(doctor.secret.to_bytes(32, "big")))
    secret = RegistrationSecret(own, doctor.rho.to_bytes(32, "big"), key_of(doctor.public))
    assert secret.shared_key("D:chen", SERIAL) != agreed(stolen, "shared", b"D:chen", SERIAL)


def second_key(key: EccPoint, z: int, r: int) -> EccPoint:
    """Give the other key under which (r, s) holds over z: x(-R) is x(R)."""
    return -key + times(-2 * z * inverse(r), BASE)


def test_f6_a_credential_holds_under_one_issuing_key_alone(issuer: Issuer, doctor: Registered) -> None:
    """Mallory makes a second PK under which the doctor's credential verifies. With PK in what is hashed it is another z."""
    mallorys = second_key(issuer.point, doctor.z, doctor.rho)
    assert holds(mallorys, doctor.z, doctor.rho, doctor.secret)
    signature = doctor.rho.to_bytes(32, "big") + doctor.secret.to_bytes(32, "big")
    check_issued(issuer.issuing.public_key, doctor.credential, signature)
    with pytest.raises(CredentialMismatch):
        check_issued(compressed(key_of(mallorys)), doctor.credential, signature)


def test_f6_a_signer_has_no_second_key_for_its_signature() -> None:
    """A doctor shows a judge another key of its own, with its private half, under which its signature holds as well, and says
    that the first was never in it. With PUK in what is signed the signature says whose it is.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    signer, message = SigningKey(key), transcript("D5", b"all is well")
    signature = signer.sign(message)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    z = hashed(transcript("sig", signer.verifying_key.data, message))
    private = (-value_of(key) - 2 * z * inverse(r)) % ORDER
    other = times(private, BASE)
    assert holds(other, z, r, s)
    signer.verifying_key.verify(signature, message)
    with pytest.raises(InvalidSignature):
        VerifyingKey(compressed(key_of(other))).verify(signature, message)


def test_f6_one_signature_is_not_over_two_messages() -> None:
    """Mallory makes a key for which one signature is over "I consent" and over "I do not": d = -(z + z') / 2 r. The key has to
    be there before what is signed, if it is in it.
    """
    messages = [transcript("grant", text) for text in (b"I consent", b"I do not")]
    z = [hashed(message) for message in messages]
    nonce = fresh()
    r = int(times(nonce, BASE).x) % ORDER
    private = -(z[0] + z[1]) * inverse(2 * r) % ORDER
    key = times(private, BASE)
    _, s = signed(private, nonce, z[0])
    s = min(s, ORDER - s)
    assert all(holds(key, each, r, s) for each in z)
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    for message in messages:
        with pytest.raises(InvalidSignature):
            VerifyingKey(compressed(key_of(key))).verify(signature, message)


def test_f7_a_signature_has_one_form() -> None:
    """(r, n - s) holds wherever (r, s) does. H(Sig_D5) names a diagnosis and a deposit: a second form would be a second name."""
    signer, message = SigningKey(ec.generate_private_key(ec.SECP256R1())), transcript("D5", b"all is well")
    z = hashed(transcript("sig", signer.verifying_key.data, message))
    for _ in range(16):
        signature = signer.sign(message)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        assert s <= ORDER // 2
        assert holds(point_of(signer.verifying_key.x509), z, r, ORDER - s)
        signer.verifying_key.verify(signature, message)
        with pytest.raises(InvalidSignature):
            signer.verifying_key.verify(signature[:32] + (ORDER - s).to_bytes(32, "big"), message)


def test_f8_a_nonce_made_of_s_and_the_message_gives_s_x_to_a_thief_of_s(issuer: Issuer) -> None:
    """A wrong s signs by RFC 6979: its thief signs M_X again, and has the S_X of everybody whose M_X it has seen."""
    covered = transcript("cred", issuer.issuing.public_key, b"patient")
    for deterministic, falls in ((True, True), (False, False)):
        algorithm = ec.ECDSA(SHA256(), deterministic_signing=deterministic)
        issued, thiefs = (decode_dss_signature(issuer.key.sign(covered, algorithm)) for _ in range(2))
        assert (issued == thiefs) == falls


def test_f8_ours_issues_another_secret_for_the_same_credential(federation, issuer: Issuer) -> None:
    """The same M_X signed again, by s in the token and by s in its thief's hands, gives another R_X1 and another S_X."""
    for issuing in (federation.cloud.keys.issuing, issuer.issuing):
        one, other = (issuing.issue(b"patient") for _ in range(2))
        assert one.registration_point != other.registration_point
        assert one.registration_secret != other.registration_secret
