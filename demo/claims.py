"""What the demonstration claims at its end, and how it is found out."""

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.events import Event
from demo.page import Check

_ID = b"P:johnnie"
_FAMILY_NAME = b"Johnnie679"


@dataclass(frozen=True)
class Visit:
    """What both sides said, the messages that went over, and a line for each record that came to the doctor."""

    doctor_said: str
    patient_said: str
    events: list[Event]
    records: Sequence[str]


def answers_in(said: str) -> list[str]:
    """Return what the doctor's command said of each answer: from where, and what was in it."""
    answers = re.findall(r"^From .+$(?:\n {2,}.+$)*", said, re.MULTILINE)
    return [" ".join(line.strip() for line in answer.splitlines()) for answer in answers]


def examine(root: Path, first: Visit, saved: Path, second: Visit, record: Path, conclusion: str) -> list[Check]:
    """Check every claim against what was said and saved, and what is on the disks of all parties."""
    fetched = [path.read_bytes() for path in saved.glob("a-*.json")]
    seen = json.dumps([event.onlooker_sees for event in first.events + second.events])
    return [
        Check(
            "the doctor at B got the record from A byte for byte, under the patient's grant",
            fetched == [record.read_bytes()],
        ),
        Check("the ECG arrived whole: twelve leads, ten seconds", "ECG, 12 leads, 10 s" in first.doctor_said),
        Check(
            "the patient has the diagnosis, signed by the doctor whom the code named", conclusion in first.patient_said
        ),
        Check("B keeps the encounter and signed for it", "H:b keeps this encounter" in first.doctor_said),
        Check("the second visit found both records, A's and B's", len(second.records) == 2),
        Check("the second visit has its diagnosis, too", conclusion in second.patient_said),
        Check("B keeps the second encounter", "H:b keeps this encounter" in second.doctor_said),
        Check("every message of the paper went over", _all_messages(first.events)),
        Check("nobody on the wire or at the relay saw who the patient is", _ID.decode() not in seen),
        Check(
            "no server's disk holds the patient's name in clear", not _found(root, ("a", "b", "cloud"), _FAMILY_NAME)
        ),
        Check("the cloud's index holds no identity in clear", not _found_in_index(root / "cloud" / "store.sqlite")),
    ]


def _all_messages(events: Sequence[Event]) -> bool:
    wanted = {"P1", "D1", "P2", "D2", "C", "D3", "H1", "D4", "H2", "D5", "P6", "STO", "STOACK"}
    return wanted <= {event.name for event in events}


def _found(root: Path, parties: Sequence[str], needle: bytes) -> bool:
    files = (path for party in parties for path in (root / party).rglob("*") if path.is_file())
    return any(needle in path.read_bytes() for path in files)


def _found_in_index(store: Path) -> bool:
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT * FROM index_rows").fetchall()
    return not rows or any(_ID in bytes(value) for row in rows for value in row if isinstance(value, bytes))
