"""A transcript as a page for the binder: one file, no script, nothing fetched."""

import json
from html import escape
from typing import Final

from keystore.ceremony.transcript import Entry
from keystore.ceremony.verify import Verified
from keystore.ceremony.words import spoken

_STYLE: Final = """
body { font: 11pt/1.4 Georgia, serif; max-width: 60em; margin: 2em auto; color: #111 }
h1 { font-size: 1.5em } .rehearsal { border: 2px solid #b00; color: #b00; padding: .5em; font-weight: bold }
table { border-collapse: collapse; width: 100% } td, th { border-top: 1px solid #bbb; padding: .3em .5em; text-align: left;
vertical-align: top } code, dd { font: 9pt/1.3 monospace; overflow-wrap: anywhere }
dt { float: left; clear: left; margin-right: .6em }
dl { margin: 0 } tr { break-inside: avoid }
"""


def as_html(verified: Verified) -> str:
    """Give the page of a transcript that was verified."""
    mark = '<p class="rehearsal">REHEARSAL: this proves nothing about real keys.</p>' if verified.rehearsal else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(verified.title)}</title><style>{_STYLE}</style></head><body>\n{mark}"
        f"<h1>{escape(verified.title)}</h1><p>Kind of ceremony: {escape(verified.kind)}</p>\n"
        f"<p>SHA-256 of the transcript's head: <code>{verified.head.hex()}</code><br>"
        f"{'<br>'.join(map(escape, spoken(verified.head)))}</p>\n"
        f"<h2>Signed by</h2><ul>{''.join(_signer(*signer) for signer in verified.signers.items())}</ul>\n"
        "<h2>What happened</h2><table><tr><th>Line</th><th>Time</th><th>What</th><th>Who</th><th>Facts</th></tr>\n"
        f"{''.join(map(_row, verified.entries))}</table></body></html>\n"
    )


def _signer(name: str, key: str) -> str:
    return f"<li>{escape(name)} <code>{escape(key)}</code></li>"


def _row(entry: Entry) -> str:
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd>" for name, value in sorted(entry.data.items())
    )
    cells = (str(entry.number), entry.at, entry.event, entry.by)
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}<td><dl>{facts}</dl></td></tr>\n"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
