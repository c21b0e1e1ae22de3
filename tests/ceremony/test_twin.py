"""The same keys made in two tokens at once: held from its file, and every way in which it must not go well."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from pkcs11 import Attribute

from federation.cli.ceremony_desks import AnswersDesk
from hsm import KeyPolicy, PinProvider, Token, TokenUri, Wrapped, open_token, pin_from_value, transport
from hsm.generation import generate_pair
from hsm.policy import SIGNING
from hsm.raw import Template, template
from keystore.ceremony.errors import ContentWrong
from keystore.ceremony.transcript import Entry
from keystore.ceremony.twins import TRANSPORT
from keystore.ceremony.verify import verify
from keystore.party import CloudKeys
from keystore.quorum import Share, combine_pin
from tests.ceremony.hall import EXAMPLES, OFFICERS, Hall
from tests.ceremony.test_every_kind import CLOUD_KEYS, held, new_pin
from tests.ceremony.test_refusals import stopped

Halls = Callable[[str], Hall]


class Pulled(RuntimeError):
    """Stands for the end of the process: the ceremony does not catch it."""


@pytest.fixture
def twin(hall: Halls) -> Hall:
    """Give a ceremony whose PINs the administrator has."""
    prepared = hall("twin")
    prepared.change("[quorum]\nthreshold = 2\n", "")
    return prepared


def labels(hall: Hall) -> list[set[str]]:
    return [{info.label for info in hall.objects(uri=uri)} for uri in (hall.token, hall.dead)]


def nothing_lets_out(hall: Hall) -> None:
    """See that no stored object of either token is EXTRACTABLE."""
    for uri in (hall.token, hall.dead):
        assert not any(info.extractable for info in hall.objects(uri=uri))


def aborted(hall: Hall, reason: str) -> None:
    assert (hall.last().event, hall.last().data["reason"]) == ("aborted", reason)
    assert hall.verify().exit_code == 1
    assert labels(hall) == [set(), set()]
    assert not hall.state.exists()


def of_event(hall: Hall, event: str) -> list[Mapping[str, object]]:
    return [entry.data for entry in hall.entries() if entry.event == event]


def opened(uri: TokenUri, pin: str) -> Token:
    return open_token(uri, pin_from_value(pin))


def test_two_tokens_hold_the_same_keys_and_neither_lets_one_out(hall: Halls) -> None:
    done = held(hall("twin"))
    pin = new_pin(done)
    for uri in (done.token, done.dead):
        objects = done.objects(pin, uri=uri)
        assert {info.label for info in objects} == CLOUD_KEYS
        secret = [info for info in objects if info.is_secret]
        assert not any(info.extractable or info.modifiable or info.local or info.never_extractable for info in secret)
        assert all(info.sensitive for info in secret)
    with opened(done.token, pin) as one, opened(done.dead, pin) as other:
        first, second = CloudKeys(one), CloudKeys(other)
        assert first.issuing.public_key == second.issuing.public_key
        assert first.signing_key.verifying_key == second.signing_key.verifying_key
        assert second.sealing.open(first.sealing.seal(b"a row", b"of both"), b"of both") == b"a row"


def test_transcript_tells_of_both_tokens_what_was_wrapped_for_whom_and_that_it_opens_nowhere_any_more(
    twin: Hall,
) -> None:
    done = held(twin)
    serials = [done.token.serial, done.dead.serial]
    for event in ("token", "nonces", "transport"):
        assert [facts["serial"] for facts in of_event(done, event)] == serials
    shown = {facts["serial"]: facts["sha256"] for facts in of_event(done, "transport")}
    assert [facts["taken_sha256"] for facts in of_event(done, "transport")] == list(shown.values())
    for facts in of_event(done, "wrapped"):
        sent = facts["sent"]
        assert isinstance(sent, dict)
        assert {serial: to["transport_sha256"] for serial, to in sent.items()} == shown
    for label in CLOUD_KEYS:
        keys = [facts for facts in of_event(done, "key") if facts["label"] == label]
        assert [facts["serial"] for facts in keys] == serials
        assert keys[0]["check"] == keys[1]["check"]
        assert keys[0]["public_key"] == keys[1]["public_key"]
    gone = [facts for facts in of_event(done, "destroyed") if facts["label"] == TRANSPORT]
    assert [facts["serial"] for facts in gone] == serials


def test_nonces_of_every_token_are_examined_before_a_key_is_made(twin: Hall) -> None:
    done = held(twin)
    events = [entry.event for entry in done.entries()]
    assert max(n for n, event in enumerate(events) if event == "nonces") < events.index("wrapped")


def test_hospital_makes_its_signing_keys_in_its_own_token_alone(twin: Hall) -> None:
    twin.change('party = "public-cloud"', 'party = "hospital"')
    done = held(twin)
    shared = {"records", "sealing", "index"}
    assert labels(done) == [shared | {"identity", "tls-ca"}, shared]
    assert done.verify().exit_code == 0


def test_successors_are_made_in_every_token_beside_what_they_follow(twin: Hall) -> None:
    held(twin)
    twin.transcript.rename(twin.directory / "first")
    twin.change('party = "public-cloud"', 'party = "public-cloud"\nkeys = ["index.2"]')
    done = held(twin)
    assert labels(done) == [CLOUD_KEYS | {"index.2"}] * 2


def test_transport_key_wrong_if_the_first_token_takes_it_for_another(
    twin: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Token, "take_transport", lambda token, _public: token.transport(TRANSPORT)[:-1] + b"\3")
    stopped(twin, 1, "TRANSPORT_KEY_WRONG")
    aborted(twin, "TRANSPORT_KEY_WRONG")


def test_transport_key_wrong_if_another_one_is_there_than_was_shown(
    twin: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody puts theirs in its place while people compare words."""
    read, shown = Token.transport, []

    def swapped(token: Token, label: str) -> bytes:
        if len(shown) == 4:  # twice for each token, to be shown: now keys are wrapped
            token.destroy(label)
            token.make_transport(label)
        shown.append(label)
        return read(token, label)

    monkeypatch.setattr(Token, "transport", swapped)
    assert "another transport key than the one that was shown" in stopped(twin, 1, "TRANSPORT_KEY_WRONG")
    assert of_event(twin, "wrapped") == []
    aborted(twin, "TRANSPORT_KEY_WRONG")


