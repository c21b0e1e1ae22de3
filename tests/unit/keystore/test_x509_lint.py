"""The lint: what keeps to the rules passes, each rule refuses what breaks it by its name, and a CA's key signs nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hsm import Token
from keystore import x509 as issuing
from keystore.errors import CertificateRejected
from keystore.x509 import serial_number, signed_certificate
from keystore.x509_lint import (
    CERTIFICATE_RULES,
    CERTIFIES,
    CRL_RULES,
    DOCTOR,
    IDENTITY_CA,
    REQUEST_RULES,
    SIGNS,
    TLS_CA,
    Profile,
    lint_certificate,
    lint_crl,
    lint_request,
    name_constraints,
)

NOW = datetime.now(UTC).replace(microsecond=0)
ISSUER, SUBJECT, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
P384 = ec.generate_private_key(ec.SECP384R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
CA_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA")])
NOBODY = x509.Name([])
URI = x509.UniformResourceIdentifier("urn:medunion:D:chen")
DNS = x509.DNSName("alpha.hospital.medunion.internal")
CONSTRAINED = name_constraints(DNS.value)
PERMITTED, EXCLUDED = CONSTRAINED.permitted_subtrees or [], CONSTRAINED.excluded_subtrees or []
Extension = tuple[x509.ExtensionType, bool]

DOCTORS: dict[str, Extension] = {
    "basic": (x509.BasicConstraints(ca=False, path_length=None), True),
    "usage": (SIGNS, True),
    "name": (x509.SubjectAlternativeName([URI]), False),
    "issuer": (x509.AuthorityKeyIdentifier.from_issuer_public_key(ISSUER.public_key()), False),
}
CAS: dict[str, Extension] = {
    "basic": (x509.BasicConstraints(ca=True, path_length=0), True),
    "usage": (CERTIFIES, True),
    "subject": (x509.SubjectKeyIdentifier.from_public_key(SUBJECT.public_key()), False),
    "names": (CONSTRAINED, True),
    "issuer": DOCTORS["issuer"],
}
ROOTS: dict[str, Extension] = {
    "basic": (x509.BasicConstraints(ca=True, path_length=1), True),
    **{name: CAS[name] for name in ("usage", "subject", "names")},
}


def built(extensions: dict[str, Extension], **changes: Any) -> x509.CertificateBuilder:
    """Build a certificate, with changes."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(changes.get("subject", NAME))
        .issuer_name(changes.get("issuer", CA_NAME))
        .public_key(changes.get("key", SUBJECT).public_key())
        .serial_number(changes.get("serial", serial_number(ISSUER)))
        .not_valid_before(NOW)
        .not_valid_after(NOW + changes.get("life", timedelta(days=365)))
    )
    for extension, critical in extensions.values():
        builder = builder.add_extension(extension, critical)
    return builder


def certificate(extensions: dict[str, Extension], **changes: Any) -> x509.Certificate:
    return built(extensions, **changes).sign(ISSUER, changes.get("hashed", SHA256()))


