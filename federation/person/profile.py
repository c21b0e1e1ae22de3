"""A client's directory: who it is, which token holds its keys, what it pins, what it keeps.

medunion.toml   settings: identity, token URI; of a patient its enrolment and its simulated sensor
trust.json      the federation's TrustBundle
store.sqlite    settings, epochs, replay memory, evidence (federation.store)
tokens/         a software token, where there is no better one
device.secret   of a patient: 32 random bytes behind B_P and the token's PIN
helper.bin      of a patient: the fuzzy extractor's helper data
pending/        of a patient: consultations that wait for a diagnosis, sealed under the token's key
logs/           of a patient: the head of each log of accesses as it was checked, and what was told, sealed under the token's key
places/         of a patient: where it has records, as the cloud signed it, sealed under the token's key
hidden/         of a patient: what it hides, as it was shown last, sealed under the token's key
waiting/        of a patient: what it took back, hid or showed while the cloud did not answer, sealed under the token's key
emergencies/    of a doctor: the emergencies that it declared, with its notes, sealed under the token's key
drafts/         of a doctor: conclusions that it began to write at its desk, sealed under the token's key
spool/          records on their way in, each encrypted under a key that is only in memory
broken/         the keys of those in the spool whose session broke, sealed under the token's key
"""

from dataclasses import dataclass, field
from pathlib import Path

from federation.settings import DiallingSettings, ProtocolSettings, RevocationSettings, TokenSettings, between


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
    revocation: RevocationSettings = field(default_factory=RevocationSettings)


@dataclass(frozen=True)
class PatientSettings:
    """A patient's `medunion.toml`."""

    identity: str
    token: TokenSettings
    device: DeviceSettings
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    dialling: DiallingSettings = field(default_factory=DiallingSettings)
    revocation: RevocationSettings = field(default_factory=RevocationSettings)


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
    def known_logs(self) -> Path:
        """Return the directory of what is remembered of logs of accesses."""
        return self.directory / "logs"

    @property
    def places(self) -> Path:
        """Return the directory of where a patient has records."""
        return self.directory / "places"

    @property
    def hidden(self) -> Path:
        """Return the directory of what a patient hides."""
        return self.directory / "hidden"

    @property
    def waiting(self) -> Path:
        """Return the directory of what waits for the public cloud."""
        return self.directory / "waiting"

    @property
    def spool(self) -> Path:
        """Return the directory of records on their way in."""
        return self.directory / "spool"

    @property
    def broken(self) -> Path:
        """Return the directory of the keys of records that broke."""
        return self.directory / "broken"

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
