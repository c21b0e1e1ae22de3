"""Notes and documents of one's own as patients type them, over a running federation: added, found, read, and by whom."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stage import federation, run
from tests.e2e.clinic import Clinic, clinic_of

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with federation(tmp_path_factory.mktemp("federation")) as made:
        yield clinic_of(made)


def add(clinic: Clinic, patient: Path, *words: object, expect: int = 0) -> str:
    at = "--hospital", "H:a", "--address", clinic.federation.addresses["a"], "--department", "cardiology", "--yes"
    return run("patient", "records", "add", "--directory", patient, *at, *words, expect=expect)


def is_told(shown: str, title: str, author: str) -> bool:
    """Whether the chart has a document of this title, and right behind it who wrote it, wherever its lines break."""
    flat = " ".join(shown.split())
    return 0 <= flat.find(author, flat.find(title)) - flat.find(title) < 200


def test_a_note_is_found_and_read_by_a_doctor_as_the_patients(clinic: Clinic, tmp_path: Path) -> None:
    said = add(clinic, clinic.johnnie, "--title", "Nasenbluten, März", "--note", "Since Monday.\nEach morning.")
    assert '"Nasenbluten, März", text/plain' in said
    assert "goes into your record" in said
    handle = said.split("keeps it: record ")[1].split(".")[0]
    clinic.federation.await_publication("a")

    own = "--directory", clinic.johnnie
    assert handle in run("patient", "records", "list", *own)
    shown = run("patient", "records", "show", *own)
    assert is_told(shown, "Nasenbluten, März", "written by the patient")
    assert "    | Since Monday.\n    | Each morning." in shown
    saved = tmp_path / "saved"
    run("patient", "records", "save", "--output", saved, *own)
    assert b"Since Monday.\nEach morning." in [path.read_bytes() for path in saved.iterdir()]

    seen = clinic.seen_at_visit("before")
    assert is_told(seen, "Nasenbluten, März", "written by the patient")
    assert "    | Since Monday." in seen
    accesses = run("patient", "accesses", *own)
    assert "added a document of the patient's own of cardiology" in accesses


def test_a_file_that_is_secret_is_for_the_patient_alone(clinic: Clinic, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7 whatever")
    said = add(clinic, clinic.johnnie, "--title", "Letter", letter, "--sensitivity", "secret")
    assert '"Letter", application/pdf' in said
    assert "Nobody but the patient reads it." in said
    clinic.federation.await_publication("a")
    shown = run("patient", "records", "show", "--directory", clinic.johnnie)
    assert is_told(shown, "Letter", "written by the patient")
    assert "Letter" not in clinic.seen_at_visit("secret")


def test_a_deputy_adds_with_the_power_alone(clinic: Clinic, tmp_path: Path) -> None:
    own, mandate = ("--directory", clinic.mary), tmp_path / "mandate"
    words = "P:mary", "--days", "30", "--yes", "--output", mandate
    note = "--as", "P:johnnie", "--title", "Fell down", "--note", "On Tuesday."
    assert "[NO_DEPUTY]" in add(clinic, clinic.mary, *note, expect=1)
    run("patient", "mandate", "give", "--directory", clinic.johnnie, *words, "--power", "read")
    run("patient", "mandate", "accept", *own, mandate)
    assert 'does not give the power "add"' in add(clinic, clinic.mary, *note, expect=1)
    run("patient", "mandate", "give", "--directory", clinic.johnnie, *words, "--power", "add")
    run("patient", "mandate", "accept", *own, mandate)
    assert "goes into the record of P:johnnie" in add(clinic, clinic.mary, *note)
    clinic.federation.await_publication("a")
    shown = run("patient", "records", "show", "--directory", clinic.johnnie)
    assert is_told(shown, "Fell down", "written by P:mary in the patient's name")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --note TEXT or FILE"),
        (("--note", "a", __file__), "give --note TEXT or FILE"),
        (("--note", "a", "--media-type", "text/html"), "--media-type is of a file"),
    ],
    ids=["nothing", "both", "a note's type"],
)
def test_what_is_added_has_to_be_said(clinic: Clinic, words: tuple[str, ...], said: str) -> None:
    assert said in add(clinic, clinic.johnnie, "--title", "T", *words, expect=2)
