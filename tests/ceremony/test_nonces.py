"""Before s comes into a token its nonces are examined, and a token whose nonces are not fresh and fair gets no s."""

from collections.abc import Callable

import pytest

from hsm import NonceReport, Token
from keystore.ceremony.kinds import KINDS
from keystore.ceremony.plan_file import read_plan
from tests.ceremony.hall import EXAMPLES, Hall
from tests.ceremony.test_refusals import aborted, stopped

Halls = Callable[[str], Hall]


def test_kinds_that_put_s_into_a_token_are_those_that_examine_its_nonces() -> None:
    found = {kind for kind in KINDS if read_plan(EXAMPLES / f"{kind}.toml").makes_issuer}
    assert found == {"public-cloud-root", "backup", "restore", "twin"}


def test_nonces_are_examined_before_the_first_key_and_the_report_is_on_record(hall: Halls) -> None:
    done = hall("public-cloud-root")
    said = done.run()
    assert said.exit_code == 0, said.output
    assert "4096 different nonces of 4096" in said.output
    events = [entry.event for entry in done.entries()]
    assert events.index("nonces") < events.index("pin-split") < events.index("key")
    report = next(entry.data for entry in done.entries() if entry.event == "nonces")
    assert (report["signatures"], report["distinct"], report["fair"]) == (4096, 4096, True)
    assert abs(float(str(report["worst_z"]))) < 6


@pytest.mark.parametrize("kind", ["public-cloud-root", "restore"])
@pytest.mark.parametrize(
    ("reason", "report"),
    [
        ("NONCES_BIASED", NonceReport(4096, 4096, worst_bit=255, worst_z=-9.0)),
        ("NONCES_BIASED", NonceReport(4096, 4095, worst_bit=0, worst_z=1.0)),
        ("NONCES_DETERMINISTIC", NonceReport(4096, 2048, worst_bit=0, worst_z=1.0)),
    ],
)
def test_nonces_biased_or_deterministic_stop_a_ceremony_before_a_key_is_made(
    kind: str, reason: str, report: NonceReport, hall: Halls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Token, "nonces", lambda _token, **_options: report)
    stopped(prepared := hall(kind), 3, reason)
    facts = next(entry.data for entry in prepared.entries() if entry.event == "nonces")
    assert (facts["distinct"], facts["fair"]) == (report.distinct, False)
    aborted(prepared, reason)
