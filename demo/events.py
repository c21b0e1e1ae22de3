"""What the clients' traces say: every message once, as its sender or its receiver noted it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MEANINGS = {
    "reg1": "I hold these keys, and a ticket (or Cert_D) says that I may be this identity",
    "reg2": "your registration secret S_X, and a statement of your keys",
    "room": "a room for a patient, please; this is who I am",
    "P1": "who I am, and R_P2; for this doctor alone",
    "D1": "who I am, R_D2, and the proof that I have SEK_1",
    "P2": "the ECG, and my consent, under SEK_1",
    "D2": "where are this patient's records? here is the consent",
    "C": "at these hospitals",
    "D3": "I ask this hospital, for a patient that only I can name",
    "H1": "this is the hospital, and the proof that I have SEK_2",
    "D4": "the patient's name and consent, under SEK_2",
    "H2": "the record, slice by slice; the last frame signs it",
    "D5": "the diagnosis, signed",
    "P6": "a signed receipt",
    "STO": "keep this encounter: what the patient and I signed",
    "STOACK": "kept, signed",
}


@dataclass(frozen=True)
class Event:
    """One message on the wire. Frames of one message that follow each other are one event."""

    time_ms: int
    name: str
    sender: str
    receiver: str
    wire_bytes: int
    frames: int
    onlooker_sees: dict[str, object]

    @property
    def in_clear(self) -> str:
        """Say what somebody sees who holds the message and no key."""
        return ", ".join(_clear(self.onlooker_sees))

    @property
    def meaning(self) -> str:
        """Say in words what the message says to who can open it."""
        return MEANINGS.get(self.name, "")


def _clear(fields: dict[str, object], prefix: str = "") -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _clear(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name} {value}"


def read_traces(*paths: Path) -> list[Event]:
    """Read traces and give every message once, in order; lookups of public lists are left out."""
    lines = [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]
    seen: set[str] = set()
    events = []
    for line in sorted(lines, key=lambda entry: int(entry["time_ms"])):
        content = json.dumps([line["name"], line["from"], line["to"], line["wire_bytes"], line["onlooker_sees"]])
        if content in seen or line["name"] not in MEANINGS:
            continue
        seen.add(content)
        events.append(
            Event(line["time_ms"], line["name"], line["from"], line["to"], line["wire_bytes"], 1, line["onlooker_sees"])
        )
    return list(_joined(events))


def _joined(events: Iterable[Event]) -> Iterable[Event]:
    """Put the frames of one message together."""
    pending: Event | None = None
    for event in events:
        same = pending is not None and (event.name, event.sender, event.receiver) == (
            pending.name,
            pending.sender,
            pending.receiver,
        )
        if pending is not None and same and event.name in {"P2", "H2", "STO"}:
            pending = Event(
                pending.time_ms,
                event.name,
                event.sender,
                event.receiver,
                pending.wire_bytes + event.wire_bytes,
                pending.frames + 1,
                event.onlooker_sees,
            )
            continue
        if pending is not None:
            yield pending
        pending = event
    if pending is not None:
        yield pending


def in_words(size: int) -> str:
    """Return a size in B, kB or MB."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
