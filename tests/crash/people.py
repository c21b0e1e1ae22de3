"""The doctors and patients of a practice, as their own programs open them, with everything that they send noted in the journal.

All their tokens lie in one SoftHSM, for one process opens them: in life each has a device.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message

from federation.clock import system_clock, system_entropy
from federation.party.audit import Audit
from federation.party.channels import ChannelPool
from federation.party.member import Member
from federation.party.node_directory import NodeDirectory, read_trust
from federation.person.doctor import DoctorClient
from federation.person.node import init_doctor
from federation.person.patient import PatientClient
from federation.person.profile import Profile
from federation.person.trace import Trace, TracedCloud
from federation.settings import TokenSettings
from federation.store.database import open_database
from federation.store.log import Log
from federation.store.party import Epochs, Evidence, ReplayMemory, Settings
from hsm import Pin, TokenUri, open_token, pin_from_value
from hsm.softhsm import SoftHsm, find_module
from keystore.biometric import BiometricPassword
from keystore.party import PartyKeys
from tests.crash.journal import Journal

PIN = "practice-4711"
_ANSWERS = {"C": "D2", "reg2": "reg1", "ekack": "ekput", "revocation list": "rev", "H1": "D3"}
"""What answers a message that is taken once."""


class Tap(Trace):
    """Notes each message that was answered, to be sent once more by somebody else."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(None, system_clock)
        self._journal = journal
        self._asked: dict[str, bytes] = {}

    def note(self, name: str, sender: str, receiver: str, message: Message) -> None:
        sent = message.SerializeToString(deterministic=True)
        if name in _ANSWERS.values():
            self._asked[f"{name} {sender}"] = sent
        elif name in _ANSWERS:
            asked = self._asked[f"{_ANSWERS[name]} {receiver}"]
            self._journal.note("answered", name=_ANSWERS[name], at=system_clock(), request=asked, answer=sent)
        elif name == "room":
            self._journal.note("answered", name=name, at=system_clock(), request=sent, answer=b"")


@dataclass(frozen=True)
class Place:
    """Where a practice keeps what is its own."""

    path: Path

    @property
    def trust(self) -> Path:
        return self.path / "trust.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    def softhsm(self) -> SoftHsm:
        return SoftHsm(self.path)

    def doctor(self, label: str) -> NodeDirectory:
        return NodeDirectory(self.path / label)

    def patient(self, label: str) -> Path:
        return self.path / label

    def ticket(self, label: str) -> Path:
        """The ticket that the desk handed over."""
        return self.path / f"{label}.ticket"


def main(path: str, doctors: str, patients: str) -> None:
    """Make the tokens and keys of everybody, unregistered. Labels are separated by commas."""
    place, pin = Place(Path(path)), pin_from_value(PIN)
    softhsm = place.softhsm()
    for label in doctors.split(","):
        uri = softhsm.create_token(label, pin=Pin(PIN), so_pin=Pin(PIN))
        settings = TokenSettings(str(uri), softhsm.configuration)
        init_doctor(place.doctor(label), place.trust, f"D:{label}", settings, pin, None)
    for label in patients.split(","):
        uri = softhsm.create_token(label, pin=Pin(PIN), so_pin=Pin(PIN))
        place.patient(label).mkdir()
        with open_token(uri, pin) as token:
            PartyKeys.create(token)


class Person:
    """One of them, open until the stack closes. Several threads may use several."""

    def __init__(self, place: Place, label: str, role: str, journal: Journal, stack: ExitStack) -> None:
        softhsm = place.softhsm()
        softhsm.activate()
        self.label = label
        self.directory = place.path / label
        token = stack.enter_context(open_token(TokenUri(find_module(), token=label), pin_from_value(PIN)))
        database = stack.enter_context(open_database(f"sqlite:///{self.directory / 'store.sqlite'}"))
        settings = Settings(database)
        self.tap = Tap(journal)
        keys = PartyKeys(token)
        self.member = Member(f"{role}:{label}", keys, settings, Epochs(database), read_trust(place.trust))
        trust = self.member.trust.newest
        self.cloud = stack.enter_context(TracedCloud(trust, self.member.identity, self.tap))
        self._channels = ChannelPool(trust)
        stack.callback(self._channels.close)
        self._database = database

    def as_doctor(self) -> DoctorClient:
        return DoctorClient(
            self.member,
            self.cloud,
            self._channels.get,
            ReplayMemory(self._database),
            Evidence(self._database),
            Audit(Log(self._database), self.member.keys.sealing, where=self.member.identity),
            Profile(self.directory),
            self.tap,
            clock=system_clock,
            entropy=system_entropy,
        )

    def as_patient(self) -> PatientClient:
        return PatientClient(
            self.member,
            self.cloud,
            self._channels.get,
            Evidence(self._database),
            Profile(self.directory),
            BiometricPassword(biometric(self.label)),
            self.tap,
            clock=system_clock,
            entropy=system_entropy,
        )


def biometric(label: str) -> bytes:
    """A patient's B_P: what a reading of the body would give."""
    return label.encode().ljust(32, b".")
