"""Fetching by URL: https and nothing that leads elsewhere; bounded in size and time; into networks that may be dialled alone."""

import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import FieldInvalid, Unavailable
from federation.wire.channel import Dialling, NetworkForbidden
from federation.wire.fetching import Fetcher, NotFetched, require_url
from tests.list_server import Handler, ListServer, list_server, redirected, trickling
from tests.time_authority import TimeAuthority, time_server
from tests.unit.wire.test_channel import Proxy

MOST = 1000
LOOPBACK = Dialling((ipaddress.ip_network("127.0.0.0/8"),))
ELSEWHERE = Dialling((ipaddress.ip_network("192.0.2.0/24"),))
BRIEF = timedelta(seconds=0.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ListServer]:
    """Give a server with one file."""
    with list_server(tmp_path_factory.mktemp("lists")) as made:
        yield made


def fetcher(server: ListServer, **more: object) -> Fetcher:
    return Fetcher(MOST, **{"ca": server.ca, **more})


def cut_short(handler: Handler) -> None:
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf")


def test_file_is_fetched_whole_and_by_the_path_and_query_that_the_url_has(server: ListServer) -> None:
    server.files["/lists/a.crl?key=1"] = bytes(range(250)) * 4
    assert fetcher(server, dialling=LOOPBACK).fetch(server.url("/lists/a.crl?key=1")) == bytes(range(250)) * 4
    assert fetcher(server).fetch(server.url("/lists/a.crl?key=1", "127.0.0.1"))


@pytest.mark.parametrize(
    "url",
    [
        *("http://localhost/a", "ftp://localhost/a", "localhost/a", "https:///a", "https://user@localhost/a", ""),
        *("https://u:p@localhost/a", "https://localhost/a#b", "https://localhost:0x1/a", "https://localhost:70000/a"),
        *("https://local host/a", "https://localhost/\na", "https://localhost/é", f"https://localhost/{'a' * 500}"),
        *("https://1.2.3/a", "https://[::1/a", "file:///etc/passwd", "data:,a", "unix:/a"),
    ],
)
def test_field_invalid_for_another_url(url: str) -> None:
    with pytest.raises(FieldInvalid):
        Fetcher(MOST).fetch(url)


@pytest.mark.parametrize("url", ["file://host/a", "file:a", "file:///a?b", "file:///a#b", "http://localhost/a"])
def test_field_invalid_for_another_url_where_a_file_may_be_meant(url: str) -> None:
    with pytest.raises(FieldInvalid):
        require_url(url, files=True)


def test_network_forbidden_before_anything_is_dialled(server: ListServer) -> None:
    server.asked.clear()
    with pytest.raises(NetworkForbidden):
        fetcher(server, dialling=ELSEWHERE).fetch(server.url())
    assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["file:///etc/hostname", "https://192.0.2.1/a", "/other.crl", "http://127.0.0.1/a"])
def test_redirect_is_not_followed_wherever_it_leads(server: ListServer, to: str, status: int) -> None:
    server.files["/redirected"], server.files["/other.crl"] = redirected(to, status), b"other"
    server.asked.clear()
    with pytest.raises(NotFetched, match="elsewhere"):
        fetcher(server, dialling=LOOPBACK).fetch(server.url("/redirected"))
    assert server.asked == ["/redirected"]


def test_what_is_too_large_is_not_fetched_whatever_its_head_says(server: ListServer) -> None:
    server.files["/large"] = bytes(MOST + 1)
    server.files["/endless"] = trickling(b"HTTP/1.1 200 OK\r\n\r\n")
    for path, most in (("/large", MOST), ("/endless", 3)):
        with pytest.raises(NotFetched, match=f"more than {most} bytes"):
            Fetcher(most, ca=server.ca).fetch(server.url(path))
    server.files["/just"] = bytes(MOST)
    assert len(fetcher(server).fetch(server.url("/just"))) == MOST


