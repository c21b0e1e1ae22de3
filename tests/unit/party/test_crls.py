"""Lists that a hospital fetches itself while the cloud is silent: beside the cloud's, by the cloud's pins."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from federation.errors import CertificateRevoked, StaleRevocationList
from federation.party.crls import CLOUD_SILENT, MOST_CRL_BYTES
from federation.protocol.authorities import current_crl
from federation.wire.fetching import Fetcher
from keystore.errors import CertificateRejected
from keystore.x509 import crl_number, issue_crl
from tests.list_server import ListServer, list_server
from tests.simulator import Authority, Federation

SILENT = CLOUD_SILENT + timedelta(minutes=1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ListServer]:
    """Give a server that publishes lists."""
    with list_server(tmp_path) as made:
        yield made


@pytest.fixture
def federation(own_federation: Federation, server: ListServer) -> Federation:
    """Give a federation whose trust bundle says where its authority publishes."""
    own_federation.authority.crl_url = server.url()
    own_federation.cloud.publish_bundle()
    own_federation.refresh()
    return own_federation


def follow(federation: Federation, server: ListServer) -> None:
    federation.hospital_a.follow_authorities(Fetcher(MOST_CRL_BYTES, ca=server.ca), federation.clock.now)


def number_at_hand(federation: Federation) -> int:
    lists = federation.hospital_a.verifier().lists
    (authority,) = federation.hospital_a.anchors.authorities
    return crl_number(current_crl(authority, lists.crls, federation.clock.moment), authority.certificate)


def require_doctor(federation: Federation) -> None:
    doctor, verifier = federation.doctor, federation.hospital_a.verifier()
    verifier.doctor(doctor.key_statement, doctor.certificate, now=federation.clock.now)


def test_revoked_doctor_is_refused_by_a_hospital_that_hears_of_it_from_the_authority_alone(
    federation: Federation, server: ListServer
) -> None:
    """The cloud is silent: nothing it says names the CRL, whose number is above the one that it pinned."""
    before = number_at_hand(federation)
    federation.clock.advance(SILENT)
    federation.authority.revoke(federation.doctor.certificate)
    server.files["/board.crl"] = federation.authority.crl()
    require_doctor(federation)
    follow(federation, server)
    assert number_at_hand(federation) > before
    with pytest.raises(CertificateRevoked):
        require_doctor(federation)


def test_doctors_go_on_where_the_list_that_the_cloud_knew_has_ended(federation: Federation, server: ListServer) -> None:
    federation.clock.advance(timedelta(hours=23, minutes=30))
    federation.cloud.authority._said = federation.clock.now, 0  # the authority made none meanwhile
    federation.refresh()
    federation.clock.advance(timedelta(minutes=40))
    with pytest.raises(StaleRevocationList):
        number_at_hand(federation)
    federation.cloud.authority._said = None
    server.files["/board.crl"] = federation.authority.crl()
    follow(federation, server)
    require_doctor(federation)


def test_authority_is_not_asked_while_the_cloud_speaks(federation: Federation, server: ListServer) -> None:
    server.files["/board.crl"] = federation.authority.crl()
    federation.clock.advance(CLOUD_SILENT - timedelta(seconds=1))
    follow(federation, server)
    assert server.asked == []


def test_what_was_fetched_gives_way_to_what_the_cloud_pins_later(federation: Federation, server: ListServer) -> None:
    federation.clock.advance(SILENT)
    server.files["/board.crl"] = federation.authority.crl()
    follow(federation, server)
    fetched = number_at_hand(federation)
    federation.clock.advance(timedelta(minutes=1))
    federation.refresh()
    assert number_at_hand(federation) > fetched


def test_older_list_is_not_taken_and_one_that_cannot_be_fetched_changes_nothing(
    federation: Federation, server: ListServer
) -> None:
    server.files["/board.crl"] = federation.authority.crl()
    federation.clock.advance(timedelta(seconds=1))
    federation.refresh()
    newest = number_at_hand(federation)
    federation.clock.advance(SILENT)
    follow(federation, server)
    assert (number_at_hand(federation), server.asked) == (newest, ["/board.crl"])
    del server.files["/board.crl"]
    follow(federation, server)
    assert number_at_hand(federation) == newest


def test_hospital_reads_no_file_that_a_bundle_names(federation: Federation, server: ListServer, tmp_path: Path) -> None:
    """Only the operator of the cloud names files, to its own cloud; a bundle that did would have every hospital read them."""
    published = tmp_path / "board.crl"
    federation.authority.crl_url = published.as_uri()
    federation.cloud.publish_bundle()
    federation.refresh()
    newest = number_at_hand(federation)
    federation.clock.advance(SILENT)
    published.write_bytes(federation.authority.crl())
    follow(federation, server)
    assert number_at_hand(federation) == newest


def test_list_that_is_carried_to_a_hospital_counts_for_all_its_processes(
    federation: Federation, server: ListServer
) -> None:
    """The authority publishes nothing that can be reached, and the cloud is silent for longer than its list holds."""
    hospital = federation.hospital_a
    federation.clock.advance(timedelta(hours=23, minutes=30))
    federation.authority._said = federation.clock.now, 0  # the authority made none meanwhile
    federation.refresh()
    federation.clock.advance(timedelta(minutes=40))
    with pytest.raises(StaleRevocationList):
        number_at_hand(federation)
    federation.authority._said = None
    federation.authority.revoke(federation.other_doctor.certificate)
    authority_id, number = hospital.bring_crl(x509.load_der_x509_crl(federation.authority.crl()), federation.clock.now)
    assert (authority_id, number) == ("M:chamber", federation.authority.crl_number)
    follow(federation, server)
    assert number_at_hand(federation) == number
    require_doctor(federation)


def test_list_that_is_carried_here_is_refused_where_it_is_older_another_authoritys_or_over(
    federation: Federation,
) -> None:
    federation.clock.advance(timedelta(minutes=1))
    federation.refresh()
    hospital, authority, now = federation.hospital_a, federation.authority, federation.clock.now
    older = issue_crl(authority.certificate, authority.key, [], 1, now=federation.clock.moment)
    with pytest.raises(CertificateRejected, match="older"):
        hospital.bring_crl(older, now)
    over = issue_crl(authority.certificate, authority.key, [], 99, now=federation.clock.moment - timedelta(days=2))
    with pytest.raises(CertificateRejected, match="over"):
        hospital.bring_crl(over, now)
    other = Authority(federation.make_token("authority"), federation.clock, "M:other")
    with pytest.raises(CertificateRejected, match="no authority"):
        hospital.bring_crl(x509.load_der_x509_crl(other.crl()), now)
