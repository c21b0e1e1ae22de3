"""A client's directory: who it is, which token holds its keys, what it pins, what it keeps.

medunion.toml   settings: identity, token URI; of a patient its enrolment and its simulated sensor
trust.json      the federation's TrustBundle
store.sqlite    settings, epochs, replay memory, evidence (federation.store)
tokens/         a software token, where there is no better one
device.secret   of a patient: 32 random bytes behind B_P and the token's PIN
helper.bin      of a patient: the fuzzy extractor's helper data
pending/        of a patient: consultations that wait for a diagnosis, sealed under the token's key
accesses.json   of a patient: up to where each log of who accessed its records was read
emergencies/    of a doctor: the emergencies that it declared, with its notes, sealed under the token's key
drafts/         of a doctor: conclusions that it began to write at its desk, sealed under the token's key
spool/          records on their way in, encrypted under a key that is only in memory
"""

from dataclasses import dataclass, field
from pathlib import Path

from federation.settings import DiallingSettings, ProtocolSettings, TokenSettings, between


@dataclass(frozen=True)
class DeviceSettings:
    """`[device]`: how a patient's readings are made. `simulated_sensor` names the file that stands for the person.

    `enrolment` counts: a later one has another B_P.
    """

    simulated_sensor: Path
    enrolment: int = between(1, 1_000_000, 1)


@dataclass(frozen=True)
class DoctorSettings:
    """A doctor's `medunion.toml`."""

    identity: str
    token: TokenSettings
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    dialling: DiallingSettings = field(default_factory=DiallingSettings)


@dataclass(frozen=True)
class PatientSettings:
    """A patient's `medunion.toml`."""

    identity: str
    token: TokenSettings
    device: DeviceSettings
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    dialling: DiallingSettings = field(default_factory=DiallingSettings)


@dataclass(frozen=True)
class Profile:
    """Where a client keeps what is its own."""

    directory: Path

    @property
    def device_secret(self) -> Path:
        """Return the file of the device secret."""
        return self.directory / "device.secret"

    @property
    def helper_data(self) -> Path:
        """Return the file of the helper data."""
        return self.directory / "helper.bin"

    @property
    def pending(self) -> Path:
        """Return the directory of consultations that wait."""
        return self.directory / "pending"

    @property
    def last_look(self) -> Path:
        """Return the file that says up to where each log of accesses was read."""
        return self.directory / "accesses.json"

    @property
    def spool(self) -> Path:
        """Return the directory of records on their way in."""
        return self.directory / "spool"

    @property
    def deposits(self) -> Path:
        """Return the directory of deposits without a receipt."""
        return self.directory / "deposits"

    @property
    def emergencies(self) -> Path:
        """Return the directory of what a doctor noted of emergencies."""
        return self.directory / "emergencies"

    @property
    def drafts(self) -> Path:
        """Return the directory of conclusions that a doctor began to write."""
        return self.directory / "drafts"
