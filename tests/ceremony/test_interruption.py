"""Ceremonies that are interrupted at a prompt, by signal or by kill, gone on with or undone: nothing stays half-made."""

import json
import signal
from collections.abc import Callable

import pytest

from federation.cli.ceremony_desks import AnswersDesk
from hsm import KeyPolicy, Token, open_token, pin_from_value
from keystore.ceremony import actions, outputs
from keystore.ceremony.transcript import State
from tests.ceremony.hall import Hall
from tests.ceremony.players import Players, Terminal, ended_by, run_words

Halls = Callable[[str], Hall]


@pytest.fixture
def medical(hall: Halls) -> Hall:
    """Give a medical authority's ceremony whose PIN the administrator has."""
    prepared = hall("medical-authority")
    prepared.change("[quorum]\nthreshold = 2\n", "")
    return prepared


def at_a_prompt(hall: Hall, number: signal.Signals) -> int:
    """Hold it at a terminal with people who fall silent after the key is made, send a signal, and return the exit code."""
    people = Players({"PIN of": hall.pin})
    with Terminal(*run_words(hall.file, hall.transcript)) as terminal:
        assert people.play(terminal, lambda prompt: "are the words those that you noted?" in prompt)
        return ended_by(terminal, number.name)


class Pulled(RuntimeError):
    """Stands for the end of the process: the ceremony does not catch it."""


def interrupted(hall: Hall, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], *, made: bool) -> None:
    """Stop the process when it makes a key: before the token has it, or before the state says so."""
    generate = actions.generate

    def stop(token: Token, label: str, policy: KeyPolicy) -> None:
        if made:
            generate(token, label, policy)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(actions, "generate", stop)
        result = hall.run()
    assert result.exit_code == 1
    assert State.read(hall.state, hall.entries()[0].data["file_sha256"]).making == "medical-authority"


def test_ctrl_c_while_a_step_works_and_asks_nobody_undoes_nothing(hall: Halls) -> None:
    """Thousands of signatures for the look at the nonces take long enough to fall into, and nobody is asked meanwhile."""
    root = hall("public-cloud-root")
    root.change("[quorum]\nthreshold = 2\n", "")
    people = Players({"PIN of": root.pin})
    with Terminal(*run_words(root.file, root.transcript)) as terminal:
        assert people.play(terminal, lambda prompt: "Wim (witness): is the serial number" in prompt)
        terminal.type("yes")
        terminal.until_said("1024 signatures")
        assert ended_by(terminal, "ctrl-c") == 1, terminal.said
    assert "[INTERRUPTED]" in terminal.said
    assert f"{root.transcript} --resume" in " ".join(terminal.said.split())
    assert (root.last().event, root.last().data["step"]) == ("interrupted", "nonces")
    with Terminal(*run_words(root.file, root.transcript, "--resume")) as terminal:
        people.play(terminal)
        assert terminal.end() == 0, terminal.said
    assert root.verify().exit_code == 0
    assert root.labels() == {"issuer", "identity", "sealing", "index", "tls-ca"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, Pulled])
@pytest.mark.parametrize("made", [False, True])
def test_interrupted_ceremony_goes_on_with_a_key_that_is_whole(
    medical: Hall, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], made: bool
) -> None:
    interrupted(medical, monkeypatch, error, made=made)
    result = medical.run("--resume")
    assert result.exit_code == 0, result.output
    assert "half-made: medical-authority" in result.output
    assert medical.verify().exit_code == 0
    assert sorted(info.object_class for info in medical.objects()) == ["PRIVATE_KEY", "PUBLIC_KEY"]
    assert ("half-made" in [e.data.get("why") for e in medical.entries()]) == made
    assert not medical.state.exists()


