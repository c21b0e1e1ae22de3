"""Which CRL of a medical authority counts, and whom it may certify (RFC 5280, sections 4.2 and 5.2)."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from federation.errors import FieldInvalid, MalformedMessage, StaleRevocationList
from federation.protocol.authorities import Authority, crls_that_count, current_crl, pin_crl, scopes_of
from federation.v1.statement_pb2 import CrlPin
from keystore import x509 as issuing
from keystore.errors import CertificateRejected
from keystore.x509 import crl_number
from tests.keys import new_key

NOW = datetime.now(UTC).replace(microsecond=0)
KEY = new_key()
CERTIFICATE = issuing.create_authority(KEY, "M:chamber", now=NOW)
DER = CERTIFICATE.public_bytes(Encoding.DER)
AUTHORITY = Authority("M:chamber", CERTIFICATE, ("D:*",))
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
POINT = x509.IssuingDistributionPoint(
    full_name=None,
    relative_name=None,
    only_contains_user_certs=True,
    only_contains_ca_certs=False,
    only_some_reasons=None,
    indirect_crl=False,
    only_contains_attribute_certs=False,
)
OTHER_ISSUER = x509.CertificateIssuer([x509.UniformResourceIdentifier("urn:medunion:M:elsewhere")])


def crl(
    number: int | None,
    *extensions: tuple[x509.ExtensionType, bool],
    entry: tuple[x509.ExtensionType, bool] | None = None,
    key: ec.EllipticCurvePrivateKey = KEY,
    begin: datetime = NOW - timedelta(hours=1),
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(CERTIFICATE.subject)
        .last_update(begin)
        .next_update(begin + timedelta(days=1))
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    if entry is not None:
        revoked = x509.RevokedCertificateBuilder().serial_number(5).revocation_date(NOW)
        builder = builder.add_revoked_certificate(revoked.add_extension(entry[0], critical=entry[1]).build())
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def chosen(*crls: bytes, pin: CrlPin | None = None) -> bytes:
    pins = [pin if pin is not None else pin_crl(DER, 1, b"")]
    return current_crl(AUTHORITY, crls_that_count([AUTHORITY], crls, pins), NOW).public_bytes(Encoding.DER)


BAD = {
    "no-number": crl(None),
    "delta": crl(7, (x509.DeltaCRLIndicator(6), True)),
    "delta-not-critical": crl(7, (x509.DeltaCRLIndicator(6), False)),
    "part": crl(7, (POINT, True)),
    "part-not-critical": crl(7, (POINT, False)),
    "unknown-critical": crl(7, (UNKNOWN, True)),
    "entry-of-another-issuer": crl(7, entry=(OTHER_ISSUER, True)),
    "entry-unknown-critical": crl(7, entry=(UNKNOWN, True)),
    "forged": crl(7, key=new_key()),
}


@pytest.mark.parametrize("kind", BAD)
def test_e8_stale_revocation_list_where_the_only_crl_does_not_count(kind: str) -> None:
    with pytest.raises(StaleRevocationList):
        chosen(BAD[kind])


@pytest.mark.parametrize("kind", BAD)
def test_crl_that_does_not_count_hides_no_other(kind: str) -> None:
    good = crl(2)
    assert chosen(BAD[kind], good) == good
    assert chosen(good, BAD[kind]) == good


@pytest.mark.parametrize("kind", BAD)
def test_certificate_rejected_for_a_crl_that_does_not_count(kind: str) -> None:
    """The same rule at the cloud's door: what it would not go by, it does not take."""
    with pytest.raises(CertificateRejected):
        crl_number(x509.load_der_x509_crl(BAD[kind]), CERTIFICATE)


@pytest.mark.parametrize(
    "extension",
    [(UNKNOWN, False), (issuing._issuer_id(KEY), True), (issuing._issuer_id(KEY), False)],
    ids=["unknown", "critical-issuer", "issuer"],
)
def test_crl_with_what_may_be_passed_over_or_is_understood_counts(extension: tuple[x509.ExtensionType, bool]) -> None:
    entry = x509.CRLReason(x509.ReasonFlags.key_compromise), True
    good = crl(2, extension, entry=entry)
    assert chosen(good) == good


def test_highest_number_counts_in_whatever_order_they_come() -> None:
    lower, higher = crl(255), crl(256)
    assert chosen(lower, higher) == chosen(higher, lower) == higher


def test_crl_of_a_lower_number_counts_while_the_higher_has_not_begun() -> None:
    lower, ahead = crl(3), crl(4, begin=NOW + timedelta(hours=1))
    assert chosen(lower, ahead) == lower


def test_crl_older_than_the_pinned_one_is_stale() -> None:
    """A relay hands out yesterday's, which does not know the doctor that was struck off since; it is still current."""
    yesterdays, todays = crl(255), crl(256)
    assert chosen(yesterdays, pin=pin_crl(DER, 255, yesterdays)) == yesterdays
    with pytest.raises(StaleRevocationList):
        chosen(yesterdays, pin=pin_crl(DER, 256, todays))


def test_another_crl_of_the_pinned_number_is_stale() -> None:
    pinned, other = crl(9), crl(9, begin=NOW - timedelta(hours=2))
    assert chosen(pinned, other, pin=pin_crl(DER, 9, pinned)) == pinned
    with pytest.raises(StaleRevocationList):
        chosen(other, pin=pin_crl(DER, 9, pinned))


def test_crl_of_an_authority_that_the_list_does_not_name_is_stale() -> None:
    with pytest.raises(StaleRevocationList):
        chosen(crl(9), pin=pin_crl(b"another certificate", 1, b""))


@pytest.mark.parametrize(
    ("number", "octets"), [(0, b""), (1, b"\x01"), (256, b"\x01\x00"), (2**159, b"\x80" + bytes(19))]
)
def test_number_is_pinned_as_octets_without_leading_zeros(number: int, octets: bytes) -> None:
    assert pin_crl(DER, number, b"").number == octets


@pytest.mark.parametrize("der", [b"", b"junk", DER])
def test_what_is_no_crl_is_malformed(der: bytes) -> None:
    with pytest.raises(MalformedMessage):
        crls_that_count([AUTHORITY], [der], [])


@pytest.mark.parametrize(
    ("scope", "certified"),
    [
        (("D:*",), {"D:chen", "D:alpha.roe", "D:alpha"}),
        (("D:alpha.*",), {"D:alpha.roe"}),
        (("D:alpha",), {"D:alpha"}),
        (("D:chen", "D:alpha*"), {"D:chen", "D:alpha.roe", "D:alpha"}),
        ((), set()),
    ],
)
def test_authority_certifies_within_its_scope_alone(scope: tuple[str, ...], certified: set[str]) -> None:
    authority = Authority("M:chamber", CERTIFICATE, scope)
    assert {it for it in ("D:chen", "D:alpha.roe", "D:alpha") if authority.certifies(it)} == certified


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("D:*", True),
        ("D:chen", True),
        ("D:alpha.*", True),
        (f"D:{'a' * 63}*", True),
        (f"D:{'a' * 64}*", False),
        ("D:", False),
        ("*", False),
        ("D:a*b", False),
        ("D:**", False),
        ("P:*", False),
        ("D:a b", False),
        ("D:chen\n", False),
    ],
)
def test_scope_is_an_id_or_the_beginning_of_ids(text: str, expected: bool) -> None:
    if expected:
        assert scopes_of(["D:*", text]) == ("D:*", text)
    else:
        with pytest.raises(FieldInvalid):
            scopes_of(["D:*", text])
