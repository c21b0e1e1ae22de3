"""Certificates of doctors, and the CRLs that count: each vector is one check of Cert_D, with all that it takes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from federation.errors import FederationError
from federation.protocol.anchors import Lists
from federation.protocol.authorities import Authority, crls_that_count
from federation.protocol.doctor_certificate import verify_certificate
from federation.v1.directory_pb2 import MedicalAuthority
from federation.v1.statement_pb2 import CrlPin
from tests.vectors import spec
from tests.vectors.draws import Json, Stream
from tests.vectors.software import NOW, Cast, ReproducibleKey, signing_key

MOMENT = datetime.fromtimestamp(NOW / 1000, UTC)
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
PART = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
Extensions = tuple[tuple[x509.ExtensionType, bool], ...]


class Maker:
    """Makes what a medical authority could, its rogue operator too."""

    def __init__(self, data: Json) -> None:
        self.authority = data["authority"]
        self._key = ReproducibleKey(self.authority["signing_key"])
        self._ca = x509.load_der_x509_certificate(bytes.fromhex(self.authority["certificate"]))
        doctor = signing_key(data["parties"]["doctor"]["signing_key"]).verifying_key
        self._doctor_key, self._puk = doctor.x509, doctor.data

    def certificate(
        self,
        *more: tuple[x509.ExtensionType, bool],
        serial: int = 7,
        key: CertificatePublicKeyTypes | None = None,
        hashed: HashAlgorithm | None = None,
    ) -> str:
        usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._ca.subject)
            .public_key(key or self._doctor_key)
            .serial_number(serial)
            .not_valid_before(MOMENT - timedelta(days=1))
            .not_valid_after(MOMENT + timedelta(days=1))
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:medunion:D:chen")]), critical=True
            )
        )
        for extension, critical in more:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashed or SHA256()).public_bytes(Encoding.DER).hex()

    def crl(
        self,
        number: int | None,
        *more: tuple[x509.ExtensionType, bool],
        revoked: int = 99,
        entry: Extensions = (),
        begins: timedelta = timedelta(hours=-1),
        key: ec.EllipticCurvePrivateKey | None = None,
        hashed: HashAlgorithm | None = None,
    ) -> str:
        begin = MOMENT + begins
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._ca.subject).last_update(begin)
        builder = builder.next_update(begin + timedelta(days=1))
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        for extension, critical in more:
            builder = builder.add_extension(extension, critical)
        named = x509.RevokedCertificateBuilder().serial_number(revoked).revocation_date(MOMENT)
        for extension, critical in entry:
            named = named.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(named.build())
        return builder.sign(key or self._key, hashed or SHA256()).public_bytes(Encoding.DER).hex()

    def pin(self, number: bytes, crl: str) -> Json:
        certificate = bytes.fromhex(self.authority["certificate"])
        return {
            "certificate_digest": spec.sha256(certificate).hex(),
            "number": number.hex(),
            "digest": spec.sha256(bytes.fromhex(crl)).hex(),
        }

    def vector(self, name: str, expect: str, **changes: object) -> Json:
        """Give a vector that differs from a check that holds in these entries."""
        crl = self.crl(7)
        return {
            "name": name,
            "expect": expect,
            "now": NOW,
            "authority_certificate": self.authority["certificate"],
            "doctor_ids": ["D:*"],
            "certificate": self.certificate(),
            "doctor_id": "D:chen",
            "verifying_key": self._puk.hex(),
            "crls": [crl],
            "pins": [self.pin(b"\x07", crl)],
        } | changes


def vectors(cast: Cast) -> list[Json]:
    """Give a vector for each rule, and for what it lets pass."""
    maker = Maker(cast.data)
    return [*_scopes(maker), *_purposes(maker), *_algorithms(maker), *_shapes_of_crls(maker), *_pins(maker)]


def _scopes(maker: Maker) -> Iterator[Json]:
    for scope in (["D:*"], ["D:chen"], ["D:ch*"], ["D:roe", "D:chen*"]):
        yield maker.vector(f"certified by an authority for {' '.join(scope)}", "success", doctor_ids=scope)
    for scope in ([], ["D:che"], ["D:cheng"], ["D:chen.*"], ["D:Chen"]):
        words = " ".join(scope) or "nobody"
        yield maker.vector(f"certified by an authority for {words}", "CERTIFICATE_OUT_OF_SCOPE", doctor_ids=scope)


def _purposes(maker: Maker) -> Iterator[Json]:
    server = ExtendedKeyUsageOID.SERVER_AUTH
    for purpose in (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.CLIENT_AUTH, DOCUMENT_SIGNING):
        for critical in (False, True):
            certificate = maker.certificate((x509.ExtendedKeyUsage([server, purpose]), critical))
            name = f"for {purpose.dotted_string} among others{', critical' if critical else ''}"
            yield maker.vector(name, "success", certificate=certificate)
    for critical in (False, True):
        certificate = maker.certificate((x509.ExtendedKeyUsage([server]), critical))
        name = f"for another purpose{', critical' if critical else ''}"
        yield maker.vector(name, "CERTIFICATE_ILLEGAL", certificate=certificate)
    yield maker.vector(
        "with an unknown critical extension", "CERTIFICATE_ILLEGAL", certificate=maker.certificate((UNKNOWN, True))
    )
    yield maker.vector("with an unknown extension", "success", certificate=maker.certificate((UNKNOWN, False)))
    yield maker.vector(
        "signed by ecdsa-with-SHA384", "CERTIFICATE_ILLEGAL", certificate=maker.certificate(hashed=SHA384())
    )


def _algorithms(maker: Maker) -> Iterator[Json]:
    """Either s, for X.509 knows no lower half; and keys that no doctor of this federation has."""
    halves = {
        _has_high_s(encoded): encoded for encoded in (maker.certificate(serial=serial) for serial in range(8, 24))
    }
    for is_high, encoded in halves.items():
        yield maker.vector(f"its signature has the {'high' if is_high else 'low'} s", "success", certificate=encoded)
    others = {
        "P-384": ec.derive_private_key(7, ec.SECP384R1()),
        "Ed25519": Ed25519PrivateKey.from_private_bytes(bytes(32)),
    }
    for name, key in others.items():
        certificate = maker.certificate(key=key.public_key())
        yield maker.vector(f"for a key of {name}", "CERTIFICATE_FOREIGN", certificate=certificate)


def _has_high_s(encoded: str) -> bool:
    signature = x509.load_der_x509_certificate(bytes.fromhex(encoded)).signature
    return decode_dss_signature(signature)[1] > spec.ORDER // 2


def _shapes_of_crls(maker: Maker) -> Iterator[Json]:
    other = x509.CertificateIssuer([x509.UniformResourceIdentifier("urn:medunion:M:elsewhere")])
    reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
    bad = {
        "a CRL without a number": maker.crl(None),
        "a delta": maker.crl(8, (x509.DeltaCRLIndicator(6), True)),
        "a delta that does not say so critically": maker.crl(8, (x509.DeltaCRLIndicator(6), False)),
        "a CRL for a part": maker.crl(8, (PART, True)),
        "a CRL for a part that does not say so critically": maker.crl(8, (PART, False)),
        "a CRL with an unknown critical extension": maker.crl(8, (UNKNOWN, True)),
        "a CRL with an entry of another issuer": maker.crl(8, entry=((other, True),)),
        "a CRL with an unknown critical extension of an entry": maker.crl(8, entry=((UNKNOWN, True),)),
        "a CRL by another key": maker.crl(8, key=ReproducibleKey(Stream("another authority").private_key().hex())),
        "a CRL by ecdsa-with-SHA384": maker.crl(8, hashed=SHA384()),
        "a CRL that has ended": maker.crl(8, begins=timedelta(days=-1)),
        "a CRL that has not begun": maker.crl(8, begins=timedelta(hours=1)),
    }
    good = maker.crl(7)
    for name, crl in bad.items():
        yield maker.vector(f"{name} alone", "REVOCATION_LIST_STALE", crls=[crl])
        yield maker.vector(f"{name} before one that counts", "success", crls=[crl, good])
    fine = maker.crl(8, (UNKNOWN, False), entry=((reason, True), (UNKNOWN, False)))
    yield maker.vector("a CRL with what is understood or may be passed over", "success", crls=[fine])
    yield maker.vector("a certificate that the CRL names", "CERTIFICATE_REVOKED", crls=[maker.crl(8, revoked=7)])
    for crls in ([good, maker.crl(8, revoked=7)], [maker.crl(8, revoked=7), good]):
        yield maker.vector("a higher number that names it, whatever the order", "CERTIFICATE_REVOKED", crls=crls)
    yield maker.vector("a lower number that names it", "success", crls=[maker.crl(6, revoked=7), maker.crl(8)])
    yield maker.vector("no CRL", "REVOCATION_LIST_STALE", crls=[])


def _pins(maker: Maker) -> Iterator[Json]:
    old, new = maker.crl(255), maker.crl(256)
    yield maker.vector("the pinned CRL", "success", crls=[new], pins=[maker.pin(b"\x01\x00", new)])
    yield maker.vector("a newer CRL than the pinned one", "success", crls=[new], pins=[maker.pin(b"\xff", old)])
    stale = {
        "an older CRL than the pinned one": [maker.pin(b"\x01\x00", new)],
        "another CRL of the pinned number": [maker.pin(b"\xff", new)],
        "a CRL whose authority has no pin": [],
        "a CRL whose authority's other certificate is pinned": [
            maker.pin(b"\x01", old) | {"certificate_digest": bytes(32).hex()}
        ],
        "a pin of 20 octets": [maker.pin(b"\x80" + bytes(19), new)],
    }
    for name, pins in stale.items():
        yield maker.vector(name, "REVOCATION_LIST_STALE", crls=[old], pins=pins)
    yield maker.vector("a CRL of number 0", "success", crls=[maker.crl(0)], pins=[maker.pin(b"", maker.crl(0))])


def outcome(vector: Json) -> str:
    """Give what the code says of a vector."""
    stated = MedicalAuthority(
        authority_id="M:chamber",
        certificate=bytes.fromhex(vector["authority_certificate"]),
        doctor_ids=vector["doctor_ids"],
    )
    pins = [CrlPin(**{name: bytes.fromhex(value) for name, value in pin.items()}) for pin in vector["pins"]]
    authority = Authority.of(stated)
    try:
        verify_certificate(
            bytes.fromhex(vector["certificate"]),
            authorities=(authority,),
            lists=Lists(crls=crls_that_count([authority], map(bytes.fromhex, vector["crls"]), pins)),
            doctor_id=vector["doctor_id"],
            verifying_key=bytes.fromhex(vector["verifying_key"]),
            now=vector["now"],
        )
    except FederationError as error:
        return error.reason
    return "success"
