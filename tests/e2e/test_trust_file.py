"""`trust.json` follows the newest trust bundle, whichever process of the cloud writes it and however late."""

from collections.abc import Callable
from pathlib import Path

from hsm import Pin, Token, TokenUri, pin_from_value
from keystore.party import ISSUING
from tests.e2e.unserved_cloud import Clock, beside, opened, unserved_cloud


def test_trust_file_written_late_by_a_slow_process_does_not_replace_a_newer_one(
    tmp_path: Path, make_token_uri: Callable[..., TokenUri], make_token: Callable[..., Token], user_pin: Pin
) -> None:
    pin, clock = pin_from_value(user_pin.reveal()), Clock()
    with (
        unserved_cloud(tmp_path, make_token_uri, pin) as directory,
        opened(directory, pin, clock, make_token) as cloud,
        beside(cloud, clock) as slow,
    ):
        older = slow.node.cloud.publisher.refresh(clock())
        cloud.rotate(ISSUING)
        newer = directory.trust()
        assert newer.sequence > older.trust.sequence
        slow.node.follow(older)
        assert directory.trust() == newer


def test_trust_file_that_says_another_thing_than_is_signed_is_written_anew(
    tmp_path: Path, make_token_uri: Callable[..., TokenUri], make_token: Callable[..., Token], user_pin: Pin
) -> None:
    pin, clock = pin_from_value(user_pin.reveal()), Clock()
    with (
        unserved_cloud(tmp_path, make_token_uri, pin) as directory,
        opened(directory, pin, clock, make_token) as cloud,
        beside(cloud, clock) as other,
    ):
        written = directory.trust_file.read_text()
        directory.trust_file.write_text(written.replace('"test"', '"altered"'))
        other.node.follow(other.node.cloud.publisher.refresh(clock()))
        assert directory.trust_file.read_text() == written
