"""Hospitals that are frozen or gone don't stop the rest: visits go on, and what the others have comes in bounded time."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stage import CONSENT, Federation, Running, run

DATA = Path(__file__).parents[1] / "data"
ECG = DATA / "waveform_ecg.dcm"
RECORD = DATA / "synthea-johnnie679.json"
CONNECTED_WITHIN_SECONDS = 20
"""federation/person: so long a hospital may take to answer the dial; those of one search are dialled side by side or in turn."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Federation]:
    """Three hospitals that each have a record of one patient, and a doctor at b."""
    made = Federation(tmp_path)
    try:
        made.found()
        for label in ("a", "b", "c"):
            made.add_hospital(label)
        made.add_doctor("house")
        made.add_patient("johnnie", "b")
        for label in ("a", "b", "c"):
            imported = ("--patient", "P:johnnie", "--department", "cardiology", RECORD)
            run("hospital", "import", "--directory", tmp_path / label, *imported)
            made.await_publication(label)
        yield made
    finally:
        for running in made.running:
            if running.process.poll() is None:
                os.kill(running.process.pid, signal.SIGCONT)
        made.stop()


def server_of(made: Federation, label: str) -> Running:
    return next(running for running in made.running if running.log == made.root / label / "serve.log")


def visit(made: Federation, name: str) -> tuple[str, float]:
    """One visit at b: what the doctor was told, and how long it took."""
    began = time.monotonic()
    consult = ("--conclusion", "Well.", "--department", "cardiology")
    going_on, code = made.consult(made.root / "house", "b", name, *consult)
    run("patient", "visit", "--directory", made.root / "johnnie", code, "--ecg", ECG, *CONSENT)
    story = going_on.wait()
    assert "The patient signed for the diagnosis" in story
    return story, time.monotonic() - began


def test_one_hospital_frozen_and_one_killed_leave_visits_and_the_rest_of_a_search_going(made: Federation) -> None:
    _, undisturbed = visit(made, "undisturbed")
    frozen, killed = server_of(made, "a"), server_of(made, "c")
    frozen.process.send_signal(signal.SIGSTOP)
    killed.process.kill()
    killed.process.wait()

    story, disturbed = visit(made, "disturbed")
    assert "4 records found" in story, story
    for missing in ("H:a", "H:c"):
        assert missing in story, story
    assert story.count("UNAVAILABLE") == 2, story
    assert disturbed < undisturbed + 2 * CONNECTED_WITHIN_SECONDS + 10, (undisturbed, disturbed)
    # What the visit left is published while both are still away.
    made.await_publication("b")

    frozen.process.send_signal(signal.SIGCONT)
    made.running.remove(killed)
    made.serve("hospital", made.root / "c")
    story, healed = visit(made, "healed")
    assert "5 records found" in story, story
    assert "UNAVAILABLE" not in story, story
    assert healed < undisturbed + CONNECTED_WITHIN_SECONDS, (undisturbed, healed)
