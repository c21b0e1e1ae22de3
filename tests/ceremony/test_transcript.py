"""What `verify` finds in a transcript that was tampered with, and where."""

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystore.ceremony.errors import (
    CeremonyAborted,
    ChainBroken,
    ContentWrong,
    LineMalformed,
    ParticipantNotPinned,
    SignatureWrong,
    TranscriptInvalid,
    TranscriptTruncated,
)
from keystore.ceremony.kinds import wanted
from keystore.ceremony.transcript import Entry, Transcript, parse, signed_message, words_of
from keystore.ceremony.verify import verify
from keystore.curve import private_key
from keystore.policies import PERSON_POLICIES, POLICIES
from keystore.signatures import SigningKey

ADA, WIM = (SigningKey(private_key(bytes([number]) * 32)) for number in (1, 2))
KEYS = {"Ada": ADA, "Wim": WIM}
PUBLIC = {name: key.verifying_key.data.hex() for name, key in KEYS.items()}
OPENED = {"format": 1, "rehearsal": False, "kind": "medical-authority", "title": "T", "participants": PUBLIC}
OUTPUT = {
    "name": "o",
    "file": "o",
    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "content": b"foo".hex(),
}
NONCES = {"signatures": 4096, "distinct": 4096, "fair": True, "worst_bit": 7, "worst_z": "-2.97"}
ISSUER = {"label": "issuer", "policy": "issuer", "attributes": wanted(POLICIES["issuer"]), "public_key": None}
KEY = {"label": "k", "policy": "identity", "attributes": wanted(POLICIES["identity"]), "public_key": None}
Write = Callable[..., bytes]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a small transcript: each event a tuple of event, by, data."""
    numbers = itertools.count()

    def written(*events: tuple[str, str, dict[str, object]], signers: tuple[str, ...] = ("Ada", "Wim")) -> bytes:
        ticks = itertools.count()
        now = lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(ticks))  # noqa: E731
        transcript = Transcript.begin(tmp_path / f"{next(numbers)}", now)
        for event, by, data in (("opened", "Ada", OPENED), *events, ("closed", "Ada", {})):
            transcript.add(event, by, **data)
        message = signed_message(transcript.head)
        for name in signers:
            transcript.add("signed", name, signature=KEYS[name].sign(message).hex())
        return transcript.path.read_bytes()

    return written


@pytest.fixture
def whole(write: Write) -> bytes:
    """Give a transcript that holds."""
    return write(("key", "Ada", KEY), ("output", "Ada", OUTPUT))


def test_whole_transcript_verifies(whole: bytes) -> None:
    verified = verify(whole, PUBLIC)
    assert (verified.title, verified.rehearsal, verified.signers) == ("T", False, PUBLIC)


def test_any_flipped_bit_of_any_byte_is_refused(whole: bytes) -> None:
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            with pytest.raises(TranscriptInvalid):
                verify(bytes(changed))


def test_any_byte_left_out_or_put_in_is_refused(whole: bytes) -> None:
    for place in range(len(whole) + 1):
        for changed in (whole[:place] + b" " + whole[place:], whole[:place] + whole[place + 1 :]):
            if changed != whole:
                with pytest.raises(TranscriptInvalid):
                    verify(changed)


def test_transcript_truncated_at_any_byte_is_refused(whole: bytes) -> None:
    for length in range(len(whole)):
        with pytest.raises(TranscriptInvalid):
            verify(whole[:length])


def test_transcript_truncated_by_a_line_names_the_missing_signature(whole: bytes) -> None:
    with pytest.raises(TranscriptTruncated, match="signature of Wim is missing after line 5"):
        verify(b"".join(whole.splitlines(keepends=True)[:-1]))


def test_chain_broken_by_lines_in_another_order(whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    for one, other in itertools.combinations(range(len(lines)), 2):
        changed = list(lines)
        changed[one], changed[other] = changed[other], changed[one]
        with pytest.raises(ChainBroken, match=f"line {one + 1} "):
            verify(b"".join(changed))


def test_chain_broken_by_a_line_left_out(whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    for place in range(len(lines) - 1):
        with pytest.raises(ChainBroken, match=f"line {place + 1} "):
            verify(b"".join(lines[:place] + lines[place + 1 :]))


def test_chain_broken_names_the_line_whose_content_changed(whole: bytes) -> None:
    with pytest.raises(ChainBroken, match="line 3 is not what its digest says"):
        verify(whole.replace(b'"name":"o"', b'"name":"p"'))


def test_chain_broken_by_time_that_goes_backwards(whole: bytes) -> None:
    first, second = parse(whole)[:2]
    early = Entry(2, "2025-01-01T00:00:00.000+00:00", second.event, second.by, second.data, first.digest.hex())
    with pytest.raises(ChainBroken, match="line 2 is earlier"):
        verify(first.line() + early.line())


def test_line_malformed_by_another_spelling_of_the_same_entry(whole: bytes) -> None:
    first, rest = whole.split(b"\n", 1)
    with pytest.raises(LineMalformed, match="line 1"):
        verify(json.dumps(json.loads(first)).encode() + b"\n" + rest)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[]\n", b"null\n", b"{}\n", b'{"number":1}\n', b"\xff\n", b"[" * 9000 + b"\n"]
)
def test_line_malformed_for_what_is_no_transcript(content: bytes) -> None:
    with pytest.raises((LineMalformed, TranscriptTruncated)):
        verify(content)


def test_signature_wrong_when_a_line_was_changed_and_the_chain_made_anew(whole: bytes) -> None:
    """Whoever changes a line and recomputes all digests still lacks the participants' keys."""
    previous, forged = bytes(32), b""
    for entry in parse(whole):
        data = {**entry.data, "title": "forged"} if entry.event == "opened" else entry.data
        again = Entry(entry.number, entry.at, entry.event, entry.by, data, previous.hex())
        previous, forged = again.digest, forged + again.line()
    with pytest.raises(SignatureWrong, match="line 5: the signature is not Ada's"):
        verify(forged)