@pytest.mark.parametrize(
    "begun",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"],
    ids=["status", "head", "body"],
)
def test_answer_that_trickles_is_given_up(server: ListServer, begun: bytes) -> None:
    """Each byte comes in time, and the whole never."""
    server.files["/slow"] = trickling(begun)
    with pytest.raises(NotFetched, match="in time"):
        fetcher(server, patience=BRIEF).fetch(server.url("/slow"))


def test_server_that_says_nothing_at_all_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NotFetched, match="in time"):
        Fetcher(MOST, patience=BRIEF).fetch(f"https://127.0.0.1:{silent.getsockname()[1]}/a")


def test_server_of_another_ca_or_name_is_not_believed(server: ListServer, tmp_path: Path) -> None:
    with pytest.raises(NotFetched, match="certificate is not good"):
        Fetcher(MOST).fetch(server.url())
    with (
        list_server(tmp_path, "another.example") as another,
        pytest.raises(NotFetched, match="certificate is not good"),
    ):
        Fetcher(MOST, ca=another.ca).fetch(another.url())


@pytest.mark.parametrize("path", ["/none", "/what", "/cut"])
def test_not_fetched_for_anything_but_a_good_answer(server: ListServer, path: str) -> None:
    server.files["/what"] = lambda handler: handler.wfile.write(b"what?\r\n\r\n")
    server.files["/cut"] = cut_short
    with pytest.raises(NotFetched):
        fetcher(server).fetch(server.url(path))


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NotFetched):
        Fetcher(MOST).fetch(f"https://127.0.0.1:{port}/a")
    with pytest.raises(Unavailable, match="has no address"):
        Fetcher(MOST).fetch("https://nowhere.invalid/a")


def test_proxy_is_asked_where_one_is_set_and_that_of_the_environment_never(
    server: ListServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    server.files["/a"] = b"a"
    with Proxy() as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        assert fetcher(server, dialling=Dialling(proxy=proxy.address)).fetch(server.url("/a", "127.0.0.1")) == b"a"
        assert proxy.asked == [server.address]
        proxy.shutdown()
    assert fetcher(server).fetch(server.url("/a")) == b"a"


def test_file_of_this_machine_is_read_where_the_caller_allows_it(tmp_path: Path) -> None:
    kept, large, pipe = tmp_path / "a list.crl", tmp_path / "large", tmp_path / "pipe"
    kept.write_bytes(b"list")
    large.write_bytes(bytes(MOST + 1))
    os.mkfifo(pipe)
    reads = Fetcher(MOST, files=True)
    assert reads.fetch(f"file://{tmp_path}/a%20list.crl") == b"list"
    for path in (large, pipe, tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(NotFetched):
            reads.fetch(path.as_uri())


def test_question_is_posted_with_its_media_type_over_http_where_the_caller_allows_it(tmp_path: Path) -> None:
    with time_server(TimeAuthority(tmp_path / "time")) as server:
        server.reply = lambda question: question[::-1]
        assert Fetcher(MOST, plain=True, dialling=LOOPBACK).ask(server.url, b"abc", "text/one") == b"cba"
        assert server.asked == [("text/one", b"abc")]
        with pytest.raises(FieldInvalid):
            Fetcher(MOST).ask(server.url, b"abc", "text/one")
        with pytest.raises(NetworkForbidden):
            Fetcher(MOST, plain=True, dialling=ELSEWHERE).ask(server.url, b"abc", "text/one")
        with pytest.raises(NotFetched):
            Fetcher(2, plain=True).ask(server.url, b"abc", "text/one")
        assert len(server.asked) == 2


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://localhost/a", "http://user@localhost/a", "http:///a"])
def test_field_invalid_for_a_question_to_another_url(url: str) -> None:
    with pytest.raises(FieldInvalid):
        Fetcher(MOST, plain=True, files=True).ask(url, b"abc", "text/one")
