"""Each way in which a ceremony stops: its exit code, what it says, what the transcript says, and that no key is left."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.cli.ceremony_desks import AnswersDesk
from hsm import KeyPolicy, Pin, Token, open_token, pin_from_value
from hsm.creation import generate
from hsm.policy import SIGNING
from hsm.softhsm import SoftHsm
from keystore.ceremony import actions
from keystore.quorum import split_pin
from tests.ceremony.hall import Hall

Halls = Callable[[str], Hall]
SOMEBODY = "02" + "5".zfill(64)  # a point of the curve


def stopped(hall: Hall, code: int, reason: str, *options: str) -> str:
    """Run a ceremony that has to stop so; give what it said."""
    result = hall.run(*options)
    assert result.exit_code == code, result.output
    assert f"[{reason}]" in result.output
    return result.output


def aborted(hall: Hall, reason: str) -> None:
    """See that the transcript says so, that it cannot pass for a whole one, and that nothing is left."""
    assert (hall.last().event, hall.last().data["reason"]) == ("aborted", reason)
    assert hall.verify().exit_code == 1
    assert hall.labels() == set()
    assert not hall.state.exists()


def not_begun(hall: Hall) -> None:
    """See that nothing is left of an attempt, so that the same command does when its cause is mended."""
    assert not hall.transcript.exists()
    assert not hall.state.exists()


def waits(hall: Hall, reason: str, labels: set[str] | None = None) -> None:
    """See that it is on record and nothing was undone, and that the administrator can have it undone."""
    assert (hall.last().event, hall.last().data["reason"]) == ("failed", reason)
    assert hall.state.exists()
    assert hall.verify().exit_code == 1
    assert hall.labels() == (labels or set())


def test_output_exists_is_refused_before_anything_is_begun_and_all_are_named(hall: Halls) -> None:
    medical = hall("medical-authority")
    existing = medical.directory / "authority.der"
    existing.write_bytes(b"older")
    (medical.directory / "first.crl").symlink_to("nowhere")
    said = stopped(medical, 1, "OUTPUT_EXISTS")
    assert "authority.der" in said
    assert "first.crl are there already" in said
    assert existing.read_bytes() == b"older"
    not_begun(medical)


def test_transcript_that_exists_is_never_overwritten(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.transcript.write_text("evidence\n")
    stopped(medical, 1, "OUTPUT_EXISTS")
    assert medical.transcript.read_text() == "evidence\n"


def test_token_not_found_by_another_serial_waits_for_the_right_one(hall: Halls) -> None:
    medical = hall("medical-authority")
    serial = medical.token.serial
    assert serial is not None
    medical.change(f"serial={serial}", "serial=ffffffffffffffff")
    said = stopped(medical, 3, "TOKEN_NOT_FOUND")
    assert "The ceremony's token" in said
    assert "is not there" in said
    waits(medical, "TOKEN_NOT_FOUND")


def test_pin_incorrect_is_a_token_failure_that_undoes_nothing_and_says_how_to_go_on(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.put("pin", "wrong-pin")
    said = stopped(medical, 3, "PIN_INCORRECT")
    assert "The ceremony's token" in said
    assert "Its counter says: a wrong PIN was typed since the last right one." in said
    assert f"--output {medical.transcript} --resume" in said
    waits(medical, "PIN_INCORRECT")
    medical.put("pin", medical.pin)
    assert medical.run("--resume").exit_code == 0
    assert medical.verify().exit_code == 0


def test_pin_incorrect_once_is_asked_again_and_twice_is_not(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.put("wrong", "wrong-pin")
    medical.pins["token"] = ["wrong", "wrong", "pin"]
    said = stopped(medical, 3, "PIN_INCORRECT")
    assert "refused the PIN twice" in said
    waits(medical, "PIN_INCORRECT")


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('authority = "', 'doctor = "D:x"\nauthority = "', "certificate.doctor"),
        ("[quorum]", "[issuer]\ntoken = 'x'\n[quorum]", "issuer: does not apply"),
        ("[quorum]", "[keys]\ndestroy = ['x']\n[quorum]", "keys: does not apply"),
        ('title = "', 'tittle = "x"\ntitle = "', "ceremony.tittle"),
        ("[quorum]", "[surplus]\n[quorum]", "surplus"),
        ("[quorum]", "[quorum]\nofficers = 3", "quorum.officers"),
        ('first_crl = "', 'crl = "x"\nfirst_crl = "', "outputs.crl"),
        ('kind = "medical-authority"', 'kind = "medical"', "ceremony.kind"),
        ('title = "Medical authority of Beispielland"\n', "", "ceremony.title"),
        ("threshold = 2", "threshold = 4", "quorum.threshold"),
        ("threshold = 2", "threshold = true", "quorum.threshold"),
        ('witnesses = ["Wanda", "Wim"]', "witnesses = []", "roles.witnesses"),
        ('witnesses = ["Wanda", "Wim"]', 'witnesses = ["Wanda", "Ada"]', "nobody has two roles"),
        ('witnesses = ["Wanda", "Wim"]', 'witnesses = ["Wanda"]', "participants.Wim"),
        ('"first.crl"', '"authority.der"', "the same file"),
        ("[token]\nuri = \"pkcs11:", "[token]\nuri = \"pkcs12:", "token.uri"),
        ("[token]", "[token", "no TOML"),
    ],
)  # fmt: skip
def test_ceremony_file_invalid_names_the_key(hall: Halls, old: str, new: str, names: str) -> None:
    medical = hall("medical-authority")
    medical.change(old, new)
    said = stopped(medical, 2, "CEREMONY_FILE_INVALID")
    assert names in said
    assert not medical.transcript.exists()
    assert medical.labels() == set()


@pytest.mark.parametrize(
    "key", [SOMEBODY[2:], SOMEBODY.upper().replace("5", "C"), "04" + SOMEBODY[2:], "02" + "1".zfill(64)]
)
def test_ceremony_file_invalid_for_a_public_key_that_is_none(hall: Halls, key: str) -> None:
    medical = hall("medical-authority")
    medical.change(medical.people.keys["Wim"], key)
    assert "participants.Wim.public_key" in stopped(medical, 2, "CEREMONY_FILE_INVALID")


def test_ceremony_file_invalid_without_the_tokens_serial(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.write(re.sub(r"(\[token\]\nuri = .*);serial=[0-9a-f]*", r"\1", medical.file.read_text()))
    assert "token.uri" in stopped(medical, 2, "CEREMONY_FILE_INVALID")


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        (
            'threshold = 2\n\n[certificate]\nauthority = "M:',
            'threshold = 9\n\n[certificate]\nauthority = "Q:',
            ("quorum.threshold", "certificate.authority"),
        ),
        ('title = "Medical', 'tittle = "Medical', ("ceremony.title: is missing", "ceremony.tittle: unknown")),
        ('kind = "medical-authority"', 'kind = "medical"', ("ceremony.kind",)),
        ('administrator = "Ada"', 'administrator = "A da"', ("roles: 'A da'", "participants.Ada: unknown")),
    ],
)
def test_ceremony_file_invalid_names_all_faults_at_once_and_none_that_follows_from_another(
    hall: Halls, old: str, new: str, faults: tuple[str, ...]
) -> None:
    medical = hall("medical-authority")
    medical.change(old, new)
    medical.change(medical.people.keys["Wim"], "ff")
    said = stopped(medical, 2, "CEREMONY_FILE_INVALID")
    assert all(fault in said for fault in (*faults, "participants.Wim.public_key"))
    assert f"the file has {len(faults) + 1} faults" in said


def test_confirmation_refused_by_a_witness_undoes_the_keys_with_the_reason(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.change("[quorum]\nthreshold = 2\n", "")
    medical.stop_at("output-authority_certificate.Wim", "the seal was broken")
    said = stopped(medical, 1, "CONFIRMATION_REFUSED")
    assert "Wim (witness) stopped it at the step 'output-authority_certificate': the seal was broken" in said
    assert [e.data["label"] for e in medical.entries() if e.event == "destroyed"] == ["medical-authority"]
    aborted(medical, "CONFIRMATION_REFUSED")


@pytest.mark.parametrize("typed", ["yes", "YES", " Yes "])
def test_yes_is_yes_however_it_is_typed(hall: Halls, typed: str) -> None:
    medical = hall("medical-authority")
    medical.answers["file.Wanda"] = typed
    assert medical.run().exit_code == 0


@pytest.mark.parametrize("typed", ["y", "", "No", "Yes!", "secret-pin"])
def test_confirmation_refused_only_by_stop_and_anything_else_is_asked_again_and_on_no_record(
    hall: Halls, typed: str
) -> None:
    medical = hall("medical-authority")
    medical.answers["file.Wanda"] = [typed, "Yes"]
    result = medical.run()
    assert result.exit_code == 0, result.output
    assert "Wanda (witness) typed something else than Yes, pause or stop" in result.output
    assert "secret-pin" not in medical.transcript.read_text()


def test_confirmation_refused_late_removes_the_outputs_too(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.change("[quorum]\nthreshold = 2\n", "")
    medical.stop_at("final-inventory.Wanda", "another key is there")
    stopped(medical, 1, "CONFIRMATION_REFUSED")
    assert medical.last().data["removed"] == ["authority_certificate", "first_crl"]
    assert not (medical.directory / "authority.der").exists()
    aborted(medical, "CONFIRMATION_REFUSED")


def test_answer_missing_stops_the_ceremony(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.default = None
    stopped(medical, 1, "ANSWER_MISSING")
    aborted(medical, "ANSWER_MISSING")


def test_inventory_unexpected_if_a_key_is_there_already(hall: Halls) -> None:
    medical = hall("medical-authority")
    with open_token(medical.token, pin_from_value(medical.pin)) as token:
        key = token.generate_signing("medical-authority").public_key()
    stopped(medical, 1, "INVENTORY_UNEXPECTED")
    assert medical.last().event == "aborted"
    with open_token(medical.token, pin_from_value(medical.pin)) as token:
        assert token.signing("medical-authority").public_key() == key


def test_inventory_unexpected_if_a_key_to_destroy_is_not_there(hall: Halls) -> None:
    destruction = hall("destruction")
    destruction.change('destroy = ["tls-ca"]', 'destroy = ["tls-ca", "absent"]')
    stopped(destruction, 1, "INVENTORY_UNEXPECTED")
    assert destruction.labels() == {"identity", "tls-ca"}


def test_too_few_shares_are_refused_before_the_token_is_touched(hall: Halls) -> None:
    rotation = hall("rotation")
    for name in ("Olga", "Otto"):
        (rotation.shares / f"{name}.share").unlink()
    stopped(rotation, 1, "TOO_FEW_SHARES")
    assert "token" not in [entry.event for entry in rotation.entries()]
    assert rotation.last().data["reason"] == "TOO_FEW_SHARES"
    assert rotation.labels() == {"identity", "tls-ca"}


def test_duplicate_share_is_refused(hall: Halls) -> None:
    rotation = hall("rotation")
    shutil.copy(rotation.shares / "Olga.share", rotation.shares / "Omar.share")
    assert "Omar typed the share that Olga gave." in stopped(rotation, 1, "DUPLICATE_SHARE")
    assert rotation.last().data["reason"] == "DUPLICATE_SHARE"
    assert rotation.labels() == {"identity", "tls-ca"}


def test_corrupt_share_is_refused(hall: Halls) -> None:
    rotation = hall("rotation")
    path = rotation.shares / "Olga.share"
    *words, last = path.read_text().split()
    path.write_text(" ".join([*words, "academic" if last != "academic" else "acid"]))
    assert "Olga's share: " in stopped(rotation, 1, "CORRUPT_SHARE")
    assert rotation.last().data["reason"] == "CORRUPT_SHARE"
    assert rotation.labels() == {"identity", "tls-ca"}


def test_mixed_shares_of_another_pin_are_refused(hall: Halls) -> None:
    rotation = hall("rotation")
    other = split_pin(Pin("another-pin-of-some-token-000000"), threshold=2, holders=("Olga", "Omar", "Otto"))
    (rotation.shares / "Olga.share").write_text(other[0].text())
    said = stopped(rotation, 1, "MIXED_SHARES")
    assert "Omar's share is of another splitting than Olga's." in said


def test_mixed_shares_when_an_officer_types_another_share_than_was_shown(
    hall: Halls, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = hall("backup")
    wrong = split_pin(Pin("0123456789abcdef"), threshold=2, holders=("Olga", "Omar", "Otto"))[1].text()
    take = AnswersDesk.take_share
    monkeypatch.setattr(
        AnswersDesk, "take_share", lambda desk, name, text: wrong if name == "Omar" else take(desk, name, text)
    )
    assert "Omar typed another share" in stopped(backup, 1, "MIXED_SHARES")
    waits(backup, "MIXED_SHARES", {"identity", "sealing", "issuer", "index", "tls-ca"})


def test_too_few_shares_restore_nothing(hall: Halls) -> None:
    restore = hall("restore")
    (restore.shares / "Olga.share").unlink()
    (restore.shares / "Omar.share").unlink()
    stopped(restore, 1, "TOO_FEW_SHARES")
    waits(restore, "TOO_FEW_SHARES")


def test_backup_card_rejected_if_it_was_changed(hall: Halls) -> None:
    restore = hall("restore")
    card = restore.directory / "card.json"
    card.write_text(card.read_text().replace('"threshold": 2', '"threshold": 3'))
    stopped(restore, 1, "BACKUP_CARD_REJECTED")
    aborted(restore, "BACKUP_CARD_REJECTED")


def test_participant_key_wrong_is_refused_and_everything_undone(hall: Halls) -> None:
    medical = hall("medical-authority")
    medical.change("[quorum]\nthreshold = 2\n", "")
    medical.change(medical.people.keys["Wim"], SOMEBODY)
    stopped(medical, 1, "PARTICIPANT_KEY_WRONG")
    aborted(medical, "PARTICIPANT_KEY_WRONG")


def test_certificate_rejected_if_it_is_not_the_authoritys(hall: Halls, others_certificate: bytes) -> None:
    card = hall("doctor-card")
    (card.directory / "authority.der").write_bytes(others_certificate)
    stopped(card, 1, "CERTIFICATE_REJECTED")
    aborted(card, "CERTIFICATE_REJECTED")


def test_certificate_rejected_if_the_newest_list_is_not_the_authoritys(hall: Halls, others_list: bytes) -> None:
    card = hall("re-issue")
    (card.directory / "newest.crl").write_bytes(others_list)
    stopped(card, 1, "CERTIFICATE_REJECTED")
    aborted(card, "CERTIFICATE_REJECTED")


@pytest.mark.parametrize("name", ["authority.der", "newest.crl"])
def test_certificate_rejected_if_an_authoritys_file_is_none_before_anything_is_begun(hall: Halls, name: str) -> None:
    card = hall("re-issue")
    (card.directory / name).write_bytes(b"mail attachment")
    stopped(card, 1, "CERTIFICATE_REJECTED")
    not_begun(card)


def test_authoritys_files_may_be_pem_with_text_before_them(hall: Halls) -> None:
    card = hall("re-issue")
    for name, read in (("authority.der", x509.load_der_x509_certificate), ("newest.crl", x509.load_der_x509_crl)):
        file = card.directory / name
        file.write_bytes(b"as openssl writes it\r\n" + read(file.read_bytes()).public_bytes(Encoding.PEM))
    held = card.run()
    assert held.exit_code == 0, held.output


def test_key_attributes_wrong_is_refused_and_the_key_destroyed(hall: Halls, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that makes another key than it was asked for: here an AES key in the place of the signing key."""

    def make_other(token: Token, label: str, _policy: KeyPolicy) -> None:
        loose = replace(SIGNING, modifiable=True)
        token._create(lambda session, name: generate(session, name, loose), label)

    monkeypatch.setattr(actions, "generate", make_other)
    medical = hall("medical-authority")
    medical.change("[quorum]\nthreshold = 2\n", "")
    said = stopped(medical, 1, "KEY_ATTRIBUTES_WRONG")
    assert "modifiable" in said
    aborted(medical, "KEY_ATTRIBUTES_WRONG")


