"""A hospital names another one in its TLS certificate, in every form that a certificate has for names (threat model)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from federation.errors import RoleForbidden
from federation.v1.membership_pb2 import IssueTicketRequest
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from federation.v1.record_pb2 import GetHospitalRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.wire.channel import open_channel
from keystore.x509 import TLS_DOMAIN, TlsLeaf, issue_identity_ca, request_certificate, tls_name
from tests.keys import new_key
from tests.unit.wire.conftest import Authority, Bench, authority, peer_bench, served

__all__ = ["authority", "peer_bench"]

Names = list[x509.GeneralName]
ALPHA, BETA = tls_name("H:alpha"), tls_name("H:beta")


class Rogue:
    """Hospital alpha, which makes whatever leaf it likes."""

    def __init__(self, authority: Authority) -> None:
        self._key, self._now = new_key(), datetime.now(UTC)
        request = request_certificate(self._key, "H:alpha")
        self._ca = issue_identity_ca(authority.ca, authority.key, request, "H:alpha", now=self._now)
        if authority.ca.extensions.get_extension_for_class(x509.NameConstraints).value == _DNS_ALONE:
            self._ca = _constrained(self._ca, authority.key, x509.NameConstraints([x509.DNSName(ALPHA)], None))

    def leaf(self, names: Names, common_name: str = "leaf") -> TlsLeaf:
        key, ends_at = ec.generate_private_key(ec.SECP256R1()), self._now + timedelta(hours=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self._ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - timedelta(minutes=1))
            .not_valid_after(ends_at)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        chain = builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM) + self._ca.public_bytes(Encoding.PEM)
        return TlsLeaf(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), chain, ends_at)


_DNS_ALONE = x509.NameConstraints([x509.DNSName(TLS_DOMAIN)], None)


def _constrained(
    ca: x509.Certificate, key: ec.EllipticCurvePrivateKey, constraints: x509.NameConstraints
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(ca.subject)
        .issuer_name(ca.issuer)
        .public_key(ca.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(ca.not_valid_after_utc)
    )
    for extension in ca.extensions:
        is_constraint = isinstance(extension.value, x509.NameConstraints)
        builder = builder.add_extension(constraints if is_constraint else extension.value, extension.critical)
    return builder.sign(key, SHA256())


@pytest.fixture
def loose() -> Authority:
    """Give a TLS CA that is constrained in DNS names alone, as are the CAs that it certifies."""
    made = Authority()
    made.ca = _constrained(made.ca, made.key, _DNS_ALONE)
    made.root_pem = made.ca.public_bytes(Encoding.PEM)
    return made


FORMS: dict[str, Callable[[str], x509.GeneralName]] = {
    "uri": x509.UniformResourceIdentifier,
    "url": lambda name: x509.UniformResourceIdentifier(f"https://{name}"),
    "mail": lambda name: x509.RFC822Name(f"x@{name}"),
    "registered-id": lambda _: x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    "directory": lambda name: x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])),
    "other": lambda name: x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7"), _ia5(name)),
}


def _ia5(text: str) -> bytes:
    return bytes([0x16, len(text)]) + text.encode()


def _ticket(bench: Bench, leaf: TlsLeaf) -> bytes:
    with bench.channel(leaf) as channel:
        return MembershipServiceStub(channel).IssueTicket(IssueTicketRequest(), timeout=10).ticket


@pytest.mark.parametrize("form", FORMS)
def test_e5_a_hospital_is_known_by_its_dns_name_alone(loose: Authority, form: str) -> None:
    """Whatever the CAs let pass: a URI once made alpha beta, or a hospital that doesn't exist."""
    rogue, other = Rogue(loose), FORMS[form](BETA)
    with served(Bench(loose), require_client_certificate=True) as bench:
        assert _ticket(bench, rogue.leaf([x509.DNSName(ALPHA)])) == b"H:alpha"
        assert _ticket(bench, rogue.leaf([x509.DNSName(ALPHA), other])) == b"H:alpha"
        with pytest.raises(grpc.RpcError) as raised:
            _ticket(bench, rogue.leaf([other]))
        assert raised.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert [event.reason for event in bench.audited] == [RoleForbidden.reason]


@pytest.mark.parametrize("form", ["uri", "url", "mail"])
def test_an_identity_ca_signs_no_name_of_another_form(peer_bench: Bench, authority: Authority, form: str) -> None:
    rogue = Rogue(authority)
    assert _ticket(peer_bench, rogue.leaf([x509.DNSName(ALPHA)])) == b"H:alpha"
    with pytest.raises(grpc.RpcError) as raised:
        _ticket(peer_bench, rogue.leaf([x509.DNSName(ALPHA), FORMS[form](BETA)]))
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("names", [[x509.DNSName(BETA)], [x509.DNSName(ALPHA), x509.DNSName(BETA)], []])
def test_an_identity_ca_signs_no_other_hospitals_dns_name(
    peer_bench: Bench, authority: Authority, names: Names
) -> None:
    """Nor as a common name, which some take for a DNS name where there is no other."""
    with pytest.raises(grpc.RpcError) as raised:
        _ticket(peer_bench, Rogue(authority).leaf(names, common_name=BETA))
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_two_names_of_its_own_name_nobody(peer_bench: Bench, authority: Authority) -> None:
    leaf = Rogue(authority).leaf([x509.DNSName(ALPHA), x509.DNSName(f"a.{ALPHA}")])
    with pytest.raises(grpc.RpcError) as raised:
        _ticket(peer_bench, leaf)
    assert raised.value.code() == grpc.StatusCode.PERMISSION_DENIED


class Impostor(Authority):
    """A TLS CA, and at its port a server of alpha's that would be taken for beta."""

    form: str = "uri"

    def cloud_leaf(self, now: datetime) -> TlsLeaf:
        return Rogue(self).leaf([x509.DNSName(ALPHA), FORMS[self.form](BETA)])


def _asked_for(authority: Authority, hospital_id: str) -> grpc.StatusCode:
    with (
        served(Bench(authority)) as bench,
        open_channel(f"127.0.0.1:{bench.port}", hospital_id, authority.root_pem) as channel,
    ):
        try:
            RecordServiceStub(channel).GetHospital(GetHospitalRequest(), timeout=10)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


@pytest.mark.parametrize("form", FORMS)
def test_a_server_is_not_taken_for_another_by_a_name_of_another_form(loose: Authority, form: str) -> None:
    impostor = Impostor()
    impostor.ca, impostor.key, impostor.root_pem, impostor.form = loose.ca, loose.key, loose.root_pem, form
    assert _asked_for(impostor, "H:alpha") == grpc.StatusCode.OK
    assert _asked_for(impostor, "H:beta") == grpc.StatusCode.UNAVAILABLE
