"""Cert_D: legal, in force, not revoked, this doctor's (B16)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from federation.errors import (
    CertificateExpired,
    CertificateForeign,
    CertificateIllegal,
    CertificateOutOfScope,
    CertificateRevoked,
    CredentialInvalid,
    StaleRevocationList,
)
from federation.protocol.anchors import Lists
from federation.protocol.doctor_certificate import verify_certificate
from federation.protocol.verifier import Verifier
from keystore import x509 as issuing
from keystore.curve import compressed
from keystore.x509_lint import AUTHORITY_LIFE
from tests.keys import new_key
from tests.mallory import refused


@pytest.fixture
def key():
    return new_key()


@pytest.fixture
def verify(federation, key):
    def run(der: bytes, doctor_id: str = "D:new", *, crls: tuple[bytes, ...] | None = None, of=None) -> None:
        cloud = federation.cloud
        crls = (federation.authority.crl(),) if crls is None else crls
        lists = Lists.read(cloud.anchors, cloud.revocation_head(), crls)
        verifying_key = compressed((of or key).public_key())
        now = federation.clock.now
        verify_certificate(
            der,
            authorities=cloud.anchors.authorities,
            lists=lists,
            doctor_id=doctor_id,
            verifying_key=verifying_key,
            now=now,
        )

    return run


@pytest.fixture
def certify(federation, key):
    def run(**changes) -> bytes:
        authority = federation.authority
        request = issuing.request_certificate(key, "D:new")
        arguments = {"now": federation.clock.moment, **changes}
        issued = issuing.issue_doctor_certificate(authority.certificate, authority.key, request, "D:new", **arguments)
        return issued.public_bytes(Encoding.DER)

    return run


def built(federation, key, *, ca=False, digital_signature=True, name="D:new", omit=(), critical=(), other=()) -> bytes:
    """Build what our own issuing would not, signed by the authority."""
    moment, authority = federation.clock.moment, federation.authority
    usage = dict.fromkeys(
        ["key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only", "decipher_only"], False
    )
    extensions = {
        "constraints": x509.BasicConstraints(ca=ca, path_length=None),
        "usage": x509.KeyUsage(
            digital_signature=digital_signature, content_commitment=False, key_cert_sign=ca, **usage
        ),
        "name": x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:medunion:" + name)]),
    }
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(hours=1))
    )
    for kind, extension in extensions.items():
        if kind not in omit:
            builder = builder.add_extension(extension, critical=False)
    for extension in critical:
        builder = builder.add_extension(extension, critical=True)
    for extension in other:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(authority.key, SHA256()).public_bytes(Encoding.DER)


def test_a_legal_certificate_is_taken(verify, certify):
    verify(certify())


@pytest.mark.parametrize("der", [b"", b"junk", b"0\x80"])
def test_what_is_no_certificate_is_illegal(verify, der):
    with refused(CertificateIllegal):
        verify(der)


def test_a_certificate_that_reads_late_is_illegal(verify, certify):
    """pyca reads names, extensions and the key only when asked: whatever byte is wrong, the reason is the same."""
    der = certify()
    for position in range(20, len(der), 3):
        changed = bytearray(der)
        changed[position] ^= 0x10
        if changed[15] & 0x80:
            continue
        with refused(CertificateIllegal):
            verify(bytes(changed))


def test_a_certificate_of_a_foreign_authority_is_illegal(verify, federation, key):
    other_key = new_key()
    other = issuing.create_authority(other_key, "M:elsewhere", now=federation.clock.moment)
    request = issuing.request_certificate(key, "D:new")
    issued = issuing.issue_doctor_certificate(other, other_key, request, "D:new", now=federation.clock.moment)
    with refused(CertificateIllegal):
        verify(issued.public_bytes(Encoding.DER))


def test_a_certificate_that_only_names_the_authority_is_illegal(verify, federation, key):
    other_key = new_key()
    pretended = issuing.create_authority(other_key, federation.authority.authority_id, now=federation.clock.moment)
    request = issuing.request_certificate(key, "D:new")
    issued = issuing.issue_doctor_certificate(pretended, other_key, request, "D:new", now=federation.clock.moment)
    with refused(CertificateIllegal):
        verify(issued.public_bytes(Encoding.DER))


def test_a_self_signed_certificate_is_illegal(verify, federation, key):
    certificate = issuing.create_authority(key, "D:new", now=federation.clock.moment)
    with refused(CertificateIllegal):
        verify(certificate.public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    "shape",
    [{"ca": True}, {"digital_signature": False}, {"omit": ("constraints",)}, {"omit": ("usage",)}],
    ids=["a CA's", "not for signatures", "no BasicConstraints", "no KeyUsage"],
)
def test_a_certificate_that_is_not_a_doctors_is_illegal(verify, federation, key, shape):
    verify(built(federation, key))
    with refused(CertificateIllegal):
        verify(built(federation, key, **shape))


def test_a_critical_extension_that_is_not_understood_is_illegal(verify, federation, key):
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    with refused(CertificateIllegal):
        verify(built(federation, key, critical=[unknown]))


PURPOSES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "document": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36"),
}


@pytest.mark.parametrize("as_what", ["critical", "other"])
def test_a_certificate_for_another_purpose_is_illegal(verify, federation, key, as_what):
    """An ExtendedKeyUsage that is not critical forbids as much (RFC 5280, section 4.2.1.12)."""
    elsewhere = ExtendedKeyUsageOID.SERVER_AUTH
    for purpose in PURPOSES.values():
        verify(built(federation, key, **{as_what: [x509.ExtendedKeyUsage([elsewhere, purpose])]}))
    for purposes in ([elsewhere], [ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.TIME_STAMPING]):
        with refused(CertificateIllegal):
            verify(built(federation, key, **{as_what: [x509.ExtendedKeyUsage(purposes)]}))


@pytest.mark.parametrize("scope", [(), ("D:chen",), ("D:new.*", "D:ne")])
def test_a_certificate_out_of_its_authoritys_scope_is_refused(verify, certify, federation, scope):
    """An authority of one hospital makes a doctor of another."""
    verify(certify())
    federation.authority.doctor_ids = scope
    federation.cloud.publish_bundle()
    with refused(CertificateOutOfScope):
        verify(certify())
    federation.authority.doctor_ids = [*scope, "D:new"]
    federation.cloud.publish_bundle()
    verify(certify())


def test_a_certificate_of_an_expired_authority_is_refused(verify, certify, federation):
    certificate = certify(now=federation.clock.moment + AUTHORITY_LIFE - timedelta(days=1))
    federation.clock.advance(AUTHORITY_LIFE - timedelta(minutes=1))
    verify(certificate)
    federation.clock.advance(timedelta(minutes=1))
    with refused(CertificateExpired):
        verify(certificate)


def test_an_expired_certificate_is_refused(verify, certify, federation):
    with refused(CertificateExpired):
        verify(certify(now=federation.clock.moment - timedelta(days=1), life=timedelta(days=1)))


def test_a_certificate_that_is_not_yet_valid_is_refused(verify, certify, federation):
    with refused(CertificateExpired):
        verify(certify(now=federation.clock.moment + timedelta(minutes=6)))


def test_a_revoked_certificate_is_refused(verify, certify, federation):
    certificate = certify()
    federation.authority.revoke(certificate)
    with refused(CertificateRevoked):
        verify(certificate)


def test_a_certificate_without_a_current_crl_is_refused_as_stale(verify, certify, federation):
    authority, moment = federation.authority, federation.clock.moment
    certificate = certify()
    old = issuing.issue_crl(authority.certificate, authority.key, [], 1000, now=moment - timedelta(hours=24))
    ahead = issuing.issue_crl(authority.certificate, authority.key, [], 1000, now=moment + timedelta(hours=1))
    forged = issuing.issue_crl(authority.certificate, new_key(), [], 1000, now=moment)
    for crls in ((), *((crl.public_bytes(Encoding.DER),) for crl in (old, ahead, forged))):
        with refused(StaleRevocationList):
            verify(certificate, crls=crls)


def test_another_doctors_certificate_is_foreign(verify, certify):
    with refused(CertificateForeign):
        verify(certify(), "D:roe")


def test_a_certificate_for_another_key_is_foreign(verify, certify):
    with refused(CertificateForeign):
        verify(certify(), of=new_key())


def test_a_certificate_that_names_nobody_is_foreign(verify, federation, key):
    with refused(CertificateForeign):
        verify(built(federation, key, omit=("name",)))


def test_a_certificate_other_than_the_credentials_is_refused(federation):
    """The authority issues a second one to the same doctor and key: CRED(D) still names the first."""
    second = federation.authority.certify(federation.doctor.keys, "D:chen")
    verifier: Verifier = federation.cloud.verifier()
    with refused(CredentialInvalid):
        verifier.doctor(federation.doctor.key_statement, second, now=federation.clock.now)


def test_no_authorities_means_no_doctor(federation, certify):
    anchors = federation.cloud.anchors
    nobody = replace(anchors, authorities=())
    with refused(CertificateIllegal):
        verify_certificate(
            certify(),
            authorities=nobody.authorities,
            lists=Lists(),
            doctor_id="D:new",
            verifying_key=bytes(32),
            now=federation.clock.now,
        )
