"""Lists that the cloud fetches from where authorities publish them: whose, how new and how good they have to be."""

import ipaddress
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from federation.cloud.authority_lists import AuthorityLists
from federation.cloud.directory import DirectoryVersion
from federation.cloud.node import PublicCloudNode
from federation.errors import FieldInvalid
from federation.party.crls import EVENT, MOST_CRL_BYTES
from federation.protocol.authorities import current_crl
from federation.v1.directory_pb2 import GetRevocationShardsRequest
from federation.wire.channel import Dialling
from federation.wire.fetching import Fetcher
from keystore.transcript import digest
from keystore.x509 import RevokedCertificate, create_authority, issue_crl
from tests.list_server import ListServer, list_server, redirected, trickling

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Board:
    """A medical authority whose key is in this process."""

    def __init__(self, authority_id: str = "M:board") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = create_authority(self.key, authority_id, now=NOW - DAY)

    def crl(self, number: int, *, at: datetime = NOW, revoked: int = 0) -> bytes:
        """Issue a list of this number, with so many revoked."""
        listed = [RevokedCertificate(2**150 + serial, at) for serial in range(revoked)]
        return issue_crl(self.certificate, self.key, listed, number, now=at).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ListServer]:
    """Give a server that publishes lists."""
    with list_server(tmp_path_factory.mktemp("lists")) as made:
        yield made


@pytest.fixture
def board(node: PublicCloudNode, server: ListServer) -> Board:
    """Give an authority that the cloud recognises, and whose list it fetches."""
    made = Board()
    node.add_authority(made.certificate, ["D:*"], server.url())
    return made


@pytest.fixture
def lists(node: PublicCloudNode, server: ListServer) -> AuthorityLists:
    """Give what fetches, and knows the server."""
    return AuthorityLists(node.cloud, node._authorities, Fetcher(MOST_CRL_BYTES, ca=server.ca, files=True))


def number_of(node: PublicCloudNode) -> int:
    (kept,) = node.authorities()
    return kept.crl_number


def crls_with_shards(version: DirectoryVersion, *held: bytes) -> list[bytes]:
    """Return the CRLs that come with shards to who has those."""
    answer = version.answer(GetRevocationShardsRequest(prefixes=[0], held_crls=held)).revocations
    first = next(version.all_shards(held))
    assert first.certificate_revocation_lists == answer.certificate_revocation_lists
    return list(first.certificate_revocation_lists)


def test_published_list_is_fetched_pinned_and_handed_to_everybody(
    node: PublicCloudNode, server: ListServer, board: Board, lists: AuthorityLists
) -> None:
    for number in (1, 2):
        board_list = server.files["/board.crl"] = board.crl(number)
        assert lists.fetch() == 1
        version = node.publish()
        assert list(version.directory.certificate_revocation_lists) == [board_list]
        (pin,) = version.verifier.lists.head.crls
        assert int.from_bytes(pin.number, "big") == number
        assert crls_with_shards(version) == [board_list]
        assert crls_with_shards(version, digest(board_list)) == []
        (authority,) = version.trust.anchors.authorities
        assert current_crl(authority, version.verifier.lists.crls, datetime.now(UTC)) == x509.load_der_x509_crl(
            board_list
        )
    assert lists.fetch() == 0
    assert node.publish().sequence == version.sequence


def test_list_as_pem_is_fetched_as_one_that_is_carried(
    node: PublicCloudNode, server: ListServer, board: Board, lists: AuthorityLists
) -> None:
    server.files["/board.crl"] = x509.load_der_x509_crl(board.crl(7)).public_bytes(Encoding.PEM)
    assert (lists.fetch(), number_of(node)) == (1, 7)


def test_url_is_in_the_trust_bundle_if_others_can_use_it(node: PublicCloudNode, board: Board, tmp_path: Path) -> None:
    (stated,) = node.publish().trust.content.medical_authorities
    assert stated.crl_url.startswith("https://localhost:")
    node.add_authority(board.certificate, ["D:*"])
    assert node.trust().content.medical_authorities[0].crl_url == stated.crl_url
    node.add_authority(board.certificate, ["D:*"], (tmp_path / "board.crl").as_uri())
    assert not node.trust().content.medical_authorities[0].HasField("crl_url")
    assert node.authorities()[0].crl_url == (tmp_path / "board.crl").as_uri()
    node.add_authority(board.certificate, ["D:*"], "")
    assert node.authorities()[0].crl_url is None


