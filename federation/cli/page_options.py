"""What the commands share that serve pages: when a page locks, whether a browser is started, what has to be installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import click

from federation.cli import terminal
from federation.cli.options import gather_options
from federation.settings import ConfigError

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class PageChoice:
    """How pages are served: locked after this idle time; `browser` says whether one is started."""

    lock_after: timedelta
    browser: bool


def page_options(command: F) -> F:
    """Add how pages are served, as a PageChoice named `pages`."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        return {"pages": PageChoice(timedelta(minutes=values.pop("lock_after")), values.pop("browser"))}

    lock_after = click.option(
        "--lock-after",
        type=terminal.Amount(min=1, max=240),
        default=10,
        show_default=True,
        help="Minutes without a touch after which the page is locked, and your keys with it.",
    )
    browser = click.option("--browser/--no-browser", default=True, help="Open the page in your browser.")
    return gather_options(command, gather, (lock_after, browser))


@contextmanager
def pages_extra() -> Iterator[None]:
    """Import the pages within this: they need an extra that other commands do without. Raises ConfigError without it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"pages need the extra `pages`: {error.name} is not installed") from None
