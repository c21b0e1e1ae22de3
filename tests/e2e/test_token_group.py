"""A served public cloud whose keys are in two tokens: either is taken away while others register, search, publish and renew."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from demo.stage import SECONDS, Federation, environment, free_address, run, ticket_in, typed, write_pin
from federation.authority.node import found_authority, open_authority
from federation.party.node_directory import NodeDirectory, read_trust
from federation.party.registration import parse_ticket
from federation.protocol.bundle import TrustedBundle
from federation.settings import CloudSettings, MetricsSettings, OtherTokenSettings, TokenSettings
from hsm import Pin, TokenUri, pin_from_value
from tests.e2e.cloud_lab import CLOUD, CloudLab
from tests.e2e.cloud_traffic import Traffic
from tests.e2e.processes_stage import Load
from tests.waiting import until

FILL = """
import hashlib, sys
from pathlib import Path
from hsm import Pin, open_token, pin_from_value
from hsm.softhsm import SoftHsm
from keystore.party import CloudKeys
from keystore.policies import CLOUD_POLICIES
softhsm, pin = SoftHsm(Path(sys.argv[1])), Path(sys.argv[2]).read_text()
store = Path(sys.argv[1]) / "tokens"
for label in ("one", "two"):
    before = set(store.iterdir())
    uri = softhsm.create_token(label, pin=Pin(pin), so_pin=Pin(pin))
    with open_token(uri, pin_from_value(pin)) as token:
        for purpose in CloudKeys.purposes:
            token.import_key(purpose, CLOUD_POLICIES[purpose], bytearray(hashlib.sha256(purpose.encode()).digest()))
    (made,) = set(store.iterdir()) - before
    print(uri, made.name)
"""
"""Makes two tokens with one set of keys, as a restore from shares would."""

TURN = """
import sys
from pathlib import Path
from federation.clock import system_clock
from federation.cloud.node import open_public_cloud
from federation.party.node_directory import NodeDirectory
with open_public_cloud(NodeDirectory(Path(sys.argv[1])), None) as node:
    assert node.cloud.epochs.is_due(system_clock())
    node.cloud.epochs.rotate(system_clock())
    assert not node.cloud.epochs.is_due(system_clock())
"""
"""Begins an epoch of both tokens, which the server's chore would do after a minute: one alone has a half of the first."""

pytestmark = pytest.mark.timeout(300)


@dataclass
class Desk:
    """The operator of a cloud that another process serves; what `CloudLab` asks of a node of its own."""

    directory: Path

    def trust(self) -> TrustedBundle:
        return read_trust(self.directory / "trust.json")

    def invite(self, identity: str) -> tuple[bytes]:
        return (parse_ticket(ticket_in(run("public-cloud", "invite", "--directory", self.directory, identity))),)


@dataclass
class Twins:
    """The tokens of the cloud, as directories that can be moved away."""

    store: Path
    names: list[str] = field(default_factory=list)
    uris: list[str] = field(default_factory=list)

    def take(self, number: int) -> Callable[[], None]:
        """Take a token away; the function given puts it back."""
        directory, elsewhere = self.store / self.names[number], self.store.parent / f"taken-{number}"
        directory.rename(elsewhere)
        return lambda: shutil.move(elsewhere, directory)


