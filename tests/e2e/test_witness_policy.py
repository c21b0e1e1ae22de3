"""How many witnesses a log needs is stated at the public cloud, and followed by live servers, an emergency and a patient."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.stage import Federation, run
from federation.hospital.witnessing import UNWITNESSED
from tests.e2e.clinic import RECORD, PreparedFederation
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)

# Servers that let in emergencies of one clinician on duty in cardiology; what no witness stands by goes out at once.
SETTINGS = {
    "reasons": '["unconscious"]',
    "duty_classes": '["cardiology"]',
    "emergency_wait_seconds": "20.0",
}


@dataclass
class Ward:
    """A federation of a cloud and two hospitals, with a doctor of H:b, and a record of P:johnnie at H:a."""

    federation: Federation
    doctor: Path

    def emergency(self) -> str:
        """Read P:johnnie's record in an emergency; give H:a's log."""
        self.federation.put_on_duty(self.doctor, "b")
        said = run(
            *("doctor", "emergency", "read", "--directory", self.doctor, "--hospital", "H:b"),
            *("--address", self.federation.addresses["b"], "--patient", "P:johnnie"),
            *("--reason", "unconscious", "--note", "Found on the street.", "--yes"),
        )
        assert "From H:a," in said
        return run("hospital", "log", "--directory", self.federation.root / "a")

    def policy(self, *words: object, expect: int = 0) -> str:
        cloud = "--directory", self.federation.root / "cloud"
        return run("public-cloud", "witness-policy", *cloud, "--why", "decided", *words, expect=expect)

    def heads(self) -> str:
        return run("hospital", "log-heads", "--directory", self.federation.root / "a")

    def looked(self) -> dict[str, tuple[int, bool]]:
        """What P:johnnie's device says of each log: how many the federation asks for, and whether as many stood by."""
        said = run("patient", "accesses", "--directory", self.federation.root / "johnnie", "--json")
        logs = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["logs"]
        return {it["where"]: (it["cosignatures"], it["witnessed"]) for it in logs}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    made = PreparedFederation(tmp_path_factory.mktemp("federation"), SETTINGS)
    try:
        made.found()
        made.add_hospital("a")
        made.add_hospital("b")
        made.add_patient("johnnie", "a")
        run(
            *("hospital", "import", "--directory", made.root / "a", "--patient", "P:johnnie"),
            *("--department", "cardiology", RECORD),
        )
        made.await_publication("a")
        yield Ward(made, made.add_doctor("house"))
    finally:
        made.stop()


def test_emergencies_and_patients_follow_the_policy_of_the_trust_bundle(ward: Ward) -> None:
    assert UNWITNESSED not in ward.emergency()
    until(lambda: ward.looked()["H:a"] == (1, True))

    said = ward.policy("--cosignatures", 3)
    assert "Now:  1 of: every hospital, the public cloud" in said
    assert "TOO FEW FOR THE LOG OF H:a: 2 others would count there." in said
    assert "Nothing is stated yet; give --confirm 3." in said
    assert "nothing was stated" in ward.policy("--cosignatures", 3, "--confirm", 2, expect=1)
    assert "more than there can be" in ward.policy("--cosignatures", 2, "--hospital", "H:a", expect=1)
    assert "trust bundle asks for: 1" in ward.heads()

    assert "says so" in ward.policy("--cosignatures", 3, "--confirm", 3)
    until(lambda: "trust bundle asks for: 3, and NOT SO MANY" in ward.heads())
    assert ward.emergency().count(UNWITNESSED) == 1
    assert set(ward.looked().values()) == {(3, False)}

    named = "--cosignatures", 1, "--hospital", "H:b", "--hospital", "H:gone"
    assert "H:gone IS NOT REGISTERED" in ward.policy(*named)
    assert "says so" in ward.policy(*named, "--confirm", 1)
    until(lambda: "trust bundle asks for: 1" in ward.heads())
    until(lambda: ward.looked()["H:a"] == (1, True))
    assert ward.emergency().count(UNWITNESSED) == 1
    shown = run("trust", "show", ward.federation.root / "cloud" / "trust.json")
    assert [line for line in shown.splitlines() if line.startswith("Witnesses of logs, from the beginning: 1 of")]
    assert shown.count("Witnesses of logs, from ") == 3
    assert "1 of: H:b, H:gone, the public cloud" in shown
