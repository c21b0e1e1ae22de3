"""An authority's lists by commands: published by the authority, fetched by the public cloud, in the directory of everybody."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from demo.stage import Running, make_token, run
from federation.party.node_directory import NodeDirectory
from federation.settings import CloudSettings, CrlSettings
from tests.e2e.test_init_commands import cloud_words
from tests.list_server import Handler, ListServer, list_server
from tests.waiting import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ListServer]:
    """Give a server that publishes what lies in a directory."""
    with list_server(tmp_path) as made:
        yield made


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Give the directory of an authority."""
    directory = tmp_path / "board"
    pin = make_token(directory, "board")
    names = "--identity", "M:board", "--output", tmp_path / "board.der", "--pin-file", pin
    run("authority", "init", "--directory", directory, *names)
    return directory


def test_published_lists_reach_the_directory_without_anybody_carrying_them(
    tmp_path: Path, board: Path, server: ListServer
) -> None:
    cloud, lists = tmp_path / "cloud", tmp_path / "lists"
    lists.mkdir()
    publish = "authority", "crl", "--directory", board, "--publish-to", lists.as_uri()
    assert "published as board-" in run(*publish)
    (published,) = lists.iterdir()
    assert published.stat().st_mode & 0o777 == 0o644
    server.files[f"/{published.name}"] = lambda handler: give(handler, published)

    run(*cloud_words(cloud, "--development-token"))
    node = NodeDirectory(cloud)
    node.write_settings(replace(node.settings(CloudSettings), crls=CrlSettings(0.02, server.ca)))
    add = "public-cloud", "authority", "add", "--directory", cloud, tmp_path / "board.der", "D:*"
    assert "lists are fetched" in run(*add, "--crl-url", server.url(f"/{published.name}"))
    running = Running(cloud / "log", "public-cloud", "serve", "--directory", cloud, "--ready-file", cloud / "ready")
    try:
        running.wait_for(cloud / "ready")
        until(lambda: "  list 1  for D:*  at https://" in listed(cloud), lambda: listed(cloud) + running.said())
        run(*publish)
        assert list(lists.iterdir()) == [published]
        until(lambda: "  list 2  " in listed(cloud), running.said)
    finally:
        running.stop()
    log = run("public-cloud", "log", "--directory", cloud)
    assert "M:board number 2 fetched" in log


def give(handler: Handler, path: Path) -> None:
    handler.give(path.read_bytes())


def listed(cloud: Path) -> str:
    return run("public-cloud", "authority", "list", "--directory", cloud)


def test_list_is_written_and_published_at_once_and_nothing_private_lies_there(tmp_path: Path, board: Path) -> None:
    places = tmp_path / "one", tmp_path / "two"
    for place in places:
        place.mkdir()
    by_hand = tmp_path / "board.crl"
    to = [word for place in places for word in ("--publish-to", place.as_uri())]
    run("authority", "crl", "--directory", board, "--output", by_hand, *to)
    for place in places:
        (published,) = place.iterdir()
        assert published.read_bytes() == by_hand.read_bytes()
    assert x509.load_der_x509_crl(by_hand.read_bytes()).issuer


@pytest.mark.parametrize("options", [[], ["--publish-to", "http://lists.example/"], ["--publish-to", "file:lists"]])
def test_list_that_goes_nowhere_is_not_made(board: Path, options: list[str]) -> None:
    before = (board / "issued.json").read_bytes()
    run("authority", "crl", "--directory", board, *options, expect=2 if not options else 1)
    assert (board / "issued.json").read_bytes() == before


def test_directory_that_is_not_there_is_told(board: Path, tmp_path: Path) -> None:
    said = run("authority", "crl", "--directory", board, "--publish-to", (tmp_path / "none").as_uri(), expect=1)
    assert "can't be written" in said
