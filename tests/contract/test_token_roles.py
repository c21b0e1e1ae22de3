"""For which roles the token under test will do: by `medunion token check`, and by a whole visit of everybody on it who may be."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from federation.cli.main import main
from federation.party.tokens import NEEDED
from hsm import Ability, Pin, Token, TokenUri, open_token, pin_from_value
from hsm.selftest import Trial
from hsm.softhsm import SoftHsm
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.simulator import Federation
from tests.unit.protocol.visiting import visit

PARTIES = {"cloud": "public-cloud"}
"""How the federation in memory calls a party whose role has another name."""


@pytest.fixture
def trials(token: Token) -> list[Trial]:
    found = token.trials()
    assert token.objects() == [], "a trial leaves nothing behind"
    return found


def serves(role: str, trials: list[Trial], *, tool: bool = False) -> bool:
    """Say whether nothing is missing, or nothing but what the maker's tool makes good."""
    lacking = {trial.ability for trial in trials if not trial.works} & NEEDED[role]
    return lacking <= ({Ability.IMPORT_P256} if tool else set())


def checked(role: str, uri: TokenUri, pin_file: Path) -> Result:
    words = ["token", "check", "--role", role, "--token", str(uri), "--pin-file", str(pin_file)]
    return CliRunner().invoke(main, words, catch_exceptions=False)


@needs(Capability.ECDSA, Capability.MANY_KEYS)
def test_check_tells_every_role_whether_the_token_will_do(
    trials: list[Trial],
    token_under_test: TokenUnderTest,
    make_token_uri: Callable[[], TokenUri],
    user_pin: Pin,
    tmp_path: Path,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    pin_file, uri = tmp_path / "pin", make_token_uri()
    pin_file.touch(mode=0o600)
    pin_file.write_text(user_pin.reveal())
    will_do = set()
    for role in NEEDED:
        said = checked(role, uri, pin_file)
        assert (said.exit_code == 0) == serves(role, trials), said.output
        assert ("this token will do" in said.output) == (said.exit_code == 0)
        will_do |= {role} if said.exit_code == 0 else set()
    assert will_do == (will_do if token_under_test.roles is None else token_under_test.roles)
    by_tool = {role for role in NEEDED if serves(role, trials, tool=token_under_test.has_makers_tool)} - will_do
    record_testsuite_property("roles", " ".join(will_do))
    record_testsuite_property("by_tool", " ".join(by_tool))
    for trial in trials:
        record_testsuite_property(trial.ability.name, trial.detail)


@needs(Capability.ECDSA, Capability.PROVENANCE)
def test_whole_visit_of_everybody_whom_the_token_serves(
    trials: list[Trial],
    token_under_test: TokenUnderTest,
    make_token: Callable[[], Token],
    softhsm: SoftHsm,
    request: pytest.FixtureRequest,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    """Whoever the token does not serve has a plain SoftHSM."""
    on_it: list[str] = []

    def token_of(party: str) -> Token:
        role = PARTIES.get(party, party)
        if serves(role, trials, tool=token_under_test.has_makers_tool):
            on_it.append(role)
            return make_token()
        pins = {"pin": Pin(token_under_test.user_pin), "so_pin": Pin(token_under_test.so_pin)}
        plain = open_token(
            softhsm.create_token(f"plain-{os.urandom(4).hex()}", **pins), pin_from_value(pins["pin"].reveal())
        )
        request.addfinalizer(plain.close)
        return plain

    with token_under_test.makers_tool():
        visit(Federation(token_of, os.urandom))
    record_testsuite_property("visit", " ".join(set(on_it)))
