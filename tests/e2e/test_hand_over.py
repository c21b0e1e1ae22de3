"""S_X gets into a token that takes no private key by PKCS#11: handed over under a password, put in by a tool, taken over."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pkcs11 import TemplateInconsistent

from federation.cli.main import main
from federation.clock import system_clock
from federation.errors import CredentialExpired, Unavailable
from federation.hospital.node import HospitalNode, init_hospital
from federation.party.audit import Audit
from federation.party.hand_over import HandOverAwaited
from federation.party.member import Member
from federation.party.node_directory import NodeDirectory, read_trust
from federation.party.registration import register, renew_registration, ticket_text
from federation.person.maintenance import maintain
from federation.person.node import OpenDoctor, init_doctor, open_doctor
from federation.protocol.statements import peek_statement
from federation.settings import HospitalSettings, TokenSettings
from federation.store.log import Log
from federation.store.party import Settings
from federation.v1.statement_pb2 import ROLE_DOCTOR, KeyStatement
from hsm import TokenUri
from hsm.cryptoki import Cryptoki
from hsm.softhsm import find_module
from tests.e2e.cloud_lab import CloudLab
from tests.waiting import until

PASSWORD = "under-this-it-stands-in-a-file"
# python-pkcs11 alone, in a process of its own: the PIN and the password come by standard input.
MAKERS_TOOL = """
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pkcs11 import Attribute, KeyType, ObjectClass, lib
from pkcs11.util.ec import encode_named_curve_parameters
told = json.load(sys.stdin)
value = load_pem_private_key(told["pem"].encode(), told["password"].encode()).private_numbers().private_value
(token,) = lib(told["module"]).get_tokens(token_label=told["token"])
yes = "TOKEN", "PRIVATE", "SENSITIVE", "DERIVE"
no = "EXTRACTABLE", "SIGN", "SIGN_RECOVER", "DECRYPT", "UNWRAP", "COPYABLE", "MODIFIABLE"
flags = {Attribute[name]: name in yes for name in (*yes, *no)}
named = {
    Attribute.CLASS: ObjectClass.PRIVATE_KEY,
    Attribute.KEY_TYPE: KeyType.EC,
    Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1"),
    Attribute.VALUE: (value ^ told["flip"]).to_bytes(32, "big"),
    Attribute.LABEL: told["label"],
    Attribute.ID: b"any",
}
with token.open(rw=True, user_pin=told["pin"]) as session:
    session.create_object(named | flags)
"""


@pytest.fixture(autouse=True)
def takes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process's tokens refuse a private key by C_CreateObject and by C_UnwrapKey; `monkeypatch.undo` ends it."""
    refuse_keys(monkeypatch)


def refuse_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> int:
        raise TemplateInconsistent

    monkeypatch.setattr(Cryptoki, "create_object", refuse)
    monkeypatch.setattr("hsm.creation.open_wrapped", refuse)