def test_signature_wrong_by_another_participant(write: Write) -> None:
    with pytest.raises(SignatureWrong, match="line 3 is not Ada's"):
        verify(write(signers=("Wim", "Ada")))


def test_signature_wrong_after_the_last_one(write: Write) -> None:
    with pytest.raises(SignatureWrong, match="line 5 comes after"):
        verify(write(signers=("Ada", "Wim", "Wim")))


def test_participant_not_pinned_under_another_key(whole: bytes) -> None:
    with pytest.raises(ParticipantNotPinned, match="Wim signed with another key"):
        verify(whole, {"Wim": PUBLIC["Ada"]})


def test_participant_not_pinned_who_was_not_there(whole: bytes) -> None:
    with pytest.raises(ParticipantNotPinned, match="Eve is not among"):
        verify(whole, {"Eve": PUBLIC["Ada"]})


def test_ceremony_aborted_does_not_pass_even_when_it_is_signed(write: Write) -> None:
    with pytest.raises(CeremonyAborted, match=r"line 2: .*NO: no"):
        verify(write(("aborted", "Ada", {"reason": "NO", "sentence": "no"})))


@pytest.mark.parametrize(
    ("name", "value"), [("extractable", True), ("sensitive", False), ("local", False), ("usages", ["DECRYPT", "SIGN"])]
)
def test_content_wrong_if_a_key_breaks_its_policy(write: Write, name: str, value: object) -> None:
    data = {**KEY, "attributes": {**wanted(POLICIES["identity"]), name: value}}
    with pytest.raises(ContentWrong, match=f"line 2: the key breaks its policy in {name}"):
        verify(write(("key", "Ada", data)))


def test_content_wrong_if_a_key_is_imported_that_never_is(write: Write) -> None:
    policy = POLICIES["medical-authority"]
    data = {**KEY, "policy": "medical-authority", "imported": True, "attributes": wanted(policy, imported=True)}
    with pytest.raises(ContentWrong, match="line 2: a key of this purpose is never imported"):
        verify(write(("key", "Ada", data)))


def test_key_that_seals_is_another_in_a_card_than_at_a_server(write: Write) -> None:
    data = {"label": "sealing", "policy": "sealing", "attributes": wanted(PERSON_POLICIES["sealing"]), "card": True}
    verify(write(("key", "Ada", data)))
    with pytest.raises(ContentWrong, match="line 2: the key breaks its policy in class, type, usages"):
        verify(write(("key", "Ada", {**data, "card": False})))


def test_s_passes_after_its_tokens_nonces_were_found_fair(write: Write) -> None:
    verify(write(("nonces", "Ada", NONCES), ("key", "Ada", ISSUER)))


@pytest.mark.parametrize(
    "events",
    [
        [("key", "Ada", ISSUER)],
        [("key", "Ada", ISSUER), ("nonces", "Ada", NONCES)],
        [("nonces", "Ada", {**NONCES, "fair": False}), ("key", "Ada", ISSUER)],
        [("nonces", "Ada", {**NONCES, "distinct": 2048}), ("key", "Ada", ISSUER)],
    ],
    ids=["none", "late", "biased", "deterministic"],
)
def test_content_wrong_if_s_came_into_a_token_without_fair_nonces(
    write: Write, events: list[tuple[str, str, dict[str, object]]]
) -> None:
    with pytest.raises(ContentWrong, match="s came into a token whose nonces had not been examined"):
        verify(write(*events))


def test_content_wrong_if_an_outputs_digest_is_not_its_own(write: Write) -> None:
    with pytest.raises(ContentWrong, match="line 2: the digest"):
        verify(write(("output", "Ada", {**OUTPUT, "content": b"bar".hex()})))


def test_content_wrong_if_it_is_opened_twice(write: Write) -> None:
    with pytest.raises(ContentWrong, match="opened once"):
        verify(write(("opened", "Ada", OPENED)))


def test_words_tell_digests_apart() -> None:
    zero, one = words_of(bytes(32)), words_of(bytes(31) + b"\x01")
    assert len(zero) == 26
    assert zero[:-1] == one[:-1]
    assert zero[-1] != one[-1]
