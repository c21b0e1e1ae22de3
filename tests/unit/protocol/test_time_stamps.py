"""Time stamps of an authority that `openssl ts` makes: what each has to have, and the reason of each that has it not."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation.errors import (
    FederationError,
    MalformedMessage,
    MessageTooLarge,
    TimeStampExpired,
    TimeStampInvalid,
    TimeStampMismatch,
    TimeStampRefused,
    TimeStampReplayed,
    TimeStampUntrusted,
    TimeStampUsage,
)
from federation.protocol.time_stamps import MOST_STAMP_BYTES, peek_stamp, request_stamp, verify_stamp
from tests.time_authority import CODE_SIGNING, STAMPING, TimeAuthority, shared_authority

NOTE = b"federation/H:alpha/1\n13\nroot\n"


@pytest.fixture(scope="module")
def authority() -> TimeAuthority:
    return shared_authority()


@pytest.fixture(scope="module")
def stamp(authority: TimeAuthority) -> bytes:
    return authority.stamp(NOTE)


def test_stamp_of_a_trusted_authority_says_until_when_the_bytes_were_there(authority: TimeAuthority) -> None:
    before = datetime.now(UTC)
    question = request_stamp(NOTE)
    found = verify_stamp(authority.reply(question.as_bytes()), NOTE, authority.trusted, nonce=question.nonce)
    latest = datetime.fromtimestamp(found.latest / 1000, UTC)
    # It says whole seconds, and 1.5 s of accuracy: the span's end counts.
    assert before + timedelta(seconds=0.5) < latest < datetime.now(UTC) + timedelta(seconds=1.6)
    assert found.authority == "CN=Chamber of Time"


def test_each_question_has_a_nonce_of_its_own(authority: TimeAuthority) -> None:
    assert request_stamp(NOTE).nonce != request_stamp(NOTE).nonce


def test_stamp_with_another_nonce_is_time_stamp_replayed(authority: TimeAuthority, stamp: bytes) -> None:
    with pytest.raises(TimeStampReplayed):
        verify_stamp(stamp, NOTE, authority.trusted, nonce=request_stamp(NOTE).nonce)


def test_stamp_over_something_else_is_time_stamp_mismatch(authority: TimeAuthority, stamp: bytes) -> None:
    with pytest.raises(TimeStampMismatch):
        verify_stamp(stamp, NOTE + b"x", authority.trusted)


def test_stamp_of_another_authority_is_time_stamp_untrusted(stamp: bytes, tmp_path: Path) -> None:
    other = TimeAuthority(tmp_path / "other")
    for trusted in (other.trusted, []):
        with pytest.raises(TimeStampUntrusted):
            verify_stamp(stamp, NOTE, trusted)


def test_stamp_after_the_end_of_the_certificate_is_time_stamp_expired(tmp_path: Path) -> None:
    ended = TimeAuthority(tmp_path / "ended", lasts=timedelta(days=-1))
    with pytest.raises(TimeStampExpired):
        verify_stamp(ended.stamp(NOTE), NOTE, ended.trusted)


@pytest.mark.parametrize(("usage", "critical"), [(None, True), (CODE_SIGNING, True), (STAMPING, False)])
def test_stamp_by_a_certificate_for_something_else_is_time_stamp_usage(
    authority: TimeAuthority, usage: Any, critical: bool
) -> None:
    with pytest.raises(TimeStampUsage):
        verify_stamp(authority.signed_by_another_key(NOTE, usage, critical=critical), NOTE, authority.trusted)


def test_stamp_that_another_key_for_stamps_signed_holds_and_so_the_usage_alone_made_the_difference(
    authority: TimeAuthority,
) -> None:
    assert verify_stamp(authority.signed_by_another_key(NOTE, STAMPING), NOTE, authority.trusted)


def test_answer_that_makes_no_stamp_is_time_stamp_refused(authority: TimeAuthority) -> None:
    question = request_stamp(NOTE).as_bytes()
    refused = authority.reply(
        question.replace(bytes.fromhex("608648016503040201"), bytes.fromhex("608648016503040202"))
    )
    with pytest.raises(TimeStampRefused):
        verify_stamp(refused, NOTE, authority.trusted)


@pytest.mark.parametrize("data", [b"", b"0", b"\x30\x00", NOTE])
def test_what_is_no_answer_is_malformed_message(authority: TimeAuthority, data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        verify_stamp(data, NOTE, authority.trusted)


def test_answer_of_more_bytes_than_any_authority_gives_is_message_too_large(authority: TimeAuthority) -> None:
    with pytest.raises(MessageTooLarge):
        verify_stamp(bytes(MOST_STAMP_BYTES + 1), NOTE, authority.trusted)


def test_stamp_whose_certificates_are_left_out_is_time_stamp_invalid(authority: TimeAuthority) -> None:
    question = request_stamp(NOTE).as_bytes()
    assert question.endswith(b"\x01\x01\xff")  # certReq
    body = question[2:-3]
    with pytest.raises(TimeStampInvalid):
        verify_stamp(authority.reply(bytes([0x30, len(body)]) + body), NOTE, authority.trusted)


def test_what_a_stamp_says_is_read_without_trust_and_is_what_is_verified(
    authority: TimeAuthority, stamp: bytes
) -> None:
    assert peek_stamp(stamp) == verify_stamp(stamp, NOTE, authority.trusted)


def test_stamp_with_a_turned_bit_is_refused_or_says_the_same(authority: TimeAuthority, stamp: bytes) -> None:
    said = verify_stamp(stamp, NOTE, authority.trusted)
    for position in range(8 * len(stamp)):
        turned = bytearray(stamp)
        turned[position // 8] ^= 1 << position % 8
        with suppress(FederationError):
            assert verify_stamp(bytes(turned), NOTE, authority.trusted) == said