@dataclass
class Bench:
    """A doctor's directory on a token that refuses imports, and what is typed there."""

    lab: CloudLab
    uri: TokenUri
    place: Path
    directory: NodeDirectory = field(init=False)
    letter: ClassVar[str] = "D"

    def __post_init__(self) -> None:
        self.directory = NodeDirectory(self.place / "doctor")
        self.pin_file, self.password_file = self.write("pin", self.pin), self.write("password", PASSWORD)
        self.output = self.place / "secret.pem"
        trust, settings = self.place / "cloud-trust.json", TokenSettings(str(self.uri), pin_file=self.pin_file)
        trust.write_bytes((self.lab.directory / "cloud" / "trust.json").read_bytes())
        self.init(trust, settings)

    def init(self, trust: Path, settings: TokenSettings) -> None:
        init_doctor(self.directory, trust, self.identity, settings, self.lab.pin, self.pin_file)

    @property
    def identity(self) -> str:
        return f"{self.letter}:{self.uri.token}"

    @property
    def pin(self) -> str:
        return self.lab.pin().reveal()

    def write(self, name: str, content: str) -> Path:
        file = self.place / name
        file.touch(mode=0o600)
        file.write_text(content)
        return file

    def typed(self, *words: object, code: int = 0) -> str:
        arguments = [*map(str, words), "--directory", str(self.directory.path)]
        done = CliRunner().invoke(main, arguments, prog_name="medunion")
        assert done.exit_code == code, done.output
        assert PASSWORD not in done.output
        return str(done.output)

    def register(self, code: int = 0) -> str:
        file = self.place / "certificate.der"
        if not file.exists():
            with self.opened() as doctor:
                file.write_bytes(self.lab.certificate(doctor.member))
        return self.typed("doctor", "register", "--certificate", file, code=code)

    def hand_over(self, code: int = 0) -> str:
        password = "--password-file", self.password_file
        return self.typed("token", "hand-over", "--output", self.output, *password, code=code)

    def taken_over(self, code: int = 0) -> str:
        return self.typed("token", "taken-over", code=code)

    def label(self) -> str:
        with self.opened() as doctor:
            assert doctor.member.hand_over is not None
            return doctor.member.hand_over.label

    def tool(self, *, flip: int = 0) -> None:
        told = {
            "pem": self.output.read_text(),
            "password": PASSWORD,
            "module": str(find_module()),
            "token": self.uri.token,
            "pin": self.pin,
            "label": self.label(),
            "flip": flip,
        }
        subprocess.run([sys.executable, "-c", MAKERS_TOOL], input=json.dumps(told), text=True, check=True, timeout=60)

    def opened(self) -> AbstractContextManager[OpenDoctor]:
        return open_doctor(self.directory, self.lab.pin)

    def is_registered(self) -> bool:
        with self.opened() as doctor:
            return doctor.member.is_registered

    def logged(self) -> list[str]:
        with self.opened() as doctor, self.directory.database() as database:
            audit = Audit(Log(database), doctor.member.sealing, where=doctor.member.identity)
            return [entry.event.kind for entry in audit.entries()]


class HospitalBench(Bench):
    """A hospital's directory instead."""

    letter = "H"

    def init(self, trust: Path, settings: TokenSettings) -> None:
        hospital = HospitalSettings(self.identity, "127.0.0.1:0", "127.0.0.1:9", settings)
        init_hospital(self.directory, hospital, read_trust(trust), self.lab.pin, None)
        self.ticket = ticket_text(self.lab.node.invite(self.identity)[0])

    def register(self, code: int = 0) -> str:
        licence = self.write("licence", "licence")
        return self.typed(
            "hospital", "register", "--ticket-file", self.write("ticket", self.ticket), "--licence", licence, code=code
        )

    def opened(self) -> HospitalNode:
        return HospitalNode(self.directory, self.lab.pin)


@pytest.fixture
def bench(lab: CloudLab, make_token_uri: Callable[..., TokenUri], tmp_path: Path) -> Bench:
    return Bench(lab, make_token_uri("hand"), tmp_path)


def kept(bench: Bench) -> bytes | None:
    with bench.directory.database() as database:
        return Settings(database).get("registration-secret-to-hand-over")


def require_acting(doctor: OpenDoctor | HospitalNode) -> None:
    """A registered member whose S_X works: the cloud takes what it proves with it."""
    doctor.cloud.refresh(doctor.member)
    party = doctor.member.party(system_clock())
    party.registration_secret.require_consistent()
    assert doctor.cloud.renew(doctor.member).key_id