@pytest.mark.parametrize("made", [False, True])
def test_interrupted_ceremony_is_undone_unless_the_administrator_says_yes(
    medical: Hall, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    interrupted(medical, monkeypatch, Pulled, made=made)
    medical.answers["resume"] = "undo"
    result = medical.run("--resume")
    assert (result.exit_code, "[CONFIRMATION_REFUSED]" in result.output) == (1, True)
    assert medical.labels() == set()
    assert medical.last().event == "aborted"
    assert not medical.state.exists()


def test_pin_incorrect_at_resume_undoes_nothing(medical: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(medical, monkeypatch, Pulled, made=True)
    (medical.directory / "pin").write_text("wrong-pin")
    result = medical.run("--resume")
    assert (result.exit_code, "[PIN_INCORRECT]" in result.output) == (3, True)
    (medical.directory / "pin").write_text(medical.pin)
    assert medical.run("--resume").exit_code == 0
    assert medical.verify().exit_code == 0


def test_pin_incorrect_at_the_signing_undoes_nothing_and_everybody_signs_anew(medical: Hall) -> None:
    medical.pins["Wim"] = "wrong"
    (medical.directory / "wrong").write_text("wrong-pin")
    (medical.directory / "wrong").chmod(0o600)
    result = medical.run()
    assert (result.exit_code, "[PIN_INCORRECT]" in result.output) == (3, True)
    assert medical.labels() == {"medical-authority"}
    assert medical.verify().exit_code == 1
    del medical.pins["Wim"]
    result = medical.run("--resume")
    assert result.exit_code == 0, result.output
    assert medical.verify().exit_code == 0
    assert [entry.event for entry in medical.entries()].count("closed") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signal_leaves_a_state_from_which_it_goes_on(medical: Hall, number: signal.Signals) -> None:
    code = at_a_prompt(medical, number)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 1)
    if number != signal.SIGKILL:
        assert medical.last().event == "interrupted"
    result = medical.run("--resume")
    assert result.exit_code == 0, result.output
    assert medical.verify().exit_code == 0
    assert medical.labels() == {"medical-authority"}


def test_half_a_line_at_the_end_is_cut_off(medical: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(medical, monkeypatch, Pulled, made=False)
    with medical.transcript.open("ab") as file:
        file.write(b'{"at":"2026')
    assert medical.run("--resume").exit_code == 0
    assert medical.verify().exit_code == 0


def test_backup_interrupted_before_the_shares_are_checked_is_made_anew(
    hall: Halls, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = hall("backup")
    with monkeypatch.context() as patch:
        patch.setattr(AnswersDesk, "take_share", lambda *_: (_ for _ in ()).throw(Pulled))
        assert backup.run().exit_code == 1
    assert backup.labels() == {"identity", "sealing", "issuer", "index", "tls-ca"}
    for path in backup.shares.iterdir():
        path.unlink()
    result = backup.run("--resume")
    assert result.exit_code == 0, result.output
    assert [e.data["why"] for e in backup.entries() if e.event == "destroyed"] == ["half-made"] * 5
    assert backup.verify().exit_code == 0


def test_pin_incorrect_while_undoing_costs_one_attempt_however_many_keys_there_are(
    hall: Halls, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital = hall("hospital-enrolment")
    hospital.change("[quorum]\nthreshold = 2\n", "")
    with monkeypatch.context() as patch:
        patch.setattr(outputs, "make", lambda *_: (_ for _ in ()).throw(Pulled))
        assert hospital.run().exit_code == 1
    hospital.answers["resume"] = "undo"
    (hospital.directory / "pin").write_text("wrong-pin")
    attempts = []
    take = AnswersDesk.pin
    monkeypatch.setattr(AnswersDesk, "pin", lambda desk, name, text: attempts.append(name) or take(desk, name, text))
    assert hospital.run("--resume").exit_code == 1
    assert attempts == ["token"]
    assert len(hospital.last().data["left_in_token"]) == 5
    (hospital.directory / "pin").write_text(hospital.pin)
    assert hospital.run("--resume").exit_code == 1
    assert hospital.labels() == set()
    assert not hospital.state.exists()


def test_corrupt_share_at_resume_undoes_nothing(hall: Halls, monkeypatch: pytest.MonkeyPatch) -> None:
    rotation = hall("rotation")
    with monkeypatch.context() as patch:
        patch.setattr(actions, "generate", lambda *_: (_ for _ in ()).throw(Pulled))
        assert rotation.run().exit_code == 1
    olga = rotation.shares / "Olga.share"
    words = olga.read_text()
    olga.write_text(f"{words} academic")
    result = rotation.run("--resume")
    assert (result.exit_code, "[CORRUPT_SHARE]" in result.output) == (1, True)
    assert rotation.last().event == "failed"
    olga.write_text(words)
    assert rotation.run("--resume").exit_code == 0
    assert rotation.labels() == {"identity", "tls-ca", "tls-ca.2"}


def test_resume_refused_when_nothing_was_interrupted(medical: Hall) -> None:
    result = medical.run("--resume")
    assert (result.exit_code, "[RESUME_REFUSED]" in result.output) == (1, True)


def test_resume_refused_with_another_file(medical: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(medical, monkeypatch, Pulled, made=False)
    medical.change("M:beispielland", "M:anderswo")
    result = medical.run("--resume")
    assert (result.exit_code, "another file" in result.output) == (1, True)


def test_chain_broken_transcript_is_not_gone_on_with(medical: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(medical, monkeypatch, Pulled, made=False)
    medical.transcript.write_bytes(medical.transcript.read_bytes().replace(b"Beispielland", b"Beispielbund"))
    result = medical.run("--resume")
    assert (result.exit_code, "[CHAIN_BROKEN]" in result.output) == (1, True)


def test_state_holds_no_secret(medical: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(medical, monkeypatch, Pulled, made=True)
    kept = json.loads(medical.state.read_text())
    assert set(kept) == {
        "file_sha256", "step", "making", "made", "destroyed", "before", "outputs",
        "card", "pin_held", "transports", "aborted"
    }  # fmt: skip
    assert medical.pin not in medical.state.read_text()


def test_interrupted_while_shares_are_shown_starts_the_splitting_anew(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.stop_at("output-authority_certificate.Wim", "the words differ")
    result = medical.run()
    assert result.exit_code == 1
    assert medical.last().event == "aborted"
    with pytest.raises(Exception, match="PIN"), open_token(medical.token, pin_from_value(medical.pin)):
        pass  # the token has the PIN in shares: three officers hold it, and their shares were tested
