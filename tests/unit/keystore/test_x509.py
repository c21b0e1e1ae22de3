"""Certificates: what may be issued, what is refused, and a chain that OpenSSL itself verifies."""

import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from keystore import x509 as issuing
from keystore.errors import CertificateRejected

NOW = datetime.now(UTC).replace(microsecond=0)
ROOT_KEY, HOSPITAL_KEY, AUTHORITY_KEY, DOCTOR_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
ROOT = issuing.create_tls_ca(ROOT_KEY, "test", now=NOW)
IDENTITY_CA = issuing.issue_identity_ca(
    ROOT, ROOT_KEY, issuing.request_certificate(HOSPITAL_KEY, "H:alpha"), "H:alpha", now=NOW
)
AUTHORITY = issuing.create_authority(AUTHORITY_KEY, "M:chamber", now=NOW)
REQUEST = issuing.request_certificate(DOCTOR_KEY, "D:chen")


def openssl_verify(path, chain: bytes) -> subprocess.CompletedProcess[str]:
    """Verify a leaf with its chain against the root, by OpenSSL's own program."""
    blocks = [block + b"-----END CERTIFICATE-----\n" for block in chain.split(b"-----END CERTIFICATE-----\n")[:-1]]
    for name, content in {
        "root.pem": ROOT.public_bytes(Encoding.PEM),
        "leaf.pem": blocks[0],
        "chain.pem": b"".join(blocks[1:]) or ROOT.public_bytes(Encoding.PEM),
    }.items():
        (path / name).write_bytes(content)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "root.pem"]
    return subprocess.run(
        [*command, "-untrusted", "chain.pem", "leaf.pem"], cwd=path, capture_output=True, text=True, check=False
    )


def test_a_hospitals_leaf_verifies_under_openssl(tmp_path):
    leaf = issuing.issue_leaf(IDENTITY_CA, HOSPITAL_KEY, "H:alpha", now=NOW)
    result = openssl_verify(tmp_path, leaf.chain)
    assert result.returncode == 0, result.stderr


def test_the_clouds_leaf_verifies_under_openssl(tmp_path):
    leaf = issuing.issue_leaf(ROOT, ROOT_KEY, "C:union", now=NOW)
    assert leaf.chain.count(b"BEGIN CERTIFICATE") == 1
    result = openssl_verify(tmp_path, leaf.chain)
    assert result.returncode == 0, result.stderr


def test_a_leaf_in_another_hospitals_name_is_refused_by_name_constraints(tmp_path):
    leaf = issuing.issue_leaf(IDENTITY_CA, HOSPITAL_KEY, "H:beta", now=NOW)
    result = openssl_verify(tmp_path, leaf.chain)
    assert result.returncode != 0
    assert "permitted subtree violation" in result.stderr


def test_a_leaf_in_the_clouds_name_is_refused_by_name_constraints(tmp_path):
    leaf = issuing.issue_leaf(IDENTITY_CA, HOSPITAL_KEY, "C:alpha", now=NOW)
    assert openssl_verify(tmp_path, leaf.chain).returncode != 0


def test_name_constraints_are_critical_and_name_one_hospital():
    extension = IDENTITY_CA.extensions.get_extension_for_class(x509.NameConstraints)
    assert extension.critical
    nobody = "nowhere.invalid"  # of URIs and mail addresses, whose forms would be free otherwise
    permitted = [name.value for name in extension.value.permitted_subtrees or ()]
    assert permitted == ["alpha.hospital.medunion.internal", nobody, nobody]
    assert len(extension.value.excluded_subtrees or ()) == 2  # no address of either family


@pytest.mark.parametrize(
    "name",
    [
        x509.UniformResourceIdentifier("https://beta.hospital.medunion.internal"),
        x509.UniformResourceIdentifier("urn:medunion:H:beta"),
        x509.UniformResourceIdentifier("beta.hospital.medunion.internal"),
        x509.RFC822Name("nobody@beta.hospital.medunion.internal"),
        x509.IPAddress(ip_address("127.0.0.1")),
    ],
    ids=["url", "urn", "no-uri", "mail", "address"],
)
def test_a_leaf_with_a_name_of_another_form_is_refused_by_name_constraints(tmp_path, name):
    alpha = x509.DNSName("alpha.hospital.medunion.internal")
    assert openssl_verify(tmp_path, _leaf_named([alpha])).returncode == 0
    assert openssl_verify(tmp_path, _leaf_named([alpha, name])).returncode != 0


