"""A running federation in which a doctor and two patients type what a test says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from demo.stage import CONSENT, Federation, Running, run

RECORD = Path(__file__).parents[1] / "data" / "synthea-johnnie679.json"


class PreparedFederation(Federation):
    """A federation whose servers have these settings, name and value as TOML writes it, where `init` wrote its own."""

    def __init__(self, root: Path, settings: Mapping[str, str]) -> None:
        super().__init__(root)
        self.settings = settings

    def serve(self, kind: str, directory: Path) -> None:
        path = directory / "medunion.toml"
        text = path.read_text()
        for setting, value in self.settings.items():
            text, times = re.subn(rf"^#?{setting} = .*$", f"{setting} = {value}", text, flags=re.MULTILINE)
            assert times == 1, setting
        path.write_text(text)
        super().serve(kind, directory)


@dataclass
class Clinic:
    """A federation with a doctor at H:b, and patients of H:a."""

    federation: Federation
    doctor: Path
    johnnie: Path
    mary: Path

    def consult(self, name: str, *words: object, keyboard: int | None = None) -> tuple[Running, str]:
        return self.federation.consult(self.doctor, "b", name, "--department", "cardiology", *words, keyboard=keyboard)

    def visit(self, patient: Path, code: str, *words: object, expect: int = 0) -> str:
        return run("patient", "visit", "--directory", patient, code, "--yes", *words, expect=expect)

    def seen_at_visit(self, name: str) -> str:
        """Let P:johnnie visit the doctor with all consents; give what the doctor saw."""
        consult, code = self.consult(name, "--conclusion", "Sinus rhythm.")
        self.visit(self.johnnie, code, *CONSENT)
        return consult.wait()

    def import_record(self) -> None:
        """Give H:a a record of P:johnnie, and wait until the index has it."""
        run(
            *("hospital", "import", "--directory", self.federation.root / "a", "--patient", "P:johnnie"),
            *("--department", "cardiology", RECORD),
        )
        self.federation.await_publication("a")


def time_of_day(hours: int) -> str:
    """Return the time of day so many hours from now, as `--until` takes it."""
    return f"{datetime.now().astimezone() + timedelta(hours=hours):%H:%M}"


def clinic_of(made: Federation, *doctor: object) -> Clinic:
    """Add the doctor, with these words of its application, and the patients."""
    return Clinic(
        made, made.add_doctor("house", *doctor), made.add_patient("johnnie", "a"), made.add_patient("mary", "a")
    )
