"""The cast of the vectors: every party's keys in software from fixed seeds, behind the classes that token keys have."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from federation.protocol.anchors import Lists
from federation.protocol.bundle import follow_all, pin
from federation.protocol.parties import Party
from federation.protocol.registration import Applicant, Registered
from federation.protocol.statements import sign_statement
from federation.protocol.verifier import Verifier
from federation.v1 import statement_pb2 as pb
from federation.v1.statement_pb2 import EncryptionKeyStatement, RevocationHead, SignedStatement
from keystore.agreement import Agreeing, SoftwareAgreement
from keystore.curve import private_key
from keystore.encryption import KEM_ID, DecryptionKey, FixedKeyring
from keystore.issuing import IssuingKey
from keystore.registration_secret import RegistrationSecret
from keystore.signatures import SigningKey
from keystore.x509 import request_certificate
from tests.vectors import spec
from tests.vectors.draws import Json, Stream
from tests.vectors.revocations import SET as REVOKED
from tests.vectors.revocations import whole
from tests.vectors.world import CloudSide, World

NOW = 1_790_000_000_000
YEAR_MS = 365 * 24 * 3_600_000
CRL_NUMBER = 1
ROTATED_AT = NOW - 30_000
"""When s and PRK_C were rotated: who registered before has a credential of the retired PK."""


class ReproducibleKey(ec.EllipticCurvePrivateKey):
    """A key in software whose nonces are RFC 6979's, s too: so that a vector is the same whenever it is made."""

    def __init__(self, value: str) -> None:
        self._key = private_key(bytes.fromhex(value))

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        return self._key.sign(data, ec.ECDSA(signature_algorithm.algorithm, deterministic_signing=True))

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._key.curve

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        raise NotImplementedError("a key that signs agrees on nothing")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise NotImplementedError("as of a key in a token")

    def private_bytes(self, *_: Any) -> bytes:
        raise NotImplementedError("as of a key in a token")

    def __copy__(self) -> "ReproducibleKey":
        return self

    def __deepcopy__(self, _: Any) -> "ReproducibleKey":
        return self


def signing_key(value: str) -> SigningKey:
    return SigningKey(ReproducibleKey(value))


def issuing_key(value: str) -> IssuingKey:
    return IssuingKey(ReproducibleKey(value))


def decryption_key(party: Json) -> DecryptionKey:
    p256 = private_key(bytes.fromhex(party["p256_private_key"]))
    return DecryptionKey(MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(party["mlkem_seed"])), p256)


def signed(entry: Json) -> SignedStatement:
    return SignedStatement(statement=bytes.fromhex(entry["statement"]), signature=bytes.fromhex(entry["signature"]))


def unsigned(statement: SignedStatement) -> Json:
    return {"statement": statement.statement.hex(), "signature": statement.signature.hex()}


def create_cast() -> Json:
    """Make the content of parties.json."""
    cloud, authority, clinic = _keys("C:union"), _authority("M:chamber", "D:*"), _authority("M:clinic", "D:li", "D:ro*")
    cloud["issuing_key"] = Stream("issuer").private_key().hex()
    cloud |= {
        f"retired_{name}": Stream(f"retired {name}").private_key().hex() for name in ("issuing_key", "signing_key")
    }
    parties = {name: _keys(identity) for name, identity in _IDENTITIES.items()}
    _certify(authority, parties["doctor"])
    evidence = {
        "patient": Stream("biometric password")(32).hex(),
        "doctor": parties["doctor"]["certificate"],
        "hospital": b"licence of the hospital".hex(),
    }
    for name, party in parties.items():
        party["evidence"] = evidence[name]
        party["ticket"] = "" if name == "doctor" else Stream(f"ticket {name}")(16).hex()
        # The doctor's credential is of the PK that was activated since the others registered.
        party["credential_not_before"] = NOW if name == "doctor" else NOW - 60_000
    pins = [_pin(entry) for entry in (authority, clinic)]
    head = RevocationHead(
        sequence=1,
        this_update=NOW,
        next_update=NOW + 3_600_000,
        root=REVOKED.root,
        entries=len(REVOKED.entries) + len(REVOKED.sweeps),
        revision=1,
        bundle_sequence=3,
        crls=pins,
    )
    return {
        "now": NOW,
        "revocation_head": unsigned(sign_statement("rl", head, signing_key(cloud["signing_key"]))),
        "revoked": REVOKED.json(),
        "authority": authority,
        "narrow_authority": clinic,
        "cloud": cloud,
        "parties": parties,
        "renewed": _keys("H:alpha", "H:alpha, renewed"),
        "tls_certificate_request": request_certificate(
            ReproducibleKey(Stream("tls").private_key().hex()), "H:alpha"
        ).hex(),
    }


