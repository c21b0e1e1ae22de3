"""The binder as PDF: A4, each page numbered, with the transcript's digest at its foot and a place for initials.

The same binder gives the same bytes. What the font has no sign for is written by its number (U+0142): nothing is left out unseen.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import reportlab
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont, TTFontFile
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    LongTable,
    PageBreak,
    Paragraph,
    Preformatted,
    SimpleDocTemplate,
    Spacer,
    TableStyle,
)

from keystore.ceremony.binder import Binder, Person, Record

_FONTS: Final = Path(reportlab.__file__).parent / "fonts"
_TEXT, _BOLD, _FIXED = "Vera", "VeraBd", "Courier"
for _name in (_TEXT, _BOLD):
    pdfmetrics.registerFont(TTFont(_name, _FONTS / f"{_name}.ttf"))
_SIGNS: Final = frozenset(TTFontFile(str(_FONTS / f"{_TEXT}.ttf")).charToGlyph)
_MARGIN: Final = 18 * mm
_WIDTH: Final = A4[0] - 2 * _MARGIN
_PLAIN: Final = ParagraphStyle("plain", fontName=_TEXT, fontSize=8.5, leading=11.5)
_TITLE: Final = ParagraphStyle("title", _PLAIN, fontName=_BOLD, fontSize=15, leading=20)
_HEAD: Final = ParagraphStyle("head", _PLAIN, fontName=_BOLD, fontSize=11, leading=16, spaceBefore=10, keepWithNext=1)
_CODE: Final = ParagraphStyle("code", fontName=_FIXED, fontSize=7.5, leading=9.5, wordWrap="CJK")
_LOUD: Final = ParagraphStyle("loud", _HEAD, textColor=colors.HexColor("#b00000"))
_RULES: Final = TableStyle(
    [
        ("LINEABOVE", (0, 0), (-1, -1), 0.4, colors.grey),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 2),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ]
)
_WRITE: Final = "_" * 18
_SIGN: Final = 13 * mm


def as_pdf(binder: Binder) -> bytes:
    """Return the document."""
    _, pages = _built(binder, 0)  # a first time to count them
    return _built(binder, pages)[0]


def _built(binder: Binder, pages: int) -> tuple[bytes, int]:
    """Return the document whose feet tell of so many pages, and how many there are."""
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 6 * mm,
        title=binder.title,
        invariant=1,
    )
    mark = "REHEARSAL  " if binder.rehearsal else ""

    def foot(canvas: Canvas, _document: object) -> None:
        canvas.setFont(_TEXT, 7)
        canvas.drawString(_MARGIN, 15 * mm, f"{mark}{_written(binder.title)[:60]}")
        place = f"page {canvas.getPageNumber()} of {pages}   initials ________________"
        canvas.drawRightString(A4[0] - _MARGIN, 15 * mm, place)
        canvas.setFont(_FIXED, 7)
        canvas.drawString(_MARGIN, 11 * mm, binder.digests[-1].hexadecimal)

    document.build([*_front(binder), *_annexes(binder)], onFirstPage=foot, onLaterPages=foot)
    return file.getvalue(), document.page


def _front(binder: Binder) -> Iterator[Flowable]:
    if binder.rehearsal:
        yield Paragraph("REHEARSAL: this proves nothing about real keys.", _LOUD)
    yield _text(binder.title, _TITLE)
    yield _text(binder.kind)
    yield Spacer(1, 4 * mm)
    yield _table([[_text(name), _text(value or _WRITE * 2)] for name, value in binder.facts], (0.3, 0.7))
    for digest in binder.digests:
        yield _text(f"SHA-256 of {digest.what}", _HEAD)
        yield _text(digest.hexadecimal, _CODE)
        yield from (_text(words) for words in digest.words)
    yield _text("Present", _HEAD)
    head = _heads("Name", "Role", "Affiliation", "Public key", "Token signed")
    yield _table([head, *map(_present, binder.people)], (0.13, 0.14, 0.23, 0.36, 0.14))
    yield _text("Steps", _HEAD)
    head = _heads("Step", "What", "Begun, took (estimated)", "Confirmed")
    rows = [_step(number, step) for number, step in enumerate(binder.steps, 1)]
    yield _table([head, *rows], (0.14, 0.44, 0.16, 0.26))
    yield _text("Exceptions", _HEAD)
    yield from _exceptions(binder)
    yield _text("Signatures", _HEAD)
    yield _text(
        "By signing I confirm that I was present in the role named here and that what is written above is what happened."
    )
    head = _heads("Name, role, affiliation", "Place, date", "Signature")
    signing = [[_text(", ".join(filter(None, (it.name, it.role, it.affiliation)))), "", ""] for it in binder.people]
    yield _table([head, *signing], (0.4, 0.25, 0.35), heights=[None, *[_SIGN] * len(signing)])


def _present(person: Person) -> list[Flowable]:
    affiliation, signed = person.affiliation or _WRITE, person.signed_at or _WRITE[:10]
    return [_text(person.name), _text(person.role), _text(affiliation), _text(person.public_key, _CODE), _text(signed)]


def _step(number: int, step: Record) -> list[Flowable | list[Flowable]]:
    what: list[Flowable] = [_text(step.do), *([_text(step.question)] if step.question else [])]
    what += [_text(said, _CODE) for said in step.shown]
    times = [step.begun or _WRITE[:10], step.took or _WRITE[:10], f"({step.estimated})" if step.estimated else ""]
    agreed: list[Flowable] = [
        _text(f"{one.name} ({one.role}): {one.at or _WRITE[:8]}") for one in step.confirmations
    ]  # fmt: skip
    return [_text(f"{number}. {step.id}"), what, [_text(time) for time in times if time], agreed]


def _exceptions(binder: Binder) -> Iterator[Flowable]:
    if binder.is_blank:
        yield _text("Step, what was expected, what happened, what was decided, who agreed:")
        yield _table([[""]] * 4, (1.0,), heights=[9 * mm] * 4)
    elif binder.exceptions:
        yield from map(_text, binder.exceptions)
    else:
        yield _text("None.")


def _annexes(binder: Binder) -> Iterator[Flowable]:
    if binder.lines:
        yield PageBreak()
        yield _text("Annex A: every line of the transcript", _HEAD)
    for line in binder.lines:
        yield _text(f"{line.number}. {line.event}, {line.by}, {line.at}", _HEAD)
        yield from (_text(f"{name}: {value}", _CODE) for name, value in line.fields)
    if binder.files:
        yield PageBreak()
        yield _text("Annex B: every file that was made", _HEAD)
    for made in binder.files:
        yield _text(made.file, _HEAD)
        yield _text(f"SHA-256 {made.sha256}", _CODE)
        yield Preformatted("\n".join(map(_ascii, made.rows)), _CODE, maxLineLength=100)


def _table(
    rows: Sequence[list[Any]], shares: Sequence[float], heights: Sequence[float | None] | None = None
) -> LongTable:
    return LongTable(rows, [_WIDTH * share for share in shares], heights, style=_RULES)


def _heads(*names: str) -> list[Flowable]:
    return [_text(name, ParagraphStyle("th", _PLAIN, fontName=_BOLD)) for name in names]


def _text(text: str, style: ParagraphStyle = _PLAIN) -> Paragraph:
    """Return text as text: what looks like markup is none."""
    return Paragraph(escape(_ascii(text) if style is _CODE else _written(text)), style)


def _written(text: str) -> str:
    return "".join(sign if ord(sign) in _SIGNS else f"U+{ord(sign):04X}" for sign in text)


def _ascii(text: str) -> str:
    return "".join(sign if " " <= sign <= "~" else f"U+{ord(sign):04X}" for sign in text)