@dataclass
class Clinic:
    """A served cloud with two tokens, and parties of this process."""

    lab: CloudLab
    cloud: Path
    twins: Twins
    stage: Federation

    def health(self) -> dict[str, bool]:
        said = typed(("health", "--directory", self.cloud), environment()).stdout
        lines = [line.partition(", ")[2].split(": ") for line in said.splitlines()]
        return {name: status == "SERVING" for name, status in lines}

    def events(self) -> list[dict[str, str]]:
        lines = (self.cloud / "serve.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture
def clinic(tmp_path: Path, make_token_uri: Callable[..., TokenUri], user_pin: Pin) -> Iterator[Clinic]:
    cloud, board, pin = tmp_path / "cloud", NodeDirectory(tmp_path / "board"), pin_from_value(user_pin.reveal())
    cloud.mkdir()
    pin_file = write_pin(cloud / "pin")
    command = [sys.executable, "-c", FILL, str(cloud / "tokens"), str(pin_file)]
    told = subprocess.run(
        command, env=environment(), check=True, capture_output=True, text=True, timeout=SECONDS
    ).stdout
    twins = Twins(cloud / "tokens" / "tokens")
    for line in told.splitlines():
        uri, name = line.split()
        twins.uris.append(uri)
        twins.names.append(name)
    certificate = found_authority(board, "M:board", TokenSettings(str(make_token_uri("board"))), pin)
    stage = Federation(tmp_path)
    with open_authority(board, pin) as authority:
        (tmp_path / "board.der").write_bytes(certificate.public_bytes(Encoding.DER))
        (tmp_path / "board.crl").write_bytes(authority.crl().public_bytes(Encoding.DER))
        run(
            *("public-cloud", "init", "--directory", cloud, "--identity", CLOUD, "--realm", "two"),
            *(
                "--address",
                free_address(),
                "--peer-address",
                free_address(),
                "--keys-in-token",
                "--token",
                twins.uris[0],
            ),
            *("--softhsm-configuration", cloud / "tokens" / "softhsm2.conf", "--pin-file", pin_file),
            *("--authority", tmp_path / "board.der", "D:*", "--crl", tmp_path / "board.crl"),
        )
        node = NodeDirectory(cloud)
        settings = node.settings(CloudSettings)
        others = (OtherTokenSettings(twins.uris[1], pin_file),)
        token = replace(settings.token, others=others, pin_file=pin_file)
        # All the load comes from one address, and a quick machine makes more of it than one caller may.
        server = replace(settings.server, openers_per_second=1000, openers_burst=10_000)
        metrics = MetricsSettings(free_address())
        node.write_settings(replace(settings, token=token, server=server, metrics=metrics))
        subprocess.run([sys.executable, "-c", TURN, str(cloud)], env=environment(), check=True, timeout=SECONDS)
        try:
            stage.serve("public-cloud", cloud)
            lab = CloudLab(Desk(cloud), authority, tmp_path, make_token_uri, pin)  # type: ignore[arg-type]
            with lab.closing:
                yield Clinic(lab, cloud, twins, stage)
        finally:
            stage.stop()


def test_either_token_is_taken_while_others_register_search_publish_and_renew_and_no_call_fails(clinic: Clinic) -> None:
    traffic, patient = Traffic(clinic.lab), clinic.lab.hospital("H:beside")
    load = Load(clinic.lab.client().directory, *[lambda: patient[1].renew(patient[0], "127.0.0.1:9")] * 3)
    with load.running(), traffic.running():
        traffic.await_rounds(2)
        assert {name: clinic.health()[name] for name in ("token", "token-1", "token-2")} == dict.fromkeys(
            ("token", "token-1", "token-2"), True
        )
        for number in (0, 1):
            put_back = clinic.twins.take(number)
            until(lambda: not clinic.health()[f"token-{number + 1}"], "the loss is told")  # noqa: B023
            traffic.await_rounds(4)
            assert clinic.health()["token"]
            put_back()
            until(lambda: clinic.health()[f"token-{number + 1}"], "the return is told")  # noqa: B023
            traffic.await_rounds(2)
    assert traffic.failure is None
    assert load.failures == []
    assert load.done > 100
    print(f"{load.done} calls and {traffic.rounds} rounds; the slowest call {load.slowest:.2f} s")
    told = [(it["event"], it.get("which")) for it in clinic.events() if it["event"].startswith("token-")]
    assert told == [(f"token-member-{what}", f"token-{number}") for number in (1, 2) for what in ("lost", "back")]


def test_cloud_starts_on_one_of_its_tokens_and_check_says_what_is_away(clinic: Clinic) -> None:
    clinic.stage.stop()
    put_back = clinic.twins.take(0)
    said = run("check", "--directory", clinic.cloud, expect=1)
    assert "one is away" in said
    (clinic.cloud / "ready").unlink(missing_ok=True)
    clinic.stage.serve("public-cloud", clinic.cloud)
    clinic.lab.hospital("H:late")
    put_back()
    until(lambda: clinic.health()["token-1"], "the first is taken in")
    clinic.lab.hospital("H:later")


CHANGE = """
import sys
from pathlib import Path
from hsm import TokenUri, open_token, pin_from_value
from hsm.softhsm import SoftHsm
from keystore.policies import CLOUD_POLICIES
SoftHsm(Path(sys.argv[1])).activate()
with open_token(TokenUri.parse(sys.argv[3]), pin_from_value(Path(sys.argv[2]).read_text())) as token:
    if token.has("index"):
        token.destroy("index")
    if sys.argv[4] == "other":
        token.import_key("index", CLOUD_POLICIES["index"], bytearray(32))
"""
"""Takes the index key out of a token, or puts another in its place."""


def test_check_names_the_token_that_lacks_a_key_and_the_one_that_has_another(clinic: Clinic) -> None:
    def change(to: str) -> None:
        words = [sys.executable, "-c", CHANGE, clinic.cloud / "tokens", clinic.cloud / "pin", clinic.twins.uris[1], to]
        subprocess.run([*map(str, words)], env=environment(), check=True, timeout=SECONDS)

    assert "WRONG" not in run("check", "--directory", clinic.cloud)
    change("none")
    assert "two lacks index" in run("check", "--directory", clinic.cloud, expect=1)
    change("other")
    said = run("check", "--directory", clinic.cloud, expect=1)
    assert "token two holds another key 'index'" in said
    assert "KEYS_DIFFER" in said
