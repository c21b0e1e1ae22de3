"""The demonstration's HTML page: the ECG as the doctor saw it, the messages, what an onlooker saw. Self-contained."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from demo.events import Event, in_words

_STYLE = Path(__file__).with_name("page.css").read_text()


@dataclass(frozen=True)
class Check:
    """One claim of the demonstration, and whether it held."""

    claim: str
    held: bool


@dataclass(frozen=True)
class Pictures:
    """What both saw, as PNG, and what their browsers asked of any other computer, which is nothing."""

    consent: bytes
    chart: bytes
    diagnosis: bytes
    elsewhere: Sequence[str]


@dataclass(frozen=True)
class Page:
    """What the page shows."""

    checks: Sequence[Check]
    electrocardiogram: str
    diagnosis: str
    records: Sequence[str]
    sequence: str
    events: Sequence[Event]
    seconds: float
    pictures: Pictures | None


def render(page: Page) -> str:
    """Return the page as HTML."""
    held = all(check.held for check in page.checks)
    verdict = "The visit held, end to end." if held else "The visit did not hold."
    claims = "".join(f"<li>{'' if c.held else '<b>Failed:</b> '}{escape(c.claim)}</li>" for c in page.checks)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>medunion: a patient's visit</title><style>{_STYLE}</style></head><body>
<h1>A patient's visit</h1>
<p class="lead">One public cloud, two hospitals, a doctor and a patient, each with its own token; {page.seconds:.0f} seconds.</p>
<div class="verdict{"" if held else " bad"}"><b>{verdict}</b><ul>{claims}</ul></div>
{_pictures(page.pictures)}
<h2>What the patient's device sent</h2>
<p>A real, anonymised 12-lead ECG (10 s at 1 kHz), as a FHIR Observation; the doctor's client drew this from what arrived.</p>
{page.electrocardiogram}
<h2>What the doctor found elsewhere</h2>
<ul>{"".join(f"<li>{escape(record)}</li>" for record in page.records)}</ul>
<h2>What the patient got</h2>
<blockquote>{escape(page.diagnosis)}</blockquote>
<h2>Who sent what to whom</h2>
<p>Sizes are those on the wire inside TLS. The patient and the doctor speak through the relay of the doctor's hospital.</p>
{page.sequence}
<h2>What an onlooker sees who breaks TLS, or runs the relay</h2>
<p>From outside TLS there are addresses, sizes and times alone. Inside it, the relay and the servers hold this much in clear:
sealed sizes are padded, session ids random and of one exchange only, and no message names the patient.</p>
{_table(page.events)}
</body></html>
"""


def _pictures(pictures: Pictures | None) -> str:
    """Return what both saw in their browsers at the second visit."""
    if pictures is None:
        return ""
    shown = (
        ("The patient agrees", pictures.consent, "phone"),
        ("The doctor reads", pictures.chart, "desk"),
        ("The diagnosis comes", pictures.diagnosis, "phone"),
    )
    figures = "".join(
        f'<figure class="{kind}"><figcaption>{words}</figcaption>'
        f'<img alt="{words}" src="data:image/png;base64,{b64encode(png).decode()}"></figure>'
        for words, png, kind in shown
    )
    return f"""<h2>What both saw</h2>
<p>The second visit, in two browsers: the patient's app (<code>medunion patient app</code>) and the doctor's desk
(<code>medunion doctor desk</code>), each served by a program of the person's own that holds the token.</p>
<div class="screens">{figures}</div>"""


def _table(events: Sequence[Event]) -> str:
    rows = "".join(
        f'<tr><td><b>{escape(e.name)}</b></td><td>{escape(e.meaning)}</td><td class="number">{in_words(e.wire_bytes)}</td>'
        f"<td><code>{escape(e.in_clear)}</code></td></tr>"
        for e in events
    )
    head = "<tr><th>message</th><th>says, to who can open it</th><th>on the wire</th><th>in clear</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