_IDENTITIES = {"patient": "P:wang", "doctor": "D:chen", "hospital": "H:alpha"}


def _keys(identity: str, source: str = "") -> Json:
    draw = Stream(source or identity)
    keys: Json = {"identity": identity, "signing_key": draw.private_key().hex()}
    keys |= {"mlkem_seed": draw(64).hex(), "p256_private_key": draw.private_key().hex()}
    key, decryption = signing_key(keys["signing_key"]), decryption_key(keys)
    statement = EncryptionKeyStatement(
        identity=identity,
        verifying_key_digest=spec.sha256(key.verifying_key.data),
        key_id=decryption.key_id,
        kem=KEM_ID,
        encryption_key=decryption.encryption_key,
        not_before=NOW - 60_000,
        not_after=NOW + 7 * 24 * 3_600_000,
    )
    return keys | {"encryption_key_statement": unsigned(sign_statement("ek", statement, key))}


def _authority(identity: str, *doctor_ids: str) -> Json:
    """Make a medical authority, whom it may certify, its certificate and its CRL, with fixed serial numbers."""
    private = Stream(identity).private_key().hex()
    key, name = ReproducibleKey(private), _name(identity)
    own = _builder(name, name, key.public_key(), 1).add_extension(x509.BasicConstraints(True, 1), critical=True)
    moment = datetime.fromtimestamp(NOW / 1000, UTC)
    crl = x509.CertificateRevocationListBuilder().issuer_name(name).last_update(moment)
    crl = crl.next_update(moment + timedelta(days=1)).add_extension(x509.CRLNumber(CRL_NUMBER), critical=False)
    return {
        "identity": identity,
        "signing_key": private,
        "doctor_ids": list(doctor_ids),
        "certificate": _usage(own, sign=False).sign(key, SHA256()).public_bytes(Encoding.DER).hex(),
        "crl": crl.sign(key, SHA256()).public_bytes(Encoding.DER).hex(),
    }


def _pin(authority: Json) -> pb.CrlPin:
    certificate, crl = bytes.fromhex(authority["certificate"]), bytes.fromhex(authority["crl"])
    return pb.CrlPin(certificate_digest=spec.sha256(certificate), number=bytes([CRL_NUMBER]), digest=spec.sha256(crl))


