"""Ceremonies held by people at a terminal: slips of hands, pauses, a stop, interruptions at every step, shares on the screen."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from shamir_mnemonic.wordlist import WORDLIST

from keystore.ceremony.rehearsal import PRACTICE_PIN
from keystore.ceremony.share_entry import ShareEntry
from keystore.ceremony.transcript import parse
from keystore.quorum import Share, combine_pin
from tests.ceremony.hall import EXAMPLES, OFFICERS, Hall
from tests.ceremony.players import (
    ESCAPES,
    FIRST_SCREEN,
    OTHER_SCREEN,
    Players,
    Terminal,
    ended_by,
    labels_in,
    run_words,
)

Halls = Callable[[str], Hall]
AUTHORITY_KEYS = {"medical-authority"}


def players_of(hall: Hall) -> Players:
    return Players({"PIN of": hall.people.pin})


def terminal_of(hall: Hall, *options: str, columns: int = 80) -> Terminal:
    return Terminal(*run_words(hall.file, hall.transcript, *options), columns=columns)


def test_slips_of_the_hand_cost_a_line_each_and_no_ceremony(hall: Halls) -> None:
    medical = hall("medical-authority")
    people = players_of(medical)
    people.slips = [
        ("Olga (officer): are your name", "Yse"),
        ("Wanda (witness): are your name", "no"),
        ("Ada: PIN of the ceremony's token", "wrong-pin"),
        ("Ada: PIN of the ceremony's token", medical.pin),
        ("Olga, word 1", "academic acid zebraa"),
        ("Olga, word 3", "anew"),
        ("Wim: PIN of Wim's token", "wrong-pin"),
    ]
    with terminal_of(medical) as terminal:
        assert people.play(terminal) is None
        assert terminal.end() == 0, terminal.said
    assert people.slips == []
    assert "Olga (officer) typed something else than Yes, pause or stop" in terminal.said
    assert "refused the PIN. Its counter says: a wrong PIN was typed since the last right one." in terminal.said
    assert "Olga: Word 3 is not in the list of words." in terminal.said
    assert "PIN of PIN" not in terminal.said
    assert medical.verify().exit_code == 0
    asked = [entry.data for entry in medical.entries() if entry.event == "asked-again"]
    assert [(facts["reason"], facts["counter"]) for facts in asked] == [("PIN_INCORRECT", ["USER_PIN_COUNT_LOW"])]
    kept = medical.transcript.read_text()
    for secret in ("Yse", "wrong-pin", medical.pin, "zebraa", " ".join(people.papers["Olga"][:3])):
        assert secret not in kept


def test_yes_is_asked_where_something_is_compared_and_not_thirty_times(hall: Halls) -> None:
    medical = hall("medical-authority")
    people = players_of(medical)
    with terminal_of(medical) as terminal:
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    asked = [prompt for prompt in people.prompts if "Yes, pause or stop" in prompt]
    assert len(asked) == len([entry for entry in medical.entries() if entry.event == "confirmed"]) == 14
    assert all("?" in prompt for prompt in asked)
    assert re.findall(r"Step (\d) of 9, ", terminal.said) == [str(number) for number in range(1, 10)]


def test_wrong_word_is_mended_in_its_place_and_the_share_shown_once_more(hall: Halls) -> None:
    medical = hall("medical-authority")
    people = players_of(medical)
    with terminal_of(medical) as terminal:
        assert people.play(terminal, lambda prompt: "Olga, word 1" in prompt)
        words = people.papers["Olga"]
        wrong = "acid" if words[6] != "acid" else "acne"
        terminal.type(" ".join([*words[:6], wrong, *words[7:]]))
        terminal.until_asked()
        terminal.type("")
        said = terminal.until_asked()
        assert said is not None
        assert "Olga: The words of a share do not fit their checksum: word 7 is wrong, or several are." in said
        terminal.type(f"7 {words[6]}")
        assert people.play(terminal, lambda prompt: "Omar, word 1" in prompt)
        terminal.type("")
        assert people.play(terminal, lambda prompt: "Omar presses Enter" in prompt)
        terminal.type("")
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    shares = [Share.parse(" ".join(people.papers[name])) for name in OFFICERS]
    assert combine_pin(shares[:2]).reveal() == combine_pin(shares[1:]).reveal()
    assert labels_in(medical.token, combine_pin(shares[:2]).reveal(), medical.directory) == AUTHORITY_KEYS


def test_another_officers_share_is_refused_by_name(hall: Halls) -> None:
    rotation = hall("rotation")
    people = players_of(rotation)
    for name in OFFICERS:
        people.papers[name] = Share.parse((rotation.shares / f"{name}.share").read_text()).words.split()
    with terminal_of(rotation) as terminal:
        assert people.play(terminal, lambda prompt: "Omar, word 1" in prompt)
        terminal.type(" ".join(people.papers["Olga"]))
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    assert "Omar typed the share that Olga gave. Once more." in terminal.said
    assert not any("Otto, word" in prompt for prompt in people.prompts)
    assert rotation.verify().exit_code == 0


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_share_is_shown_a_word_a_cell_and_no_line_is_broken_or_left(
    hall: Halls, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    medical = hall("medical-authority")
    monkeypatch.setenv("COLUMNS", "200")  # of a window that was wider when its shell began
    people = players_of(medical)
    with terminal_of(medical, columns=columns) as terminal:
        assert people.play(terminal, lambda prompt: "Olga: compare each word" in prompt)
        shown = terminal.said.rpartition(OTHER_SCREEN)[2]
        rows = [row for row in re.split(r"[\r\n]+", shown) if re.match(r"\s*\d+ [a-z]+", row)]
        assert not [row for row in rows if len(row) >= columns], shown
        assert len(people.papers["Olga"]) == 20
        terminal.type("")
        assert people.play(terminal, lambda prompt: "Olga, word 1" in prompt)
        assert terminal.said.count(OTHER_SCREEN) == terminal.said.count(FIRST_SCREEN) == 1
        assert f"4 {people.papers['Olga'][3]}" not in terminal.said.rpartition(FIRST_SCREEN)[2]


def test_share_is_seen_while_it_is_typed_if_its_holder_asks_and_only_then(hall: Halls) -> None:
    medical = hall("medical-authority")
    people = players_of(medical)
    with terminal_of(medical) as terminal:
        assert people.play(terminal, lambda prompt: "Olga, word 1" in prompt)
        first, second = people.papers["Olga"][:2]
        terminal.type(first)
        hidden = terminal.until_asked()
        terminal.type("show")
        assert hidden is not None
        assert first not in hidden
        said = terminal.until_asked()
        assert said is not None
        assert f"1 {first}" in said
        begun = len(terminal.said)
        terminal.type(second)
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    assert second in terminal.said[begun:].partition(FIRST_SCREEN)[0]
    assert terminal.said.count(OTHER_SCREEN) == terminal.said.count(FIRST_SCREEN) == len(OFFICERS) + 1


def test_pause_is_on_record_and_the_ceremony_goes_on(hall: Halls) -> None:
    medical = hall("medical-authority")
    people = players_of(medical)
    people.slips = [("Wim (witness): is the serial number", " PAUSE ")]
    with terminal_of(medical) as terminal:
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    paused = [(entry.event, entry.by) for entry in medical.entries() if entry.event in {"paused", "continued"}]
    assert paused == [("paused", "Wim"), ("continued", "Ada")]
    assert medical.verify().exit_code == 0


@pytest.mark.parametrize("prompt", ["Ada: PIN of", "Ada, for the last time: PIN of", "Olga, word 1", "Olga, word 6"])
def test_pause_is_taken_where_a_pin_or_a_share_is_typed_and_nothing_of_either_is_seen(hall: Halls, prompt: str) -> None:
    medical = hall("medical-authority")
    people = players_of(medical)
    people.slips = [(prompt, "Pause")]
    with terminal_of(medical) as terminal:
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    assert people.slips == []
    who = prompt.partition(",")[0].partition(":")[0]
    assert f"The ceremony goes on after {who}'s pause. Once more." in terminal.said
    paused = [(entry.event, entry.by) for entry in medical.entries() if entry.event in {"paused", "continued"}]
    assert paused == [("paused", who), ("continued", "Ada")]
    assert medical.verify().exit_code == 0
    kept = terminal.said + medical.transcript.read_text()
    assert medical.pin not in kept
    typed = " ".join(word[:4] for word in people.papers["Olga"][:5])
    assert typed not in kept


def test_pause_at_the_signing_is_no_line_after_the_last_and_the_transcript_verifies(hall: Halls) -> None:
    medical = hall("medical-authority")
    people = players_of(medical)
    people.slips = [("Wim: PIN of", "pause")]
    with terminal_of(medical) as terminal:
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    assert people.slips == []
    assert "Ada presses Enter to go on" in terminal.said
    assert "paused" not in [entry.event for entry in medical.entries()]
    assert medical.verify().exit_code == 0


@pytest.mark.parametrize("prompt", ["Ada: PIN of", "Olga, word 1", "Wim: PIN of"])
def test_stop_where_a_pin_or_a_share_is_typed_takes_a_reason_and_undoes(hall: Halls, prompt: str) -> None:
    medical = hall("medical-authority")
    people = players_of(medical)
    who = prompt.partition(",")[0].partition(":")[0]
    people.slips = [(prompt, "STOP"), (f"{who}: why?", ""), (prompt, "stop"), (f"{who}: why?", "a camera is there")]
    with terminal_of(medical) as terminal:
        people.play(terminal)
        assert terminal.end() == 1, terminal.said
    assert people.slips == []
    assert f"The ceremony goes on after {who}'s stop. Once more." in terminal.said
    said = " ".join(terminal.said.split())
    assert "stopped it at the step" in said
    assert "a camera is there [CONFIRMATION_REFUSED]" in said
    assert "refused" in [entry.event for entry in medical.entries()]
    assert medical.last().event == "aborted"
    assert medical.pin not in terminal.said + medical.transcript.read_text()


def test_confirmation_refused_takes_a_word_and_a_reason_and_undoes(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.change("[quorum]\nthreshold = 2\n", "")
    people = players_of(medical)
    people.slips = [
        ("Wim (witness): are the words", "stop"),
        ("Wim: why?", ""),
        ("Wim (witness): are the words", "stop"),
        ("Wim: why?", "the seal was broken"),
    ]
    with terminal_of(medical) as terminal:
        people.play(terminal)
        assert terminal.end() == 1
    assert "Wim (witness) stopped it at the step 'output-authority_certificate': the seal was broken" in terminal.said
    assert f"What happened is in {medical.transcript}; nothing is left to go on with." in " ".join(
        terminal.said.split()
    )
    assert medical.labels() == set()
    with terminal_of(medical, "--resume") as terminal:
        assert terminal.end() == 1
    assert "was stopped and undone (CONFIRMATION_REFUSED: Wim" in " ".join(terminal.said.split())


def test_pin_incorrect_twice_stops_and_says_whose_and_how_to_go_on(hall: Halls) -> None:
    medical = hall("medical-authority")
    people = players_of(medical)
    people.slips = [("Ada: PIN of", "wrong-pin")] * 2
    with terminal_of(medical) as terminal:
        people.play(terminal)
        assert terminal.end() == 3
    said = " ".join(terminal.said.split())
    assert "The ceremony's token" in said
    assert "refused the PIN twice; it is not asked a third time. [PIN_INCORRECT]" in said
    assert "It stands at the step 'token'" in said
    assert f"medunion ceremony run {medical.file} --output {medical.transcript} --resume" in said
    with terminal_of(medical, "--resume") as terminal:
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    assert medical.verify().exit_code == 0


@pytest.mark.parametrize("way", ["ctrl-c", "closed"])
def test_interrupted_at_every_prompt_of_every_step_and_gone_on_with_after_each(hall: Halls, way: str) -> None:
    """One ceremony, interrupted once at each prompt that it has, in turn."""
    medical = hall("medical-authority")
    people = players_of(medical)
    interrupted: set[str] = set()

    def is_new(prompt: str) -> bool:
        return _kind(prompt) not in interrupted

    options: tuple[str, ...] = ()
    while True:
        with terminal_of(medical, *options) as terminal:
            prompt = people.play(terminal, is_new)
            if prompt is None:
                assert terminal.end() == 0, terminal.said
                break
            interrupted.add(_kind(prompt))
            code = ended_by(terminal, way)
            assert code == 1 or way == "closed", terminal.said
        assert medical.last().event == "interrupted"
        options = ("--resume",)
    assert len(interrupted) >= 11
    assert medical.verify().exit_code == 0
    shares = [Share.parse(" ".join(people.papers[name])) for name in OFFICERS]
    assert labels_in(medical.token, combine_pin(shares[:2]).reveal(), medical.directory) == AUTHORITY_KEYS


def test_interrupted_while_it_is_undone_and_undone_after_all(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.change("[quorum]\nthreshold = 2\n", "")
    people = players_of(medical)
    with terminal_of(medical) as terminal:
        assert people.play(terminal, lambda prompt: "are the words those that you noted?" in prompt)
        assert ended_by(terminal, "ctrl-c") == 1
    people.slips = [("Yes goes on; undo", "undo")]
    with terminal_of(medical, "--resume") as terminal:
        assert people.play(terminal, lambda prompt: "PIN of" in prompt)
        assert ended_by(terminal, "ctrl-c") == 1
    assert "[INTERRUPTED]" in terminal.said
    assert f"{medical.transcript} --resume" in " ".join(terminal.said.split())
    with terminal_of(medical, "--resume") as terminal:
        people.play(terminal)
        assert terminal.end() == 1
    assert "[CEREMONY_ABORTED]" in terminal.said
    assert medical.last().event == "aborted"
    assert medical.labels() == set()


def _kind(prompt: str) -> str:
    """Return what a prompt is about, whoever is asked; each officer's share and each signature once is enough."""
    return re.sub(r"\d+|\b[A-Z]\w+\b|'\w+'", "", prompt.rpartition("\r")[2])


def test_rehearsal_has_pins_and_shares_typed_and_marks_every_line(tmp_path: Path) -> None:
    people = Players({"PIN of": PRACTICE_PIN})
    transcript = tmp_path / "transcript"
    with Terminal(*run_words(EXAMPLES / "rotation.toml", transcript, "--rehearsal")) as terminal:
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    assert set(people.papers) == set(OFFICERS)
    assert len([prompt for prompt in people.prompts if ", word 1 >" in prompt]) == 2
    assert len([prompt for prompt in people.prompts if "PIN of" in prompt]) == 6
    lines = ESCAPES.sub("", terminal.said).splitlines()
    assert all(line.startswith("REHEARSAL") for line in lines if line.strip())
    assert parse(transcript.read_bytes())[0].data["rehearsal"] is True


def test_words_that_are_commands_are_no_words_of_a_share() -> None:
    assert not {"show", "hide", "anew", "stop", "pause", "undo"} & set(WORDLIST)
    assert "show"[:4] not in {word[:4] for word in WORDLIST}
    assert repr(ShareEntry()) == "ShareEntry(0 words)"
