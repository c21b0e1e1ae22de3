"""The binder as one page of HTML: everything escaped, nothing from outside, ready for a printer."""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from federation.clinical.text import printable
from keystore.ceremony.binder import Binder

_TEMPLATES: Final = Environment(
    loader=PackageLoader("federation.binder"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_TEMPLATES.filters["printable"] = printable


def as_html(binder: Binder) -> bytes:
    """Return the page, the same for the same binder."""
    return _TEMPLATES.get_template("binder.html").render(binder=binder).encode()
