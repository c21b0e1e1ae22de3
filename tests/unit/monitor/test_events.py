"""Events of the operational log as counters: every one is known, and begins at 0."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from federation.monitor.events import CHORES, EVENTS, OTHERS, RARE_CHORES, counted_events
from federation.wire import operations

FEDERATION = Path(__file__).parents[3] / "federation"
TELLS = {"warning", "failure", "_passing"}
EVENT = re.compile(r"[a-z]+(-[a-z]+)+")


def told_in(path: Path) -> Iterator[str]:
    """Give the events that a module tells as warnings or faults: what such calls begin with, or name `event`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        told = [*node.args[:1]] if name in TELLS else [it.value for it in node.keywords if it.arg == "event"]
        for literal in told:
            if isinstance(literal, ast.Constant) and EVENT.fullmatch(str(literal.value)):
                yield str(literal.value)


def test_every_event_that_the_code_tells_is_known() -> None:
    told = {event for path in FEDERATION.rglob("*.py") for event in told_in(path)}
    assert len(told) > 15
    assert told <= EVENTS, f"say in federation/monitor/events.py what these are: {sorted(told - EVENTS)}"


def test_every_event_that_is_known_is_told() -> None:
    code = "".join(path.read_text() for path in FEDERATION.rglob("*.py") if path.name != "events.py")
    named = {event for event in EVENTS if f'"{event}"' in code}
    built = {event for event in EVENTS if event.endswith(("-lost", "-probe-failed", "-not-served"))}
    assert named | built == EVENTS


def test_an_event_is_of_one_kind() -> None:
    assert len(EVENTS) == len(CHORES) + len(RARE_CHORES) + len(OTHERS)


def test_events_begin_at_0_and_are_counted() -> None:
    registry = CollectorRegistry()

    def count(event: str, level: str) -> float | None:
        return registry.get_sample_value("medunion_events_total", {"event": event, "level": level})

    with counted_events(registry):
        assert {count(event, level) for event in EVENTS for level in ("WARNING", "ERROR")} == {0}
        operations.warning("outbox-failed", reason="X")
        operations.failure("outbox-failed", ValueError("x"))
        operations.warning("somebody was here")
    assert count("outbox-failed", "WARNING") == 1
    assert count("outbox-failed", "ERROR") == 1
    assert count("OTHER", "WARNING") == 1
    assert count("somebody was here", "WARNING") is None