BAD_CERTIFICATES: list[tuple[str, Profile, Callable[[], x509.Certificate]]] = [
    ("CERT.SERIAL", DOCTOR, lambda: certificate(DOCTORS, serial=2**63 - 1)),
    ("CERT.ALGORITHM", DOCTOR, lambda: certificate(DOCTORS, hashed=SHA384())),
    ("CERT.KEY", DOCTOR, lambda: certificate(DOCTORS, key=P384)),
    ("CERT.NAMES", DOCTOR, lambda: certificate(DOCTORS, subject=NOBODY)),
    ("CERT.NAMES", DOCTOR, lambda: certificate(DOCTORS, issuer=NOBODY)),
    ("CERT.NAMES", DOCTOR, lambda: certificate(DOCTORS, issuer=NAME)),
    ("CERT.NAMES", TLS_CA, lambda: certificate(ROOTS)),
    ("CERT.VALIDITY", DOCTOR, lambda: certificate(DOCTORS, life=timedelta(days=731))),
    ("CERT.EXTENSIONS", DOCTOR, lambda: certificate(DOCTORS | {"more": (x509.OCSPNoCheck(), False)})),
    ("CERT.EXTENSIONS", DOCTOR, lambda: certificate({**DOCTORS, "basic": (DOCTORS["basic"][0], False)})),
    ("CERT.EXTENSIONS", DOCTOR, lambda: certificate({k: v for k, v in DOCTORS.items() if k != "usage"})),
    ("CERT.BASIC_CONSTRAINTS", DOCTOR, lambda: certificate({**DOCTORS, "basic": CAS["basic"]})),
    ("CERT.BASIC_CONSTRAINTS", IDENTITY_CA,
     lambda: certificate({**CAS, "basic": (x509.BasicConstraints(ca=True, path_length=None), True)})),
    ("CERT.KEY_USAGE", DOCTOR, lambda: certificate({**DOCTORS, "usage": CAS["usage"]})),
    ("CERT.AUTHORITY_KEY_ID", DOCTOR, lambda: certificate(
        {**DOCTORS, "issuer": (x509.AuthorityKeyIdentifier.from_issuer_public_key(OTHER.public_key()), False)})),
    ("CERT.AUTHORITY_KEY_ID", TLS_CA, lambda: certificate(ROOTS, issuer=NAME)),
    ("CERT.SUBJECT_KEY_ID", IDENTITY_CA, lambda: certificate(
        {**CAS, "subject": (x509.SubjectKeyIdentifier.from_public_key(OTHER.public_key()), False)})),
    ("CERT.NAME_CONSTRAINTS", IDENTITY_CA,
     lambda: certificate({**CAS, "names": (x509.NameConstraints(PERMITTED, EXCLUDED[:1]), True)})),
    ("CERT.NAME_CONSTRAINTS", IDENTITY_CA,
     lambda: certificate({**CAS, "names": (x509.NameConstraints([DNS], EXCLUDED), True)})),
    ("CERT.NAME_CONSTRAINTS", IDENTITY_CA,
     lambda: certificate({**CAS, "names": (x509.NameConstraints([DNS, *PERMITTED], EXCLUDED), True)})),
    ("CERT.ALTERNATIVE_NAME", DOCTOR,
     lambda: certificate({**DOCTORS, "name": (x509.SubjectAlternativeName([URI, DNS]), False)})),
]  # fmt: skip


def crl(**changes: Any) -> x509.CertificateRevocationList:
    """Make a list, with changes."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(changes.get("issuer", NAME))
        .last_update(NOW)
        .next_update(NOW + changes.get("life", timedelta(hours=24)))
        .add_extension(x509.CRLNumber(changes.get("number", 1)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(changes.get("key", ISSUER).public_key()), critical=False
        )
    )
    if "more" in changes:
        builder = builder.add_extension(*changes["more"])
    for serial in changes.get("revoked", (7, 8)):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(ISSUER, changes.get("hashed", SHA256()))


BAD_LISTS: list[tuple[str, dict[str, Any]]] = [
    ("CRL.ALGORITHM", {"hashed": SHA384()}),
    ("CRL.ISSUER", {"issuer": NOBODY}),
    ("CRL.NEXT_UPDATE", {"life": timedelta(hours=25)}),
    ("CRL.EXTENSIONS", {"more": (x509.DeltaCRLIndicator(1), True)}),
    ("CRL.NUMBER", {"number": 0}),
    ("CRL.AUTHORITY_KEY_ID", {"key": OTHER}),
    ("CRL.ENTRIES", {"revoked": (7, 7)}),
]


def request(**changes: Any) -> x509.CertificateSigningRequest:
    """Make a request, with changes."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(changes.get("subject", NAME))
    builder = builder.add_extension(x509.SubjectAlternativeName(changes.get("names", [URI])), critical=False)
    if "more" in changes:
        builder = builder.add_extension(*changes["more"])
    return builder.sign(changes.get("by", SUBJECT), changes.get("hashed", SHA256()))


BAD_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("CSR.ALGORITHM", {"hashed": SHA384()}),
    ("CSR.KEY", {"by": P384}),
    ("CSR.SUBJECT", {"subject": NOBODY}),
    ("CSR.EXTENSIONS", {"names": [URI, DNS]}),
    ("CSR.EXTENSIONS", {"more": CAS["basic"]}),
]


