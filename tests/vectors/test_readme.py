"""What README.md and docs/clients.md say of the vectors is so: files, counts, and who takes each message."""

import re
from pathlib import Path

from federation.protocol.outcomes import OUTCOMES
from tests.vectors.generate import PHASES
from tests.vectors.kept import FILES

DIRECTORY = Path(__file__).parent
README = (DIRECTORY / "README.md").read_text()
CLIENTS = (DIRECTORY.parents[1] / "docs" / "clients.md").read_text()


def messages() -> list[str]:
    return [vector["name"] for phase in PHASES for vector in FILES[phase]["vectors"]]


def counted(text: str, what: str) -> int:
    [number] = re.findall(rf"(\d+) {what}", " ".join(text.split()))
    return int(number)


def test_every_file_is_described() -> None:
    assert {name for name in FILES if f"`{name}.json`" not in README} == set()


def test_the_counts_are_the_files() -> None:
    refusals = len(FILES["refusals"]["vectors"])
    assert (counted(README, "refusals"), counted(CLIENTS, "refusals")) == (refusals, refusals)
    assert counted(README, "messages of every phase") == len(messages())
    assert counted(README, "trust bundles") == len(FILES["bundles"]["vectors"])
    assert counted(README, "vectors of the log") == len(FILES["log"]["vectors"])
    for name in ("points", "verifying_keys", "signatures"):
        assert counted(README, name.replace("_", " ")) == len(FILES[name]["vectors"]), name


def test_every_message_has_one_maker_and_one_receiver() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| (?:the|whoever) [^|]+ \|$", README, re.MULTILINE)
    forms = [form.replace("*", ".+") for row in rows for form in re.findall(r"`([^`]+)`", row)]
    for name in messages():
        assert len([form for form in forms if re.fullmatch(form, name)]) == 1, name


def test_what_is_told_of_refusals_is_one_of_the_readme_s() -> None:
    told = {"REJECTED"} | {row.error.reason for row in OUTCOMES if row.error is not None}
    for vector in FILES["refusals"]["vectors"]:
        assert vector["wire"] in {vector["expect"]} | (told if vector["base"].startswith("D2") else {"REJECTED"}), (
            vector["name"]
        )