def test_whole_way_by_the_makers_tool(bench: Bench) -> None:
    said = bench.register(code=1)
    assert "HAND_OVER_AWAITED" in said
    assert "medunion token hand-over --directory DIR --output FILE" in said
    assert "medunion token taken-over --directory DIR" in said
    assert not bench.is_registered()
    label = bench.label()
    said = bench.hand_over()
    assert label in said
    assert "DERIVE" in said
    assert bench.output.stat().st_mode & 0o777 == 0o600
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in bench.output.read_bytes()
    bench.tool()
    bench.output.unlink()
    assert "is in the token, tested" in bench.taken_over()
    assert kept(bench) == b""
    with bench.opened() as doctor:
        require_acting(doctor)
        assert doctor.member.certificate == (bench.place / "certificate.der").read_bytes()
        assert doctor.member.request_under_way is None
    assert bench.logged() == ["SECRET-HANDED-OVER", "SECRET-TAKEN-OVER"]
    assert "nothing waits" in bench.taken_over()
    issued = [identity for _, _, identity, _ in bench.lab.node.cloud.stores.registrations.issued()]
    assert issued.count(bench.identity) == 1


def test_what_waits_is_sealed_and_no_second_registration_is_made(bench: Bench) -> None:
    bench.register(code=1)
    bench.hand_over()
    secret = load_pem_private_key(bench.output.read_bytes(), PASSWORD.encode()).private_numbers().private_value
    stored = b"".join(file.read_bytes() for file in bench.directory.path.glob("store.sqlite*"))
    assert secret.to_bytes(32, "big") not in stored
    assert "HAND_OVER_AWAITED" in bench.register(code=1)
    issued = [identity for _, _, identity, _ in bench.lab.node.cloud.stores.registrations.issued()]
    assert issued.count(bench.identity) == 1


def test_file_that_stands_there_is_not_written_over(bench: Bench) -> None:
    bench.register(code=1)
    bench.output.write_text("another's")
    assert "File exists" in bench.hand_over(code=1)
    assert bench.output.read_text() == "another's"
    assert bench.logged() == []


def test_short_password_leaves_no_file(bench: Bench) -> None:
    bench.register(code=1)
    bench.password_file.write_text("short")
    assert "guards the file" in bench.hand_over(code=1)
    assert not bench.output.exists()


def test_password_comes_by_descriptor_and_is_no_option(bench: Bench) -> None:
    bench.register(code=1)
    reading, writing = os.pipe()
    os.write(writing, PASSWORD.encode())
    os.close(writing)
    bench.typed("token", "hand-over", "--output", bench.output, "--password-fd", reading)
    assert load_pem_private_key(bench.output.read_bytes(), PASSWORD.encode())
    bench.typed("token", "hand-over", "--output", bench.output, "--password", PASSWORD, code=2)


def test_key_that_is_not_there_is_asked_for(bench: Bench) -> None:
    bench.register(code=1)
    assert "KEY_NOT_FOUND" in bench.taken_over(code=1)
    assert kept(bench)


def test_wrong_key_is_refused_and_changes_nothing(bench: Bench) -> None:
    bench.register(code=1)
    bench.hand_over()
    before = kept(bench)
    bench.tool(flip=1)
    assert "CREDENTIAL_MISMATCH" in bench.taken_over(code=1)
    assert kept(bench) == before
    with bench.opened() as doctor:
        with pytest.raises(HandOverAwaited):
            doctor.member.require_none_awaited(system_clock())
        doctor.member.keys.token.destroy(doctor.member.hand_over.label)
    bench.tool()
    bench.taken_over()
    assert bench.is_registered()


def test_key_that_may_do_more_than_its_policy_says_is_refused(bench: Bench) -> None:
    """softhsm2-util imports whatever it imports for signing and as modifiable, too, and says no other words."""
    bench.register(code=1)
    bench.hand_over()
    pins = "--pin", bench.pin, "--file-pin", PASSWORD
    named = "--token", bench.uri.token, "--label", bench.label(), "--id", "01", "--no-public-key"
    subprocess.run(["softhsm2-util", "--import", bench.output, *named, *pins], check=True, timeout=60)
    assert "KEY_POLICY_VIOLATION" in bench.taken_over(code=1)
    assert kept(bench)


