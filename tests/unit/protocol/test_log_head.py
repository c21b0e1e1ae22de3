"""Heads of a log and cosignatures of them, as notes (C2SP)."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from federation.errors import HeadNotCosigned, IdentityMismatch, NoteMalformed, SignatureInvalid
from federation.protocol.log_head import (
    Cosignature,
    LogHead,
    Origin,
    cosign,
    open_head,
    peek_head,
    require_cosigned,
    sign_head,
)
from federation.protocol.merkle import EMPTY_ROOT
from federation.protocol.notes import NoteSignature, read_line, read_note, sign_note, text_key_id
from keystore.signatures import SigningKey
from keystore.transcript import transcript
from tests.mallory import refused
from tests.trees import EIGHT, head_of, reader_of_data

READ = reader_of_data(EIGHT)
ORIGIN = str(Origin.of("medunion.example", "H:alpha"))
NOW = 1_800_000_000_123


def fresh_key() -> SigningKey:
    return SigningKey(ec.generate_private_key(ec.SECP256R1()))


ALPHA, BETA, CLOUD = fresh_key(), fresh_key(), fresh_key()
KEYS = [("H:beta", BETA.verifying_key), ("C:cloud", CLOUD.verifying_key)]


def note_of(size, *, key=ALPHA, origin=ORIGIN):
    tree = head_of(size, READ)
    return sign_head(LogHead(origin, tree.size, tree.root), key)


def test_a_head_opens_as_it_was_signed():
    head = open_head(note_of(8), ORIGIN, ALPHA.verifying_key)
    assert (head.origin, head.tree) == (ORIGIN, head_of(8, READ))
    assert head == peek_head(note_of(8))
    assert note_of(8).startswith(b"medunion.example/H:alpha/1\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\n")


def test_a_key_in_a_token_signs_heads(make_token):
    key = SigningKey(make_token("alpha").generate_signing("identity"))
    assert open_head(note_of(8, key=key), ORIGIN, key.verifying_key).size == 8


@pytest.mark.parametrize("text", [b"", b"no last newline", transcript("sig", b"\n"), b"a zero\0\n"])
def test_what_could_be_a_transcript_is_not_signed_as_a_text(text):
    with pytest.raises(ValueError, match="transcript"):
        ALPHA.sign_text(text)


def test_a_head_of_a_foreign_key_is_refused():
    for note in (note_of(8, key=BETA), sign_note(LogHead(ORIGIN, 0, EMPTY_ROOT).text(), "another", ALPHA)):
        with refused(SignatureInvalid):
            open_head(note, ORIGIN, ALPHA.verifying_key)


def test_a_head_of_another_log_is_refused():
    text = LogHead("medunion.example/H:alpha/2", 0, EMPTY_ROOT).text()
    with refused(IdentityMismatch):
        open_head(sign_note(text, ORIGIN, ALPHA), ORIGIN, ALPHA.verifying_key)


def test_a_head_is_read_only_where_its_signature_holds():
    """The text is ignored until then: what is malformed in it is not told."""
    with refused(SignatureInvalid):
        open_head(sign_note(b"no head\n", ORIGIN, BETA), ORIGIN, ALPHA.verifying_key)
    with refused(NoteMalformed):
        open_head(sign_note(b"no head\n", ORIGIN, ALPHA), ORIGIN, ALPHA.verifying_key)


def test_a_line_reads_back_as_it_was_written():
    line = NoteSignature("medunion.example/H:alpha/1", text_key_id(ALPHA.verifying_key), b"signature")
    assert read_line(line.line()) == line
    assert read_note(b"text\n\nbehind an empty line\n\n" + line.line()).text == b"text\n\nbehind an empty line\n"


@pytest.mark.parametrize(
    "origin", ["", "realm", "realm/H:alpha", "realm/H:alpha/0", "realm/H:alpha/01", "re alm/H:alpha/1", "realm/M:x/1"]
)
def test_an_origin_that_is_none_is_refused(origin):
    with refused(NoteMalformed):
        Origin.read(origin)


def test_a_quorum_of_witnesses_is_counted():
    note = note_of(8)
    lines = [cosign(note, BETA, "H:beta", NOW), cosign(note, CLOUD, "C:cloud", NOW + 1000)]
    second = NOW // 1000 * 1000
    expected = (Cosignature("H:beta", second), Cosignature("C:cloud", second + 1000))
    assert require_cosigned(note, lines, KEYS, 2) == expected
    with refused(HeadNotCosigned):
        require_cosigned(note, lines[:1] * 2, KEYS, 2)
    with refused(HeadNotCosigned):
        require_cosigned(note, lines, [], 0)


def test_an_author_is_no_witness_of_its_own_log():
    note = note_of(8)
    lines = [cosign(note, ALPHA, "H:alpha", NOW), cosign(note, BETA, "H:beta", NOW)]
    keys = [*KEYS, ("H:alpha", ALPHA.verifying_key)]
    assert [it.witness_id for it in require_cosigned(note, lines, keys, 1)] == ["H:beta"]
    with refused(HeadNotCosigned):
        require_cosigned(note, lines, keys, 2)


def test_a_cosignature_of_another_head_is_refused():
    line = cosign(note_of(7), BETA, "H:beta", NOW)
    with refused(SignatureInvalid):
        require_cosigned(note_of(8), [line], KEYS, 1)


def test_a_members_own_head_is_no_cosignature():
    """One key signs both: their key ids differ, and so does what is signed."""
    line = read_note(note_of(8, key=BETA)).signatures[0]
    as_witness = NoteSignature("medunion.example/H:beta", line.key_id, line.signature).line()
    with refused(HeadNotCosigned):
        require_cosigned(note_of(8), [as_witness], KEYS, 1)


def test_a_cosignature_without_a_time_is_refused():
    good = read_line(cosign(note_of(8), BETA, "H:beta", NOW))
    for stamped in (good.signature[:7], b"\x80" + good.signature[1:]):
        line = NoteSignature(good.name, good.key_id, stamped).line()
        with refused(NoteMalformed):
            require_cosigned(note_of(8), [line], KEYS, 1)
