"""Publishing a file for everybody: in a directory or a bucket, whole, under a name that stays."""

from pathlib import Path

import pytest

from federation.store.errors import StoreUnavailable
from federation.store.publishing import publish
from tests.contract import s3_server

TYPE = "application/pkix-crl"


def test_file_gives_way_in_one_step_and_everybody_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    for content in (b"first", b"second"):
        publish(tmp_path.as_uri(), "board.crl", content, TYPE)
        assert (tmp_path / "board.crl").read_bytes() == content
    assert sorted(it.name for it in tmp_path.iterdir()) == ["board.crl", "other"]
    assert (tmp_path / "board.crl").stat().st_mode & 0o777 == 0o644


def test_object_of_a_bucket_has_its_name_below_the_prefix_and_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server = s3_server.server()
    url = server.new_bucket()
    bucket = url.removeprefix("s3://").partition("/")[0]
    for content in (b"first", b"second"):
        publish(url, "board.crl", content, TYPE)
    publish(url.replace("/blobs/north", ""), "board.crl", b"top", TYPE)
    assert server.keys(bucket) == ["blobs/north/board.crl", "board.crl"]
    found = server.get(bucket, "blobs/north/board.crl")
    assert (found["Body"].read(), found["ContentType"]) == (b"second", TYPE)


@pytest.mark.parametrize(
    "url", ["https://lists.example/a", "file:a", "s3://user@bucket/a", "s3://b/a?endpoint=http://x"]
)
def test_store_unavailable_for_another_place(url: str) -> None:
    with pytest.raises(StoreUnavailable):
        publish(url, "board.crl", b"", TYPE)


def test_store_unavailable_for_a_bucket_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreUnavailable):
        publish(f"s3://nowhere/lists?endpoint={s3_server.server().endpoint}", "board.crl", b"", TYPE)
