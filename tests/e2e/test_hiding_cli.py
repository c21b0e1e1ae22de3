"""Hiding records as patients type it, over a running federation: the index at once, hospitals within seconds, deputies too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stage import federation, run
from tests.e2e.clinic import Clinic, clinic_of
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with federation(tmp_path_factory.mktemp("federation")) as made:
        clinic = clinic_of(made)
        clinic.import_record()
        yield clinic


def hidden(patient: Path, *words: object) -> str:
    return run("patient", "hidden", "--directory", patient, *words)


def test_record_is_hidden_from_a_doctor_everywhere_and_shown_again(clinic: Clinic) -> None:
    own = "--directory", clinic.johnnie
    assert "Nothing is hidden." in hidden(clinic.johnnie)
    assert "From H:a," in clinic.seen_at_visit("before")
    listed = run("patient", "records", "list", *own, "--hospital", "H:a")
    handle = listed.split("record ")[1].split()[0]

    said = run("patient", "hide", *own, "--record", handle, "--hospital", "H:a")
    assert f"1  Record {handle} at H:a." in said
    assert "does not see it either" in said
    assert "index goes by this already" in said
    until(lambda: "So does every hospital" in hidden(clinic.johnnie))
    assert "From H:a," not in clinic.seen_at_visit("hidden")
    assert handle in run("patient", "records", "list", *own, "--hospital", "H:a")
    log = run("hospital", "log", "--directory", clinic.federation.root / "a")
    assert any("RESTRICTION-TAKEN" in line and handle not in line for line in log.splitlines())

    said = run("patient", "hide", *own, "--department", "neurology", "--emergency-may-see")
    assert "2  All records of neurology at every hospital." in said
    assert "sees it all the same" in said
    said = run("patient", "show-again", *own, "1")
    assert "1  All records of neurology" in said
    assert handle not in said
    assert "[NO_SUCH_HIDING]" in run("patient", "show-again", *own, "2", expect=1)
    assert "Nothing is hidden." in run("patient", "show-again", *own, "--all")
    until(lambda: "So does every hospital" in hidden(clinic.johnnie))
    assert "From H:a," in clinic.seen_at_visit("shown-again")


def test_deputy_hides_with_the_power_alone(clinic: Clinic, tmp_path: Path) -> None:
    own, mandate = ("--directory", clinic.mary), tmp_path / "mandate"
    as_johnnie = *own, "--as", "P:johnnie"
    words = "P:mary", "--days", "30", "--yes", "--output", mandate
    run("patient", "mandate", "give", "--directory", clinic.johnnie, *words, "--power", "read")
    run("patient", "mandate", "accept", *own, mandate)
    assert "[NO_DEPUTY]" in run("patient", "hide", *as_johnnie, "--all", expect=1)
    run("patient", "mandate", "give", "--directory", clinic.johnnie, *words, "--power", "restrict")
    run("patient", "mandate", "accept", *own, mandate)
    assert "1  All records at every hospital." in run("patient", "hide", *as_johnnie, "--all")
    assert "1  All records at every hospital." in hidden(clinic.johnnie)
    run("patient", "show-again", "--directory", clinic.johnnie, "--all")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Say what"),
        (("--all", "--hospital", "H:a"), "Say what"),
        (("--record", "07" * 16), "A record is named with its hospital"),
        (("--record", "07"), "is no record's handle"),
        (("--department", "Heart"), "is not the id of a department class"),
    ],
    ids=["nothing", "all and some", "record alone", "no handle", "no class"],
)
def test_what_is_hidden_has_to_be_said(clinic: Clinic, words: tuple[str, ...], said: str) -> None:
    assert said in run("patient", "hide", "--directory", clinic.johnnie, *words, expect=2)
