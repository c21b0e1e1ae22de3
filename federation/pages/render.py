"""Pages out of templates: complete HTML, everything escaped, nothing undefined, nothing from outside."""

from datetime import date
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from federation.clinical.text import printable
from federation.pages.entrance import Entrance
from federation.pages.errors import PageRefused
from federation.pages.forms import PROOF, SEEN
from federation.pages.stage import Snapshot
from federation.words import duration, local_time, near_time, size

_FIELDS: Final = Markup('<input type="hidden" name="{}" value="{}"><input type="hidden" name="{}" value="{}">')

TEMPLATES: Final = Environment(
    loader=PackageLoader("federation.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def day(value: date) -> str:
    """Return a day as every page writes it, such as "2026-12-01"."""
    return value.strftime("%Y-%m-%d")


TEMPLATES.filters |= {
    "printable": printable,
    "local_time": local_time,
    "near_time": near_time,
    "size": size,
    "duration": duration,
    "day": day,
}


def snapshot_of(request: Request) -> Snapshot[Any]:
    """Return the snapshot that this request shows: the same one however often it is asked for."""
    if not hasattr(request.state, "snapshot"):
        request.state.snapshot = request.app.state.side.stage.snapshot
    snapshot: Snapshot[Any] = request.state.snapshot
    return snapshot


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:  # noqa: ANN401 - a page's own
    """Render a page that extends "base.html"; it has `snapshot`, `state`, `side` and `fields()`, too.

    Raises UndefinedError where the template names something that it was not given.
    """
    snapshot, side = snapshot_of(request), request.app.state.side
    fields = _fields_of(request.app.state.entrance, snapshot.number)
    return HTMLResponse(
        TEMPLATES.get_template(template).render(
            {
                "snapshot": snapshot,
                "state": snapshot.state,
                "side": side,
                "side_name": side.name,
                "side_title": side.title,
                "fields": lambda: fields,
            },
            **context,
        ),
        status,
    )


def _fields_of(entrance: Entrance, seen: int) -> Markup:
    return _FIELDS.format(PROOF, entrance.form_proof(seen), SEEN, seen)


def home() -> RedirectResponse:
    """Lead to the page of the state as it is now; for the end of every command."""
    return RedirectResponse("/", 303)


def entered(side_name: str, side_title: str) -> HTMLResponse:
    """Render the page that goes on to "/" by itself, once a browser was let in."""
    return HTMLResponse(
        TEMPLATES.get_template("common/entered.html").render(side_name=side_name, side_title=side_title)
    )


def refusal(side_name: str, side_title: str, error: PageRefused) -> HTMLResponse:
    """Render why a request is not answered: for somebody who may be anybody, so nothing of the state is in it."""
    return HTMLResponse(
        TEMPLATES.get_template("common/refused.html").render(side_name=side_name, side_title=side_title, error=error),
        error.status,
    )