def test_confirmation_refused_at_the_words_of_a_transport_key_undoes_it(twin: Hall) -> None:
    twin.answers["transport.Wanda"] = "the fourth word is another"
    stopped(twin, 1, "CONFIRMATION_REFUSED")
    aborted(twin, "CONFIRMATION_REFUSED")


def test_key_invalid_if_the_token_that_makes_keys_takes_a_transport_key_for_another(
    twin: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap = Token.wrap_new

    def other_numbers(token: Token, policy: KeyPolicy, transports: list[bytes]) -> tuple[Wrapped, ...]:
        numbers = transport._numbers(transports[0])
        with monkeypatch.context() as patch:
            patch.setattr(transport, "_numbers", lambda _transport: numbers)
            return wrap(token, policy, transports)

    monkeypatch.setattr(Token, "wrap_new", other_numbers)
    stopped(twin, 3, "KEY_INVALID")
    aborted(twin, "KEY_INVALID")


def test_twins_differ_if_two_tokens_were_given_two_keys(twin: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    wrap = Token.wrap_new

    def two(token: Token, policy: KeyPolicy, transports: list[bytes]) -> tuple[Wrapped, ...]:
        return wrap(token, policy, transports)[0], wrap(token, policy, transports)[1]

    monkeypatch.setattr(Token, "wrap_new", two)
    stopped(twin, 1, "TWINS_DIFFER")
    aborted(twin, "TWINS_DIFFER")


def test_key_invalid_if_a_token_holds_another_key_than_its_public_half_says(
    twin: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap = Token.wrap_new

    def mixed(token: Token, policy: KeyPolicy, transports: list[bytes]) -> tuple[Wrapped, ...]:
        one, other = (wrap(token, policy, transports) for _ in range(2))
        return one[0], Wrapped(one[1].carriers, one[1].content, other[1].public)

    monkeypatch.setattr(Token, "wrap_new", mixed)
    stopped(twin, 3, "KEY_INVALID")
    aborted(twin, "KEY_INVALID")


@pytest.mark.parametrize(
    ("told", "reason", "code"), [(True, "KEY_POLICY_VIOLATION", 3), (False, "KEY_ATTRIBUTES_WRONG", 1)]
)
def test_key_attributes_wrong_if_a_key_is_left_extractable(
    twin: Hall, monkeypatch: pytest.MonkeyPatch, told: bool, reason: str, code: int
) -> None:
    """A token that stores another key than it was told to: seen when it is stored, and again when it is read back."""
    secret = KeyPolicy.secret_template

    def loose(policy: KeyPolicy, quirks: object) -> Template:
        return secret(policy, quirks) | {Attribute.EXTRACTABLE: True}  # type: ignore[arg-type]

    monkeypatch.setattr(KeyPolicy, "secret_template", loose)
    if not told:
        monkeypatch.setattr(transport, "verify_policy", lambda *_: None)
        monkeypatch.setattr(KeyPolicy, "verify", lambda *_: None)
    stopped(twin, code, reason)
    aborted(twin, reason)


def test_inventory_unexpected_if_something_extractable_is_left(twin: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of a session that lives on: no inventory of what is stored names it."""
    wrap = Token.wrap_new
    loose, names = replace(SIGNING, extractable=True), template({Attribute.LABEL: "left", Attribute.ID: b"left"})

    def leak(token: Token, policy: KeyPolicy, transports: list[bytes]) -> tuple[Wrapped, ...]:
        if not any(info.label == "left" for info in token.objects()):
            session = token._sessions._take(writable=True)
            living.callback(token._sessions._discard, session)
            generate_pair(session, loose, names, stored=False)
        return wrap(token, policy, transports)

    monkeypatch.setattr(Token, "wrap_new", leak)
    with ExitStack() as living:
        assert "lets out what this ceremony made: left" in stopped(twin, 1, "INVENTORY_UNEXPECTED")
    aborted(twin, "INVENTORY_UNEXPECTED")


FORBIDDEN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from federation.cli.ceremony_desks import AnswersDesk
from hsm import errors, open_token, pin_from_value
from hsm.softhsm import SoftHsm
from keystore.ceremony import engine
from keystore.ceremony.plan_file import read_plan
from keystore.ceremony.rehearsal import PRACTICE_PIN, Stage
now, here = (lambda: datetime.now(UTC)), Path(sys.argv[1])
SoftHsm(here / "softhsm", ["-", sys.argv[3]])
stage = Stage(here, AnswersDesk(here / "answers.toml", PRACTICE_PIN), now)
plan = stage.plan(read_plan(Path(sys.argv[2])))
try:
    engine.run(plan, stage.desk, here / "transcript", now, rehearsal=True)
except errors.HsmError as error:
    print(type(error).__name__)
for name, uri in plan.tokens.items():
    with open_token(uri, pin_from_value(PRACTICE_PIN)) as token:
        print(len(token.objects()))
"""


@pytest.mark.parametrize("mechanism", ["CKM_AES_KEY_WRAP_PAD", "CKM_RSA_PKCS_OAEP", "CKM_AES_ECB_ENCRYPT_DATA"])
def test_token_that_wraps_nothing_is_refused_and_keeps_nothing(tmp_path: Path, mechanism: str) -> None:
    """In a process of its own: SoftHSM reads its configuration once."""
    (tmp_path / "answers.toml").write_text('default = "Yes"\n')
    file = tmp_path / "twin.toml"
    file.write_text((EXAMPLES / "twin.toml").read_text().replace("[quorum]\nthreshold = 2\n", ""))
    command = [sys.executable, "-c", FORBIDDEN, str(tmp_path), str(file), mechanism]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-3:] == ["MechanismMissing", "0", "0"]


def cut_at(hall: Hall, monkeypatch: pytest.MonkeyPatch, which: int, error: type[BaseException]) -> None:
    """Stop the process when a token stores a key: before that (even), or when it is in and nobody wrote so down (odd)."""
    store, stored = Token.unwrap, []

    def stop(token: Token, label: str, policy: KeyPolicy, transport_label: str, wrapped: Wrapped) -> None:
        stored.append(label)
        if len(stored) == which // 2 + 1 and which % 2 == 0:
            raise error
        store(token, label, policy, transport_label, wrapped)
        if len(stored) == which // 2 + 1:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(Token, "unwrap", stop)
        assert hall.run().exit_code == 1
    nothing_lets_out(hall)


@pytest.mark.parametrize("error", [KeyboardInterrupt, Pulled])
@pytest.mark.parametrize("which", [0, 1, 2, 3, 5])
def test_interrupted_ceremony_goes_on_with_keys_that_are_whole(
    twin: Hall, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], which: int
) -> None:
    cut_at(twin, monkeypatch, which, error)
    result = twin.run("--resume")
    assert result.exit_code == 0, result.output
    assert labels(twin) == [CLOUD_KEYS] * 2
    assert twin.verify().exit_code == 0
    nothing_lets_out(twin)


@pytest.mark.parametrize("which", [0, 1, 3, 5])
def test_interrupted_ceremony_is_undone_in_every_token(twin: Hall, monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    cut_at(twin, monkeypatch, which, Pulled)
    twin.answers["resume"] = "undo"
    stopped(twin, 1, "CONFIRMATION_REFUSED", "--resume")
    aborted(twin, "CONFIRMATION_REFUSED")


def test_interrupted_between_two_tokens_pins_goes_on_with_the_shares_that_one_has(
    hall: Halls, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = hall("twin")
    change = AnswersDesk.pin

    def stop(desk: AnswersDesk, name: str, text: str) -> PinProvider:
        if name == "twin-1" and "for the last time" in text:
            raise KeyboardInterrupt
        return change(desk, name, text)

    with monkeypatch.context() as patch:
        patch.setattr(AnswersDesk, "pin", stop)
        assert twin.run().exit_code == 1
    before = [Share.parse((twin.shares / f"{name}.share").read_text()) for name in OFFICERS]
    monkeypatch.setattr(
        AnswersDesk, "show_share", lambda desk, share: desk._share(share.holder).write_text(share.text())
    )
    result = twin.run("--resume")
    assert result.exit_code == 0, result.output
    pin = new_pin(twin)
    assert pin != combine_pin(before[:2]).reveal()
    for uri in (twin.token, twin.dead):
        assert {info.label for info in twin.objects(pin, uri=uri)} == CLOUD_KEYS


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("twins = [", "twinned = [", "token.twins"),
        ('kind = "twin"', 'kind = "backup"', "token.twins"),
        ('twins = ["', 'twins = []\nsurplus = ["', "1 to 3"),
        ('twins = ["', 'twins = ["pkcs11:token=x?module-path=/x.so", "', "serial number"),
    ],
)
def test_ceremony_file_invalid_names_what_is_wrong_with_the_twins(twin: Hall, old: str, new: str, names: str) -> None:
    twin.change(old, new)
    if "backup" in new:
        twin.change(
            'party = "public-cloud"\n',
            'party = "public-cloud"\n\n[quorum]\nthreshold = 2\n\n[outputs]\nbackup_card = "c"\n',
        )
    assert names in stopped(twin, 2, "CEREMONY_FILE_INVALID")


def test_ceremony_file_invalid_if_a_token_is_its_own_twin(twin: Hall) -> None:
    twin.change(str(twin.dead), str(twin.token))
    assert "named twice" in stopped(twin, 2, "CEREMONY_FILE_INVALID")


Change = Callable[[Entry], Mapping[str, object] | None]


def changed(hall: Hall, change: Change) -> bytes:
    """Make the chain of a transcript anew with other entries, as who holds everybody's keys could sign it."""
    previous, lines, number = bytes(32), b"", 0
    for entry in hall.entries():
        data = change(entry)
        if data is not None:
            number += 1
            again = Entry(number, entry.at, entry.event, entry.by, data, previous.hex())
            previous, lines = again.digest, lines + again.line()
    return lines


def test_content_wrong_if_the_tokens_keys_are_not_the_same_or_not_where_the_transcript_shows_them(twin: Hall) -> None:
    done = held(twin)
    other = str(done.dead.serial)

    def in_the_other(entry: Entry, event: str) -> bool:
        return entry.event == event and entry.data.get("serial") == other

    def forged(event: str, **facts: object) -> Change:
        return lambda entry: {**entry.data, **facts} if in_the_other(entry, event) else entry.data

    def without(event: str) -> Change:
        return lambda entry: None if in_the_other(entry, event) else entry.data

    def unwrapped(entry: Entry) -> Mapping[str, object] | None:
        return None if entry.event == "wrapped" else entry.data

    for change, says in (
        (forged("key", check="00"), "is not the same in every token"),
        (forged("key", check=None), "has no check value"),
        (without("key"), "is not the same in every token"),
        (forged("transport", taken_sha256="00"), "was taken for another"),
        (forged("transport", sha256="00", taken_sha256="00"), "other transport keys than those that were shown"),
        (without("transport"), "other transport keys than those that were shown"),
        (unwrapped, "was not wrapped before"),
        (without("nonces"), "s came into a token whose nonces had not been examined"),
    ):
        with pytest.raises(ContentWrong, match=says):
            verify(changed(done, change))
