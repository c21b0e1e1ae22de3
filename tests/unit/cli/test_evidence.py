"""`medunion evidence verify`: what it says, and how it ends, without a token, a store or a network."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from federation.cli.evidence import evidence
from federation.party.node_directory import trust_to_json
from federation.protocol.exhibit import KeptExhibit, write_file
from tests.simulator import Federation
from tests.unit.protocol.judging import changed, flipped, of_accesses, of_deputies


@pytest.fixture
def trust(federation: Federation, tmp_path: Path) -> Path:
    path = tmp_path / "trust.json"
    path.write_text(trust_to_json(federation.cloud.bundle))
    return path


@pytest.fixture
def shown(federation: Federation) -> list[KeptExhibit]:
    return [*of_deputies(federation), of_accesses(federation)]


def verified(kept: list[KeptExhibit], trust: Path, *words: str) -> Result:
    file = trust.parent / "wang.evidence.json"
    file.write_bytes(write_file(kept))
    return CliRunner().invoke(evidence, ["verify", str(file), "--trust", str(trust), *words])


def test_evidence_that_holds_is_said_with_what_it_leaves_open_and_ends_with_0(
    shown: list[KeptExhibit], trust: Path
) -> None:
    found = verified(shown, trust)
    assert found.exit_code == 0, found.output
    assert "1. mandate of P:wang: HOLDS" in found.output
    assert "   PROVES  cosigned by H:beta at " in found.output
    assert "   LEAVES OPEN  " in found.output
    assert "   ITS HOLDER SAYS  received at " in found.output
    assert "3 exhibits, and every one holds." in found.output


def test_evidence_that_does_not_hold_is_named_with_its_reason_and_ends_with_1(
    shown: list[KeptExhibit], trust: Path
) -> None:
    shown[1] = changed(shown[1], signature=flipped(shown[1].exhibit.signature))
    found = verified(shown, trust)
    assert found.exit_code == 1
    assert "2. guardian of H:alpha: DOES NOT HOLD" in found.output
    assert "   no   signature: the signature over what was signed (SIGNATURE_INVALID: " in found.output
    assert "THESE DO NOT HOLD: 2." in found.output
    (_, failed, _) = json.loads(verified(shown, trust, "--json").output)["exhibits"]
    assert failed["checks"][-1] == {"name": "signature", "holds": False, "reason": "SIGNATURE_INVALID"}
    assert failed["proves"] == []


def test_file_without_an_exhibit_proves_nothing_and_ends_with_1(trust: Path) -> None:
    assert verified([], trust).exit_code == 1


def test_what_is_no_evidence_is_said_plainly(trust: Path) -> None:
    found = CliRunner().invoke(evidence, ["verify", str(trust), "--trust", str(trust)])
    assert found.exit_code == 1
    assert "is no evidence. (FIELD_INVALID: " in found.output