@pytest.mark.parametrize("crash", ["_keep_statement", "keep_request"])
def test_what_a_crash_cut_short_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch, crash: str) -> None:
    """After the key statement was kept, too: the certificate is with it in the end."""
    bench.register(code=1)
    bench.hand_over()
    bench.tool()
    done = getattr(Member, crash)

    def die(*arguments: object) -> None:
        done(*arguments)
        raise Unavailable("killed")

    with monkeypatch.context() as killed:
        killed.setattr(Member, crash, die)
        bench.taken_over(code=1)
    assert kept(bench)
    bench.taken_over()
    with bench.opened() as doctor:
        require_acting(doctor)
        assert doctor.member.certificate


def test_revoked_meanwhile_is_said_and_the_next_registration_is_another(bench: Bench) -> None:
    bench.register(code=1)
    bench.hand_over()
    bench.tool()
    dead = bench.label()
    bench.lab.node.revoke(bench.identity)
    with bench.opened() as doctor:
        before = doctor.member.verifier().lists.sequence
        until(lambda: doctor.cloud.refresh(doctor.member).sequence > before, "the list is published")
    assert "CREDENTIAL_REVOKED" in bench.taken_over(code=1)
    assert kept(bench)
    assert "HAND_OVER_AWAITED" in bench.register(code=1)
    assert bench.label() != dead
    with bench.opened() as doctor:
        assert not doctor.member.keys.token.has(dead)


def test_renewal_waits_and_the_registration_before_stays(lab: CloudLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    doctor, cloud = lab.doctor("D:again"), lab.client()
    before, certificate = doctor.key_statement, lab.certificate(doctor)
    refuse_keys(monkeypatch)
    with pytest.raises(HandOverAwaited):
        renew_registration(doctor, cloud, certificate, certificate=certificate)
    assert doctor.key_statement == before
    assert doctor.is_registered
    monkeypatch.setattr("federation.party.registration.RENEWED_BEFORE_END", timedelta(days=366))
    assert isinstance(maintain(doctor, cloud, certificate, certificate=certificate), HandOverAwaited)
    issued = [identity for _, _, identity, _ in lab.node.cloud.stores.registrations.issued()]
    assert issued.count("D:again") == 2
    # A rotation of the sealing key takes it along.
    assert doctor.request_is_under(1)
    assert not doctor.reseal_request()


def test_credential_that_ended_meanwhile_is_dropped(lab: CloudLab, monkeypatch: pytest.MonkeyPatch) -> None:
    doctor, cloud = lab.member("D:late"), lab.client()
    certificate = lab.certificate(doctor)
    with pytest.raises(HandOverAwaited):
        register(doctor, cloud, ROLE_DOCTOR, certificate, None, certificate=certificate)
    monkeypatch.setattr("federation.protocol.anchors.Lists.require_current", lambda *_it, **_them: None)
    awaited = doctor.hand_over
    assert awaited is not None
    end = peek_statement(KeyStatement, awaited.key_statement).not_after
    with pytest.raises(CredentialExpired):
        doctor.take_over(end)
    assert doctor.hand_over == awaited
    doctor.require_none_awaited(end)
    assert doctor.hand_over is None


def test_hospital_goes_the_same_way(lab: CloudLab, make_token_uri: Callable[..., TokenUri], tmp_path: Path) -> None:
    bench = HospitalBench(lab, make_token_uri("hand"), tmp_path)
    assert "HAND_OVER_AWAITED" in bench.register(code=1)
    bench.hand_over()
    bench.tool()
    assert "medunion hospital register" in bench.taken_over()
    assert "is registered" in bench.register()
    with bench.opened() as node:
        require_acting(node)
        assert node.identity_ca is not None
    assert bench.logged() == ["SECRET-HANDED-OVER", "SECRET-TAKEN-OVER"]


def test_patient_is_told_that_its_token_needs_none(bench: Bench) -> None:
    settings = bench.directory.settings_file
    settings.write_text(settings.read_text().replace('"D:', '"P:'))
    assert "a hospital's or a doctor's token" in bench.hand_over(code=1)
