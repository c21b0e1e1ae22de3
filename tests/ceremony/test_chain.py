"""A chain of ceremonies: every transcript in it verified, the first that is wrong named, one that was not given told."""

import hashlib
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystore.ceremony.errors import (
    CeremoniesUnchained,
    ChainBroken,
    ParticipantNotPinned,
    SignatureWrong,
    TranscriptTruncated,
)
from keystore.ceremony.transcript import Transcript, signed_message
from keystore.ceremony.verify import verify_chain
from keystore.curve import private_key
from keystore.signatures import SigningKey
from tests.ceremony.hall import EXAMPLES, Hall

Halls = Callable[[str], Hall]
WANDA, EVE = (SigningKey(private_key(bytes([number]) * 32)) for number in (1, 2))
START = datetime(2026, 1, 1, tzinfo=UTC)
Write = Callable[..., bytes]


def public(key: SigningKey) -> str:
    return key.verifying_key.data.hex()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes the transcript of a ceremony after another, a day after it."""
    numbers = itertools.count(1)

    def written(
        previous: bytes | None = None,
        *,
        named: SigningKey = WANDA,
        by: SigningKey | None = WANDA,
        day: int | None = None,
        rehearsal: bool = False,
        who: str = "Wanda",
    ) -> bytes:
        number = next(numbers)
        at = START + timedelta(days=number if day is None else day)
        transcript = Transcript.begin(tmp_path / f"{number}", lambda: at)
        transcript.add(
            "opened",
            who,
            format=1,
            rehearsal=rehearsal,
            kind="destruction",
            title=f"ceremony {number}",
            participants={who: public(named)},
            previous_sha256=hashlib.sha256(previous).hexdigest() if previous else None,
        )
        transcript.add("closed", who)
        if by is not None:
            transcript.add("signed", who, signature=by.sign(signed_message(transcript.head)).hex())
        return transcript.path.read_bytes()

    return written


def test_whole_chain_verifies_whatever_order_it_is_given_in(write: Write) -> None:
    first = write()
    second = write(first)
    third = write(second)
    chain = verify_chain(third, {"1": first, "2": second}, {"Wanda": public(WANDA)})
    assert [v.title for v in chain.earlier.values()] == ["ceremony 2", "ceremony 1"]
    assert chain.not_given is None


def test_earlier_transcript_that_was_not_given_is_told(write: Write) -> None:
    first = write()
    second = write(first)
    chain = verify_chain(write(second), {"2": second})
    assert chain.not_given == hashlib.sha256(first).hexdigest()


def test_signature_wrong_in_an_earlier_transcript_that_the_newest_names(write: Write) -> None:
    forged = write(by=EVE)
    second = write(forged)
    with pytest.raises(SignatureWrong, match="first: line 3"):
        verify_chain(write(second), {"first": forged, "second": second})


def test_transcript_truncated_before_it_was_signed_is_no_link(write: Write) -> None:
    unsigned = write(by=None)
    with pytest.raises(TranscriptTruncated, match="first: "):
        verify_chain(write(unsigned), {"first": unsigned})


def test_chain_broken_by_an_earlier_transcript_that_was_changed_since(write: Write) -> None:
    first = write()
    with pytest.raises(ChainBroken, match="first: line 1"):
        verify_chain(write(first), {"first": first.replace(b"ceremony 1", b"ceremony 9")})


def test_participant_not_pinned_in_an_earlier_transcript(write: Write) -> None:
    first = write(named=EVE, by=EVE)
    with pytest.raises(ParticipantNotPinned, match="first: Wanda signed with another key"):
        verify_chain(write(first), {"first": first}, {"Wanda": public(WANDA)})


def test_pinned_participant_need_not_have_been_at_an_earlier_ceremony(write: Write) -> None:
    first = write(who="Wim", named=EVE, by=EVE)
    assert "first" in verify_chain(write(first), {"first": first}, {"Wanda": public(WANDA)}).earlier


def test_ceremonies_unchained_by_one_that_nobody_names(write: Write) -> None:
    first, stranger = write(), write()
    with pytest.raises(CeremoniesUnchained, match="stranger holds, but no transcript here names it"):
        verify_chain(write(first), {"first": first, "stranger": stranger})


def test_ceremonies_unchained_by_times_that_cannot_be(write: Write) -> None:
    first = write(day=9)
    with pytest.raises(CeremoniesUnchained, match="first ends after"):
        verify_chain(write(first, day=8), {"first": first})


def test_ceremonies_unchained_by_a_rehearsal_between_them(write: Write) -> None:
    first = write(rehearsal=True)
    with pytest.raises(CeremoniesUnchained, match="first: a rehearsal"):
        verify_chain(write(first), {"first": first})


def test_chain_of_two_ceremonies_is_verified_at_the_terminal(hall: Halls) -> None:
    done = hall("federation-tls-ca")
    done.change("[quorum]\nthreshold = 2\n", "")
    assert done.run().exit_code == 0
    first = done.transcript.rename(done.directory / "first.transcript")
    done.write(done.real(_destruction_after(first.name)))
    assert done.run().exit_code == 0
    whole = done.verify("--previous", str(first), "--participant", f"Wim={done.people.keys['Wim']}")
    assert (whole.exit_code, "The chain begins there" in whole.output) == (0, True), whole.output
    assert "before it: " in whole.output
    alone = done.verify()
    assert (alone.exit_code, "NOT CHECKED: an earlier transcript" in alone.output) == (0, True)
    first.write_bytes(first.read_bytes().replace(b"union", b"onion"))
    changed = done.verify("--previous", str(first))
    assert (changed.exit_code, "[CHAIN_BROKEN]" in changed.output) == (1, True)
    assert "first.transcript: line " in changed.output


def test_ceremony_does_not_begin_after_one_whose_transcript_is_wrong(hall: Halls) -> None:
    done = hall("federation-tls-ca")
    done.change("[quorum]\nthreshold = 2\n", "")
    assert done.run().exit_code == 0
    first = done.transcript.rename(done.directory / "first.transcript")
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:-1]))
    done.write(done.real(_destruction_after(first.name)))
    result = done.run()
    assert (result.exit_code, "[TRANSCRIPT_TRUNCATED]" in result.output) == (1, True), result.output
    assert "first.transcript: " in result.output
    assert done.labels() == {"tls-ca"}


def _destruction_after(first: str) -> str:
    text = (EXAMPLES / "destruction.toml").read_text().replace("[quorum]\nthreshold = 2\n", "")
    return text.replace('kind = "destruction"', f'kind = "destruction"\nprevious = "{first}"')
