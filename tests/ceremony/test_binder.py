"""The binder: run sheet and transcript as one document to sign, as PDF and HTML, with everything in it and nothing secret."""

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from pypdf import PdfReader

from federation.binder.page import as_html
from federation.binder.paper import as_pdf
from federation.cli.main import main
from keystore.ceremony.binder import Binder, blank_binder, filled_binder
from keystore.ceremony.kinds import KINDS
from keystore.ceremony.plan_file import read_plan
from keystore.ceremony.verify import verify
from tests.ceremony.hall import EXAMPLES, NAMES, Hall, rehearse

Halls = Callable[[str], Hall]


def text_of(pdf: bytes) -> str:
    """Read a PDF with other code than ours; blanks do not count, for lines are broken where they end."""
    return "".join("".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages)


@pytest.fixture
def medical(hall: Halls) -> Hall:
    """Give the ceremony of a medical authority in a place, of people from somewhere."""
    prepared = hall("medical-authority")
    prepared.change("Ceremony room, Beispielstadt", "Łódź, <b>room 3</b>")
    prepared.change("Patients' Association", "Chamber & Sons")
    return prepared


@pytest.fixture
def binder(medical: Hall) -> Binder:
    """Give its binder."""
    result = medical.run()
    assert result.exit_code == 0, result.output
    return filled_binder(verify(medical.transcript.read_bytes()))


def test_binder_says_who_was_where_for_whom_and_what_was_done(binder: Binder, medical: Hall) -> None:
    assert dict(binder.facts)["Place"] == "Łódź, <b>room 3</b>"
    assert dict(binder.facts)["Date"] == medical.entries()[0].at[:10]
    wim = next(person for person in binder.people if person.name == "Wim")
    assert (wim.role, wim.affiliation, wim.public_key) == ("witness", "Chamber & Sons", medical.people.keys["Wim"])
    assert all(person.signed_at for person in binder.people)
    assert [record.id for record in binder.steps][:4] == ["file", "token", "inventory", "pin"]
    assert [record.id for record in binder.steps][-1] == "sign"
    assert [one.name for one in binder.steps[0].confirmations] == list(NAMES)
    assert all(record.begun and record.took for record in binder.steps)


@pytest.mark.parametrize("draw", [as_html, as_pdf])
def test_document_has_the_signature_lines_every_field_and_the_der_of_every_file(
    binder: Binder, medical: Hall, draw: Callable[[Binder], bytes]
) -> None:
    drawn = draw(binder)
    said = text_of(drawn) if drawn.startswith(b"%PDF") else "".join(re.sub(r"<[^>]*>", "", drawn.decode()).split())
    for name in NAMES:
        assert said.count(name) >= 3
    for words in ("Signatures", "AnnexA", "AnnexB", medical.entries()[-7].digest.hex(), medical.token.serial):
        assert str(words) in said
    der = (medical.directory / "authority.der").read_bytes()
    assert hashlib.sha256(der).hexdigest() in said
    rows = [row for made in binder.files if made.file == "authority.der" for row in made.rows]
    assert all("".join(row.split()) in said for row in rows)
    assert bytes.fromhex("".join(row.partition("  ")[2] for row in rows)) == der
    x509.load_der_x509_certificate(der)


@pytest.mark.parametrize("draw", [as_html, as_pdf])
def test_document_holds_no_secret(binder: Binder, medical: Hall, draw: Callable[[Binder], bytes]) -> None:
    drawn = draw(binder)
    said = text_of(drawn) if drawn.startswith(b"%PDF") else drawn.decode()
    assert medical.pin not in said
    for path in medical.shares.iterdir():
        words = path.read_text().partition(":")[2].split()
        assert "".join(words[4:8]) not in "".join(said.split())


@pytest.mark.parametrize("draw", [as_html, as_pdf])
def test_document_shows_text_as_text(binder: Binder, draw: Callable[[Binder], bytes]) -> None:
    drawn = draw(binder)
    if drawn.startswith(b"%PDF"):
        assert "Łód" in text_of(drawn)
        assert "<b>room3</b>" in text_of(drawn)
        assert "U+017A" in text_of(drawn)
    else:
        assert "Łódź, &lt;b&gt;room 3&lt;/b&gt;" in drawn.decode()
        assert "<script" not in drawn.decode()


def test_same_transcript_gives_the_same_bytes(binder: Binder) -> None:
    assert as_pdf(binder) == as_pdf(binder)
    assert as_html(binder) == as_html(binder)


def test_each_page_is_numbered_and_carries_the_transcripts_digest(binder: Binder) -> None:
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(as_pdf(binder))).pages]
    assert len(pages) > 3
    for number, page in enumerate(pages, 1):
        assert f"page {number} of {len(pages)}" in page
        assert "initials" in page
        assert binder.digests[-1].hexadecimal in page


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_sheet_of_every_kind_has_blanks_for_every_step(kind: str) -> None:
    sheet = blank_binder(read_plan(EXAMPLES / f"{kind}.toml"))
    assert sheet.is_blank
    said = text_of(as_pdf(sheet))
    for number, step in enumerate(sheet.steps, 1):
        assert f"{number}.{step.id}" in said
    assert "Signatures" in said
    assert "AnnexA" not in said
    assert as_html(sheet).count(b"<h2>") >= 5


def test_interruption_and_pause_are_exceptions_in_the_binder(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.answers["token.Wim"] = ["pause", "yes"]
    medical.pins["token"] = ["wrong", "pin"]
    medical.put("wrong", "wrong-pin")
    result = medical.run()
    assert result.exit_code == 0, result.output
    said = filled_binder(verify(medical.transcript.read_bytes())).exceptions
    assert [re.sub(r"^[\d:]+ UTC, ", "", line)[:20] for line in said] == [
        "Ada: a PIN was refus",
        "Wim: a pause began (",
        "Ada: the pause ended",
    ]


def test_rehearsal_says_so_on_every_page(tmp_path: Path) -> None:
    transcript, output = tmp_path / "transcript", tmp_path / "binder.pdf"
    rehearse(EXAMPLES / "federation-tls-ca.toml", transcript)
    render = CliRunner().invoke(main, ["ceremony", "render", str(transcript), "--output", str(output)])
    assert render.exit_code == 0, render.output
    assert all("REHEARSAL" in page.extract_text() for page in PdfReader(output).pages)


@pytest.mark.parametrize("words", [("script",), ("render",)])
def test_document_is_pdf_or_html_and_nothing_else(medical: Hall, words: tuple[str, ...]) -> None:
    file = medical.file if words == ("script",) else medical.transcript
    if words == ("render",):
        assert medical.run().exit_code == 0
    output = medical.directory / "binder.docx"
    result = CliRunner().invoke(main, ["ceremony", *words, str(file), "--output", str(output)])
    assert (result.exit_code, "has to end with .pdf or .html" in result.output) == (2, True)
    assert not output.exists()