def test_token_unavailable_when_it_is_pulled_midway_and_gone_on_with_when_it_is_back(
    hall: Halls, softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    medical = hall("medical-authority")
    medical.change("[quorum]\nthreshold = 2\n", "")
    tokens = softhsm.configuration.parent / "tokens"
    away = softhsm.configuration.parent / "away"
    make = actions.generate

    def pull(token: Token, label: str, policy: KeyPolicy) -> None:
        make(token, label, policy)
        home = next(path for path in tokens.iterdir() if _holds(path, str(medical.token.serial)))
        away.mkdir()
        shutil.move(home, away / home.name)

    monkeypatch.setattr(actions, "generate", pull)
    result = medical.run()
    assert result.exit_code == 3, result.output
    assert (medical.last().event, medical.last().data["reason"]) == ("failed", "TOKEN_UNAVAILABLE")
    assert "medical-authority" in medical.state.read_text()
    for home in away.iterdir():
        shutil.move(home, tokens / home.name)
    away.rmdir()
    monkeypatch.undo()
    back = medical.run("--resume")
    assert back.exit_code == 0, back.output
    assert medical.verify().exit_code == 0
    assert medical.labels() == {"medical-authority"}


def _holds(path: Path, serial: str) -> bool:
    """SoftHSM keeps a token in a directory whose name ends with its serial number."""
    return path.name.replace("-", "").endswith(serial)
