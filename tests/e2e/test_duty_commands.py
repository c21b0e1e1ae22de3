"""`medunion hospital duty` and `medunion hospital guardian`, as the desk types them."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from demo.stage import Federation, Running, run
from tests.e2e.test_hospital_commands import Commands, found_node
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)

HEADER = "doctor,departments,from,until"
_ID = re.compile(r"^([0-9a-f]{32})  ", re.MULTILINE)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A hospital with a cardiology and no public cloud."""
    made = Commands(tmp_path_factory.mktemp("roster"))
    found_node(made)
    return made


def duty(commands: Commands, *words: object, code: int = 0) -> str:
    command, *rest = map(str, words)
    return commands.run("hospital", "duty", command, "--directory", commands.path("hospital"), *rest, code=code)


def shifts(commands: Commands, doctor: str) -> list[dict[str, object]]:
    listed = json.loads(duty(commands, "list", "--all", "--json"))
    return [shift for shift in listed if shift["doctor"] == doctor]


def at(hours: float) -> str:
    """A time from now, with its zone, in whole minutes."""
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="minutes")


def roster(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "roster.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def test_doctor_is_put_on_duty_from_now_for_twelve_hours_and_listed(commands: Commands) -> None:
    said = duty(commands, "add", "D:chen", "--department", "cardiology")
    (shift,) = shifts(commands, "D:chen")
    assert said.startswith(f"{shift['id']}  D:chen  ")
    assert (shift["departments"], shift["on_duty"], shift["shown"]) == (["cardiology"], True, False)
    lasts = datetime.fromisoformat(str(shift["until"])) - datetime.fromisoformat(str(shift["from"]))
    assert lasts == timedelta(hours=12)
    assert f"{shift['id']}  D:chen" in duty(commands, "list").partition("On duty now:")[2]


def test_doctor_is_put_on_duty_for_days_in_shifts_and_twice_is_once(commands: Commands) -> None:
    span = "--from", at(1), "--until", at(61)
    duty(commands, "add", "D:days", *span)
    assert len(shifts(commands, "D:days")) == 3
    assert duty(commands, "add", "D:days", *span).count("on the roster already") == 3
    listed = duty(commands, "list")
    assert listed.partition("Next:")[2].count("D:days") == 1  # within 24 hours


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("chen",), 1, "'chen' is not the id of a doctor"),
        (("D:x", "--department", "alchemy"), 1, "'alchemy' is no department class"),
        (("D:x", "--department", "neurology"), 1, "H:alpha has no department of the class neurology"),
        (("D:x", "--until", "2001-01-01"), 1, "ends before it begins"),
        (("D:x", "--from", "2001-01-01", "--until", "2001-01-02"), 1, "the shift is over"),
        (("D:x", "--from", "tomorrow"), 2, "'tomorrow' is no time as"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_may_not_go_on_the_roster_is_refused(
    commands: Commands, words: tuple[str, ...], code: int, says: str
) -> None:
    assert says in duty(commands, "add", *words, code=code)
    assert shifts(commands, "D:x") == []


def test_shift_that_was_shown_to_nobody_ends_without_the_public_cloud(commands: Commands) -> None:
    shift_id = _ID.search(duty(commands, "add", "D:ann"))[1]
    assert "ended; its duty was shown to nobody" in duty(commands, "end", shift_id)
    assert "was ended before; its duty was shown to nobody" in duty(commands, "end", shift_id)
    assert "D:ann is not on duty now" in duty(commands, "end", "D:ann", code=1)
    assert "D:ann" not in duty(commands, "list")
    assert "ended at" in duty(commands, "list", "--all")


def test_doctors_shifts_of_now_end_and_with_all_those_to_come(commands: Commands) -> None:
    duty(commands, "add", "D:bea")
    duty(commands, "add", "D:bea", "--from", at(13), "--until", at(14))
    assert duty(commands, "end", "D:bea").count("ended;") == 1
    assert duty(commands, "end", "--all", "D:bea").count("ended;") == 1


@pytest.mark.parametrize("which", ["0" * 31, "f" * 32, "P:wang", "chen"])
def test_end_of_what_is_no_shift_is_wrong_usage(commands: Commands, which: str) -> None:
    assert "Usage" in duty(commands, "end", which, code=2)


def test_roster_comes_in_from_a_file_and_again_changes_nothing(commands: Commands, tmp_path: Path) -> None:
    path = roster(
        tmp_path,
        f"D:fay,cardiology,{at(0)},{at(8)}",
        f"D:fay,,{at(8)},{at(9)}",
        f"D:gil,cardiology,{at(-30)},{at(30)}",
    )
    dry = duty(commands, "import", path, "--dry-run")
    assert "4 shifts would be added, 0 on the roster already, 0 ended by hand and left so, 1 over and left out." in dry
    assert shifts(commands, "D:fay") == []
    assert "4 shifts added, 0 on the roster already" in duty(commands, "import", path)
    before = shifts(commands, "D:fay"), shifts(commands, "D:gil")
    assert "0 shifts added, 4 on the roster already" in duty(commands, "import", path)
    assert (shifts(commands, "D:fay"), shifts(commands, "D:gil")) == before
    duty(commands, "end", "D:fay")
    again = duty(commands, "import", path)
    assert "0 shifts added, 3 on the roster already, 1 ended by hand and left so, 1 over and left out." in again


def test_roster_with_bad_lines_names_each_and_changes_nothing(commands: Commands, tmp_path: Path) -> None:
    path = roster(
        tmp_path,
        f"D:hal,cardiology,{at(1)},{at(2)}",
        f"hal,cardiology,{at(1)},{at(2)}",
        f"D:hal,alchemy,{at(1)},{at(2)}",
        f"D:hal,cardiology,{at(2)},{at(1)}",
        f"D:hal,cardiology,{at(1)}",
        f"D:hal,cardiology,soon,{at(2)}",
        f"D:hal,cardiology,{at(1)},{at(2)},night",
    )
    said = duty(commands, "import", path, code=1)
    assert [int(number) for number in re.findall(r"roster\.csv, line (\d+): ", said)] == [3, 4, 5, 6, 7, 8]
    assert "6 lines of 7 are bad: nothing was changed" in said
    assert shifts(commands, "D:hal") == []


def test_roster_of_excel_is_read_and_local_times_are_told(commands: Commands, tmp_path: Path) -> None:
    noon = (datetime.now().astimezone() + timedelta(days=2)).replace(hour=12, minute=0, second=0, microsecond=0)
    begins, ends = f"{noon.date()}T12:00", (noon + timedelta(hours=8)).isoformat()
    path = tmp_path / "excel.csv"
    path.write_text(f"sep=;\r\nDoctor;Departments;From;Until\r\nD:ida;cardiology;{begins};{ends};\r\n", "utf-16")
    said = duty(commands, "import", path)
    assert "Times without a zone were taken as this machine's, " in said
    assert [datetime.fromisoformat(str(shift["from"])).hour for shift in shifts(commands, "D:ida")] == [12]


def test_roster_without_a_line_is_refused(commands: Commands, tmp_path: Path) -> None:
    assert "holds no shift" in duty(commands, "import", roster(tmp_path), code=1)


def test_exported_roster_is_imported_without_a_change(commands: Commands, tmp_path: Path) -> None:
    duty(commands, "add", "D:jon", "--department", "cardiology", "--from", at(1), "--until", at(30))
    duty(commands, "add", "D:kay")
    duty(commands, "end", "D:kay")
    exported = duty(commands, "export")
    assert exported.startswith(f"{HEADER}\n")
    assert exported.count("D:jon,cardiology,") == 2
    assert "D:kay" not in exported
    path = tmp_path / "exported.csv"
    path.write_text(exported)
    assert "0 shifts added" in duty(commands, "import", path)


@pytest.mark.parametrize(
    ("group", "command"),
    [("duty", name) for name in ("add", "list", "end", "import", "export")]
    + [("guardian", name) for name in ("state", "restate", "list", "end")],
)
def test_help_says_what_every_option_means(commands: Commands, group: str, command: str) -> None:
    said = commands.run("hospital", group, command, "--help")
    assert said.startswith("Usage: ")
    # Each option is followed by its meaning, on its line or, where it is long, on the next.
    options = re.findall(r"^  (?:-\S+, )?--\S+(?: \S+)*?(?:  +|\n {4,})(\S)", said, re.MULTILINE)
    assert len(options) == len(re.findall(r"^  (?:-\S+, )?--", said, re.MULTILINE)) > 0


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A cloud, hospital a, and a doctor who is on no roster yet."""
    made = Federation(tmp_path_factory.mktemp("federation"))
    try:
        made.found()
        made.add_hospital("a")
        made.add_doctor("house")
        yield made
    finally:
        made.stop()


def desk(federation: Federation, *words: object, expect: int = 0) -> str:
    group, command, *rest = words
    return run("hospital", group, command, "--directory", federation.root / "a", *rest, expect=expect)


def consulting(federation: Federation, name: str) -> Running:
    """A doctor opens a room, without anybody seeing to it that it is on duty."""
    where = "--hospital", "H:a", "--address", federation.addresses["a"]
    written = "--code-file", federation.root / f"{name}.code", "--conclusion", "Well.", "--department", "cardiology"
    log, doctor = federation.root / f"{name}.log", federation.root / "house"
    room = Running(log, "doctor", "consult", "--directory", doctor, *where, *written)
    federation.running.append(room)
    return room


def test_doctor_gets_no_room_off_duty_and_loses_it_when_the_duty_ends(federation: Federation) -> None:
    refused = consulting(federation, "refused")
    assert "The hospital's roster does not name this doctor now." in refused.wait(expect=1)
    desk(federation, "duty", "add", "D:house", "--department", "cardiology")
    room = consulting(federation, "open")
    room.wait_for(federation.root / "open.code")
    assert json.loads(desk(federation, "duty", "list", "--json"))[0]["shown"]
    said = desk(federation, "duty", "end", "D:house")
    assert ": ended, everywhere" in said
    assert "NOT_ON_DUTY" in room.wait(expect=1)
    logged = run("hospital", "log", "--directory", federation.root / "a")
    assert [kind for kind in ("ROSTER", "DUTY-STATED", "DUTY-ENDED") if kind not in logged] == []
    assert "D:house is not on duty now" in desk(federation, "duty", "end", "D:house", expect=1)


def test_duty_ended_while_the_public_cloud_is_away_is_ended_here_and_told_later(federation: Federation) -> None:
    desk(federation, "duty", "add", "D:house")
    room = consulting(federation, "away")
    room.wait_for(federation.root / "away.code")
    cloud = federation.running[0]
    cloud.stop()
    said = desk(federation, "duty", "end", "D:house", expect=1)
    assert ": ended at this hospital. Elsewhere the duty stands until " in said
    assert "Give the same command again." in said
    assert "NOT_ON_DUTY" in room.wait(expect=1)
    assert "HERE ALONE" in desk(federation, "duty", "list", "--all")
    federation.serve("public-cloud", federation.root / "cloud")
    until(lambda: "was ended before, everywhere" in _tried(federation))
    assert "HERE ALONE" not in desk(federation, "duty", "list", "--all")


def _tried(federation: Federation) -> str:
    try:
        return desk(federation, "duty", "end", "D:house")
    except AssertionError:
        return ""


def test_guardianship_is_stated_listed_written_and_ended_everywhere(federation: Federation, tmp_path: Path) -> None:
    child, mother = "P:child", "P:mother"
    words = "--ward", child, "--guardian", mother, "--basis", "parent", "--officer", "Officer Ona"
    output = tmp_path / "guardian"
    said = desk(federation, "guardian", "state", *words, "--until", "2031-05-04", "--output", output)
    assert f"{mother} for {child}  parent, seen by Officer Ona  until 2031-05-04" in said
    assert (
        f"{output} is for {mother}, who takes it so:\n  medunion patient mandate accept --directory ... guardian"
        in said
    )
    written = output.read_bytes()
    guardianship_id = _ID.search(said)[1]
    assert "stands" in desk(federation, "guardian", "list")
    anew = tmp_path / "anew"
    desk(federation, "guardian", "restate", guardianship_id, "--output", anew)
    assert anew.read_bytes() != written
    assert "ended, everywhere" in desk(federation, "guardian", "end", guardianship_id)
    assert "was ended before, everywhere" in desk(federation, "guardian", "end", guardianship_id)
    assert desk(federation, "guardian", "list") == ""
    assert "ended" in desk(federation, "guardian", "list", "--all")
    missing = "0" * 32
    assert "NOT_FOUND" in desk(federation, "guardian", "end", missing, expect=1)


@pytest.mark.parametrize(
    ("changed", "code", "says"),
    [
        (("--until", "2001-01-01"), 1, "DEPUTY_INVALID"),
        (("--ward", "child"), 1, "FIELD_INVALID"),
        (("--power", "everything"), 2, "everything"),
        (("--until", "soon"), 2, "soon"),
        (("--output", "/nowhere/x"), 2, "there is no such directory"),
    ],
)
def test_guardianship_that_may_not_be_is_refused(
    federation: Federation, tmp_path: Path, changed: tuple[str, str], code: int, says: str
) -> None:
    words = {
        "--ward": "P:child",
        "--guardian": "P:mother",
        "--basis": "parent",
        "--officer": "Ona",
        "--until": "2031-05-04",
        "--output": str(tmp_path / "guardian"),
    }
    words[changed[0]] = changed[1]
    arguments = [word for pair in words.items() for word in pair]
    assert says in desk(federation, "guardian", "state", *arguments, expect=code)
    assert not (tmp_path / "guardian").exists()