@pytest.mark.parametrize("url", ["http://localhost/a", "localhost", f"https://localhost/{'a' * 500}"])
def test_field_invalid_for_an_authority_with_another_url(node: PublicCloudNode, url: str) -> None:
    with pytest.raises(FieldInvalid):
        node.add_authority(Board().certificate, ["D:*"], url)
    assert node.authorities() == []


def test_list_in_a_file_is_fetched(node: PublicCloudNode, board: Board, lists: AuthorityLists, tmp_path: Path) -> None:
    published = tmp_path / "board.crl"
    node.add_authority(board.certificate, ["D:*"], published.as_uri())
    assert lists.fetch() == 0
    published.write_bytes(board.crl(3))
    assert (lists.fetch(), number_of(node)) == (1, 3)


def told_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(it.levelname, it.fields["reason"]) for it in caplog.records if it.message == EVENT]


def refused(case: str, board: Board) -> object:
    """Return what a server answers, instead of list 5, that follows list 4."""
    return {
        "wrong-signer": Board().crl(5),
        "older-number": board.crl(3),
        "expired": board.crl(5, at=NOW - 2 * DAY),
        "not-begun": board.crl(5, at=NOW + DAY),
        "no-list": b"0 what?",
        "oversize": board.crl(5) + bytes(MOST_CRL_BYTES),
        "redirect-to-file": redirected("file:///etc/hostname"),
        "redirect-elsewhere": redirected("https://192.0.2.1/board.crl"),
        "slow": trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"),
    }[case]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        *(
            (case, "CERTIFICATE_REJECTED")
            for case in ("wrong-signer", "older-number", "expired", "not-begun", "no-list")
        ),
        *((case, "NOT_FETCHED") for case in ("oversize", "redirect-to-file", "redirect-elsewhere", "slow")),
    ],
)
def test_what_is_not_the_authoritys_newer_current_list_changes_nothing(
    node: PublicCloudNode,
    server: ListServer,
    board: Board,
    lists: AuthorityLists,
    case: str,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "medunion.operations")
    lists._fetcher = replace(lists._fetcher, patience=timedelta(seconds=1 if case == "slow" else 30))
    lists.take(x509.load_der_x509_crl(board.crl(4)))
    server.files["/board.crl"] = refused(case, board)
    assert lists.fetch() == 0
    assert [told for _, told in told_of(caplog)] == [reason]
    assert number_of(node) == 4


def test_address_in_a_network_that_may_not_be_dialled_is_not_asked(
    node: PublicCloudNode, server: ListServer, board: Board, lists: AuthorityLists, caplog: pytest.LogCaptureFixture
) -> None:
    server.files["/board.crl"] = board.crl(1)
    server.asked.clear()
    elsewhere = Dialling((ipaddress.ip_network("192.0.2.0/24"),))
    lists._fetcher = replace(lists._fetcher, dialling=elsewhere)
    assert lists.fetch() == 0
    assert [told for _, told in told_of(caplog)] == ["NETWORK_FORBIDDEN"]
    assert server.asked == []


def test_authority_that_is_away_keeps_no_other_from_being_fetched(
    node: PublicCloudNode, server: ListServer, lists: AuthorityLists
) -> None:
    boards = Board("M:a"), Board("M:b"), Board("M:c")
    for made, path in zip(boards, ("/a", "/none", "/c"), strict=True):
        node.add_authority(made.certificate, ["D:*"], server.url(path))
    server.files |= {"/a": boards[0].crl(1), "/c": boards[2].crl(1)}
    assert lists.fetch() == 2
    assert [it.crl_number for it in node.authorities()] == [1, 0, 1]


@pytest.mark.parametrize(("age", "level"), [(0.4, "INFO"), (0.6, "WARNING")])
def test_failure_is_a_warning_from_half_the_life_of_the_list_at_hand_on(
    node: PublicCloudNode,
    server: ListServer,
    board: Board,
    lists: AuthorityLists,
    age: float,
    level: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "medunion.operations")
    node.put_crl(x509.load_der_x509_crl(board.crl(1, at=NOW - age * DAY)))
    server.files.pop("/board.crl", None)
    assert lists.fetch() == 0
    assert told_of(caplog) == [(level, "NOT_FETCHED")]


def test_list_is_carried_by_hand_as_before_and_a_fetched_one_follows_it(
    node: PublicCloudNode, server: ListServer, board: Board, lists: AuthorityLists
) -> None:
    assert node.put_crl(x509.load_der_x509_crl(board.crl(2))) == ("M:board", 2)
    server.files["/board.crl"] = board.crl(2)
    assert lists.fetch() == 0
    server.files["/board.crl"] = board.crl(3, revoked=2)
    assert (lists.fetch(), number_of(node)) == (1, 3)
