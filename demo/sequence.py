"""The message sequence of a visit, drawn as SVG."""

from collections.abc import Sequence
from html import escape

from demo.events import Event, in_words

_WIDTH, _TOP, _STEP, _MARGIN = 980, 64, 46, 90


def draw(events: Sequence[Event], lifelines: Sequence[tuple[str, str]]) -> str:
    """Draw messages between lifelines (identity, caption), from top to bottom."""
    positions = {
        identity: _MARGIN + index * (_WIDTH - 2 * _MARGIN) / (len(lifelines) - 1)
        for index, (identity, _) in enumerate(lifelines)
    }
    shown = [event for event in events if event.sender in positions and event.receiver in positions]
    height = _TOP + _STEP * (len(shown) + 1)
    parts = [_lifeline(positions[identity], identity, caption, height) for identity, caption in lifelines]
    start = shown[0].time_ms if shown else 0
    parts += [
        _arrow(event, positions[event.sender], positions[event.receiver], _TOP + _STEP * (row + 0.8), start)
        for row, event in enumerate(shown)
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" class="sequence" xmlns="http://www.w3.org/2000/svg">'
        f"<title>Messages of the visit, from top to bottom</title>{''.join(parts)}</svg>"
    )


def _lifeline(x: float, identity: str, caption: str, height: int) -> str:
    return (
        f'<line x1="{x}" y1="48" x2="{x}" y2="{height - 8}" class="life"/>'
        f'<text x="{x}" y="20" class="who">{escape(caption)}</text>'
        f'<text x="{x}" y="38" class="id">{escape(identity)}</text>'
    )


def _arrow(event: Event, start: float, end: float, y: float, zero: int) -> str:
    direction = 1 if end > start else -1
    tip, left = end - 2 * direction, min(start, end)
    head = f"{tip},{y} {tip - 8 * direction},{y - 4} {tip - 8 * direction},{y + 4}"
    frames = f", {event.frames} frames" if event.frames > 1 else ""
    label = f"{event.name}  {in_words(event.wire_bytes)}{frames}"
    hover = f"{event.name}: {event.meaning}. {event.time_ms - zero} ms after the first message."
    return (
        f"<g><title>{escape(hover)}</title>"
        f'<line x1="{start}" y1="{y}" x2="{tip - 6 * direction}" y2="{y}" class="arrow"/>'
        f'<polygon points="{head}" class="head"/>'
        f'<text x="{left + abs(end - start) / 2}" y="{y - 7}" class="label">{escape(label)}</text></g>'
    )