def _leaf_named(names):
    """Give what a hospital that does not use our code can make with its identity CA: a leaf with any names, and the chain."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")]))
        .issuer_name(IDENTITY_CA.subject)
        .public_key(HOSPITAL_KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(HOSPITAL_KEY.public_key()), critical=False)
    )
    leaf = builder.sign(HOSPITAL_KEY, SHA256())
    return leaf.public_bytes(Encoding.PEM) + IDENTITY_CA.public_bytes(Encoding.PEM)


def test_a_leaf_lives_for_hours_and_an_expired_one_is_refused(tmp_path):
    leaf = issuing.issue_leaf(IDENTITY_CA, HOSPITAL_KEY, "H:alpha", now=NOW)
    assert leaf.not_after - NOW == timedelta(hours=12)
    old = issuing.issue_leaf(IDENTITY_CA, HOSPITAL_KEY, "H:alpha", now=NOW - timedelta(hours=13))
    result = openssl_verify(tmp_path, old.chain)
    assert result.returncode != 0
    assert "expired" in result.stderr


def test_a_tls_leafs_key_is_shown_by_no_repr():
    leaf = issuing.issue_leaf(ROOT, ROOT_KEY, "C:union", now=NOW)
    assert "PRIVATE" not in repr(leaf)


@pytest.mark.parametrize(
    ("identity", "name"),
    [("H:alpha", "alpha.hospital.medunion.internal"), ("C:union", "union.cloud.medunion.internal")],
)
def test_tls_names_say_who(identity, name):
    assert issuing.tls_name(identity) == name
    assert issuing.identity_of_tls_name(name) == identity


@pytest.mark.parametrize(
    "name", ["alpha.hospital.example", "hospital.medunion.internal", "alpha.doctor.medunion.internal", "alpha"]
)
def test_a_foreign_tls_name_names_nobody(name):
    assert issuing.identity_of_tls_name(name) is None


def test_a_doctors_certificate_holds_name_key_and_use():
    certificate = issuing.issue_doctor_certificate(AUTHORITY, AUTHORITY_KEY, REQUEST, "D:chen", now=NOW)
    certificate.verify_directly_issued_by(AUTHORITY)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:medunion:D:chen"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.public_key() == DOCTOR_KEY.public_key()


def test_doctors_certificate_names_person_and_profession_beside_the_identity():
    certificate = issuing.issue_doctor_certificate(
        AUTHORITY, AUTHORITY_KEY, REQUEST, "D:chen", now=NOW, person="Dr. Änne Chen", profession="Cardiologist"
    )
    assert [(it.oid, it.value) for it in certificate.subject] == [
        (NameOID.USER_ID, "D:chen"),
        (NameOID.COMMON_NAME, "Dr. Änne Chen"),
        (NameOID.TITLE, "Cardiologist"),
    ]
    with pytest.raises(CertificateRejected):
        issuing.issue_doctor_certificate(AUTHORITY, AUTHORITY_KEY, REQUEST, "D:chen", now=NOW, person="x" * 65)


def test_a_request_for_another_identity_is_refused():
    with pytest.raises(CertificateRejected, match="does not name D:roe"):
        issuing.issue_doctor_certificate(AUTHORITY, AUTHORITY_KEY, REQUEST, "D:roe", now=NOW)


def test_a_request_without_possession_of_its_key_is_refused():
    """The key of another doctor in a request that Mallory signs."""
    stolen = bytearray(REQUEST)
    stolen[-1] ^= 1
    with pytest.raises(CertificateRejected, match="possession"):
        issuing.requested_key(bytes(stolen), "D:chen")


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()])
def test_a_request_for_a_key_on_another_curve_is_refused(curve):
    name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:medunion:D:chen")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(name, critical=False)
    request = builder.sign(ec.generate_private_key(curve), SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(CertificateRejected, match="not for a key on P-256"):
        issuing.requested_key(request, "D:chen")


def test_a_request_that_is_signed_another_way_is_refused():
    name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:medunion:D:chen")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(name, critical=False)
    with pytest.raises(CertificateRejected, match="ecdsa-with-SHA256"):
        issuing.requested_key(builder.sign(DOCTOR_KEY, SHA384()).public_bytes(Encoding.DER), "D:chen")


def test_a_request_without_a_name_is_refused():
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    with pytest.raises(CertificateRejected, match="no certificate request"):
        issuing.requested_key(builder.sign(DOCTOR_KEY, SHA256()).public_bytes(Encoding.DER), "D:chen")


def test_a_request_that_reads_late_is_refused():
    """Version and algorithms are read by pyca only when asked for, with errors of its own kinds."""
    version = REQUEST.index(b"\x02\x01\x00")
    algorithm = REQUEST.index(bytes.fromhex("06082a8648ce3d040302"))
    for position in (version + 2, algorithm + 9):
        changed = bytearray(REQUEST)
        changed[position] ^= 0x20
        with pytest.raises(CertificateRejected):
            issuing.requested_key(bytes(changed), "D:chen")


@pytest.mark.parametrize("request_bytes", [b"", b"junk", REQUEST[:-1]])
def test_what_is_no_request_is_refused(request_bytes):
    with pytest.raises(CertificateRejected):
        issuing.requested_key(request_bytes, "D:chen")


def test_a_crl_names_the_revoked_and_its_time():
    certificate = issuing.issue_doctor_certificate(AUTHORITY, AUTHORITY_KEY, REQUEST, "D:chen", now=NOW)
    entry = issuing.RevokedCertificate(certificate.serial_number, NOW)
    crl = issuing.issue_crl(AUTHORITY, AUTHORITY_KEY, [entry], 7, now=NOW)
    assert crl.is_signature_valid(AUTHORITY_KEY.public_key())
    assert crl.issuer == AUTHORITY.subject
    assert crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    assert crl.get_revoked_certificate_by_serial_number(certificate.serial_number + 1) is None
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert crl.next_update_utc == NOW + timedelta(hours=24)


def test_identities_of_64_characters_get_certificates(tmp_path):
    """A common name holds 64 characters, an identity up to 66 (RFC 5280, appendix A: ub-common-name)."""
    name, hospital = "D:" + "c" * 64, "H:" + "h" * 63
    authority = issuing.create_authority(AUTHORITY_KEY, "M:" + "m" * 64, now=NOW)
    request = issuing.request_certificate(DOCTOR_KEY, name)
    issuing.issue_doctor_certificate(authority, AUTHORITY_KEY, request, name, now=NOW).verify_directly_issued_by(
        authority
    )
    request = issuing.request_certificate(HOSPITAL_KEY, hospital)
    identity_ca = issuing.issue_identity_ca(ROOT, ROOT_KEY, request, hospital, now=NOW)
    leaf = issuing.issue_leaf(identity_ca, HOSPITAL_KEY, hospital, now=NOW)
    result = openssl_verify(tmp_path, leaf.chain)
    assert result.returncode == 0, result.stderr


def test_certificate_whose_issuer_has_a_key_of_no_known_kind_is_issued_by_nobody():
    der, kind = ROOT.public_bytes(Encoding.DER), bytes.fromhex("06072a8648ce3d0201")
    strange = x509.load_der_x509_certificate(der.replace(kind, kind[:-1] + b"\x7f"))
    assert issuing.is_issued_by(ROOT, ROOT)
    assert not issuing.is_issued_by(ROOT, strange)
    with pytest.raises(CertificateRejected):
        issuing.require_tls_ca(strange, ROOT_KEY, "test", now=NOW)


def test_certificate_that_is_signed_another_way_is_issued_by_nobody():
    """By the right key: whoever reads SHA-384 or P-384 somewhere else is not everybody."""
    key = ec.generate_private_key(ec.SECP384R1())
    builder = issuing._builder(ROOT.subject, ROOT.subject, ROOT_KEY.public_key(), ROOT_KEY, NOW, timedelta(days=1))
    other = issuing._builder(ROOT.subject, ROOT.subject, key.public_key(), key, NOW, timedelta(days=1)).sign(
        key, SHA256()
    )
    assert issuing.is_issued_by(builder.sign(ROOT_KEY, SHA256()), ROOT)
    assert not issuing.is_issued_by(builder.sign(ROOT_KEY, SHA384()), ROOT)
    assert not issuing.is_issued_by(other, other)


def test_nothing_is_signed_by_a_key_on_another_curve():
    key = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(CertificateRejected, match=r"CERT\.ALGORITHM"):
        issuing.create_tls_ca(key, "test", now=NOW)
    with pytest.raises(CertificateRejected, match=r"CRL\.ALGORITHM"):
        issuing.issue_crl(AUTHORITY, key, [], 1, now=NOW)
    with pytest.raises(CertificateRejected, match=r"CSR\.KEY"):
        issuing.request_certificate(key, "D:chen")


def test_a_list_that_is_signed_another_way_is_not_the_authoritys():
    builder = x509.CertificateRevocationListBuilder().issuer_name(AUTHORITY.subject).last_update(NOW)
    builder = builder.next_update(NOW + timedelta(hours=1)).add_extension(x509.CRLNumber(1), critical=False)
    assert issuing.crl_number(builder.sign(AUTHORITY_KEY, SHA256()), AUTHORITY) == 1
    with pytest.raises(CertificateRejected, match="not signed by this authority"):
        issuing.crl_number(builder.sign(AUTHORITY_KEY, SHA384()), AUTHORITY)


def test_certificate_with_a_turned_bit_is_rejected_or_can_be_read_whole() -> None:
    sound = AUTHORITY.public_bytes(Encoding.DER)
    for position in range(8 * len(sound)):
        turned = bytearray(sound)
        turned[position // 8] ^= 1 << position % 8
        with suppress(CertificateRejected):
            read = issuing.read_certificate(bytes(turned))
            assert all(map(str, (read.subject, read.issuer, read.extensions, read.public_key(), read.serial_number)))


def test_certificate_rejected_if_its_serial_number_is_not_positive() -> None:
    sound = AUTHORITY.public_bytes(Encoding.DER)
    serial = sound.index(b"\x02\x01\x02\x02") + 5  # behind the version
    with pytest.raises(CertificateRejected, match="not positive"):
        issuing.read_certificate(sound[:serial] + bytes([sound[serial] | 0x80]) + sound[serial + 1 :])