def _certify(authority: Json, doctor: Json) -> None:
    """Fill in Cert_D: with a fixed serial number, as the product's have random ones."""
    ca_key, ca_name = ReproducibleKey(authority["signing_key"]), _name(authority["identity"])
    doctor_key = ReproducibleKey(doctor["signing_key"]).public_key()
    builder = _builder(_name("D:chen"), ca_name, doctor_key, 2).add_extension(
        x509.BasicConstraints(False, None), critical=True
    )
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:medunion:D:chen")])
    issued = _usage(builder, sign=True).add_extension(names, critical=False).sign(ca_key, SHA256())
    doctor["certificate"] = issued.public_bytes(Encoding.DER).hex()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int
) -> x509.CertificateBuilder:
    moment = datetime.fromtimestamp(NOW / 1000, UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(serial).not_valid_before(moment - timedelta(days=1))
    return builder.not_valid_after(moment + timedelta(days=700))


def _usage(builder: x509.CertificateBuilder, *, sign: bool) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(sign, sign, False, False, False, not sign, not sign, False, False)
    return builder.add_extension(usage, critical=True)


@dataclass(frozen=True)
class Cast:
    """parties.json, read."""

    data: Json

    @property
    def now(self) -> int:
        return int(self.data["now"])

    def verifier(self) -> Verifier:
        first, *later = map(signed, self.data["trust_bundles"])
        anchors = follow_all(pin(first), later).anchors
        head = signed(self.data["revocation_head"])
        return Verifier(anchors, Lists.read(anchors, head, self._crls(), whole(self.data["revoked"])))

    def cloud(self) -> CloudSide:
        cloud = self.data["cloud"]
        verifier = self.verifier()
        return CloudSide(
            identity=cloud["identity"],
            keyring=FixedKeyring.of(decryption_key(cloud)),
            signing_key=signing_key(cloud["signing_key"]),
            issuing=issuing_key(cloud["issuing_key"]),
            retired_issuing=issuing_key(cloud["retired_issuing_key"]),
            encryption_key=verifier.cloud_encryption_key(signed(cloud["encryption_key_statement"]), now=self.now),
            revocation_head=signed(self.data["revocation_head"]),
            revoked=whole(self.data["revoked"]),
            crls=self._crls(),
        )

    def applicant(self, name: str) -> Applicant:
        own = self.data["parties"][name]
        return Applicant(
            role=pb.Role.Value(f"ROLE_{name.upper()}"),
            identity=own["identity"],
            evidence=bytes.fromhex(own["evidence"]),
            ticket=bytes.fromhex(own["ticket"]) or None,
            signing_key=signing_key(own["signing_key"]),
            decryption_key=decryption_key(own),
            encryption_key_statement=signed(own["encryption_key_statement"]),
        )

    def issuer_of(self, name: str) -> bytes:
        """Give the PK that made the party's credential, by the rotation's moment alone."""
        key = "issuing_key" if self.begin(name) >= ROTATED_AT else "retired_issuing_key"
        return spec.public_key(bytes.fromhex(self.data["cloud"][key]))

    def renewing(self) -> Applicant:
        """Give the hospital that registers again by itself, with a new PRK_X."""
        own, new = self.applicant("hospital"), self.data["renewed"]
        return replace(
            own,
            ticket=None,
            signing_key=signing_key(new["signing_key"]),
            decryption_key=decryption_key(new),
            encryption_key_statement=signed(new["encryption_key_statement"]),
            current=own.signing_key,
        )

    def begin(self, name: str) -> int:
        """Give the begin of the party's credential: it says which PK made it."""
        return int(self.data["parties"][name]["credential_not_before"])

    def party(self, name: str, registered: Registered, key: Agreeing | None = None) -> Party:
        """Give the party with S_X in software, or with the key of a token in its place."""
        own, self_ = self.data["parties"][name], registered.party
        software = SoftwareAgreement(private_key(bytes(registered.registration_secret)))
        secret = RegistrationSecret(key or software, self_.registration_point, self_.public_point)
        keyring = FixedKeyring.of(decryption_key(own))
        statement = signed(own["encryption_key_statement"])
        certificate = bytes.fromhex(own.get("certificate", ""))
        if certificate:
            self_ = replace(self_, authority_id="M:chamber")
        return Party(self_, signing_key(own["signing_key"]), secret, keyring, statement, certificate)

    def world(self, parties: dict[str, Party], entropy: Any) -> World:
        verifier, doctor = self.verifier(), parties["doctor"]
        return World(
            now=self.now,
            verifier=verifier,
            cloud=self.cloud(),
            patient=parties["patient"],
            doctor=doctor,
            hospital=parties["hospital"],
            shared_keys={
                one.identity: one.registration_secret.shared_key(one.identity, one.self_.serial)
                for one in (parties["patient"], doctor)
            },
            biometric_password=bytes.fromhex(self.data["parties"]["patient"]["evidence"]),
            tls_request=bytes.fromhex(self.data["tls_certificate_request"]),
            entropy=entropy,
            issuers={role: self.issuer_of(role) for role in parties},
        )

    def _crls(self) -> tuple[bytes, ...]:
        return tuple(bytes.fromhex(self.data[name]["crl"]) for name in ("authority", "narrow_authority"))