def test_what_keeps_to_the_rules_passes() -> None:
    lint_certificate(certificate(DOCTORS), DOCTOR, ISSUER.public_key())
    lint_certificate(certificate(CAS), IDENTITY_CA, ISSUER.public_key())
    lint_crl(crl(), ISSUER.public_key())
    lint_request(request())


@pytest.mark.parametrize(("rule", "profile", "make"), BAD_CERTIFICATES)
def test_certificate_rejected_by_the_rule_that_it_breaks(
    rule: str, profile: Profile, make: Callable[[], x509.Certificate]
) -> None:
    with pytest.raises(CertificateRejected, match=rf"^{rule} \(RFC "):
        lint_certificate(make(), profile, ISSUER.public_key())


@pytest.mark.parametrize(("rule", "changes"), BAD_LISTS)
def test_list_rejected_by_the_rule_that_it_breaks(rule: str, changes: dict[str, Any]) -> None:
    with pytest.raises(CertificateRejected, match=rf"^{rule} \(RFC "):
        lint_crl(crl(**changes), ISSUER.public_key())


@pytest.mark.parametrize(("rule", "changes"), BAD_REQUESTS)
def test_request_rejected_by_the_rule_that_it_breaks(rule: str, changes: dict[str, Any]) -> None:
    with pytest.raises(CertificateRejected, match=rf"^{rule} \(RFC "):
        lint_request(request(**changes))


def test_every_rule_has_something_that_breaks_it() -> None:
    tried = {rule for rule, *_ in (*BAD_CERTIFICATES, *BAD_LISTS, *BAD_REQUESTS)}
    assert tried == {rule.name for rules in (CERTIFICATE_RULES, CRL_RULES, REQUEST_RULES) for rule in rules}


class Counting(ec.EllipticCurvePrivateKey):
    """A key that counts what it signs."""

    curve, key_size = ISSUER.curve, ISSUER.key_size

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self.key, self.signed = key, 0

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        self.signed += 1
        return self.key.sign(data, signature_algorithm)

    def public_key(self):
        return self.key.public_key()

    exchange = private_bytes = private_numbers = __copy__ = __deepcopy__ = None


def test_certificate_rejected_before_the_cas_key_signs_anything() -> None:
    key = Counting(ISSUER)
    with pytest.raises(CertificateRejected, match=r"CERT\.SERIAL"):
        signed_certificate(built(DOCTORS, serial=1), key, DOCTOR)
    assert key.signed == 0
    signed_certificate(built(DOCTORS), key, DOCTOR).public_bytes(Encoding.DER)
    assert key.signed == 1


def test_certificate_rejected_if_what_was_signed_is_not_what_was_judged() -> None:
    class Changing:
        """A builder whose second certificate is another."""

        serials = iter((serial_number(ISSUER), serial_number(ISSUER)))

        def sign(self, key: ec.EllipticCurvePrivateKey, algorithm: SHA256) -> x509.Certificate:
            return built(DOCTORS, serial=next(self.serials)).sign(key, algorithm)

    with pytest.raises(CertificateRejected, match="SAME_AS_LINTED"):
        signed_certificate(Changing(), ISSUER, DOCTOR)


def test_serial_number_is_the_tokens_and_no_software_draws_it(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    key = token.generate_signing("medical-authority")
    monkeypatch.setattr(issuing.os, "urandom", lambda _size: pytest.fail("software drew a serial number"))
    monkeypatch.setattr(x509, "random_serial_number", lambda: pytest.fail("software drew a serial number"))

    def drawn() -> int:
        operations = token.metrics().operations
        return operations["RANDOM"].count if "RANDOM" in operations else 0

    before = drawn()
    authority = issuing.create_authority(key, "M:board", now=NOW)
    asked = issuing.request_certificate(SUBJECT, "D:chen")
    doctor = issuing.issue_doctor_certificate(authority, key, asked, "D:chen", now=NOW)
    assert drawn() == before + 2
    assert authority.serial_number != doctor.serial_number


def test_serial_numbers_are_positive_and_of_20_octets_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuing.os, "urandom", lambda size: b"\xff" * size)
    assert serial_number(ISSUER) == 2**159 - 1
