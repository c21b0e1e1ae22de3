"""A medical authority: its CA key in a token, and what it has issued in a file of its own directory."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from federation.app.certificates import read_certificate
from federation.app.node import NodeDirectory, open_node_token, write_private
from federation.clock import Clock, system_clock
from federation.config import ConfigError, MemberSettings, TokenSettings
from federation.errors import NotFound
from federation.protocol.identities import require_identity
from hsm import PinProvider
from keystore.policies import MEDICAL_AUTHORITY, POLICIES
from keystore.x509 import RevokedCertificate, create_authority, issue_crl, issue_doctor_certificate

_CERTIFICATE = "authority.der"
_LEDGER = "issued.json"


@dataclass(frozen=True)
class IssuedCertificate:
    """One certificate. Times are milliseconds since the Unix epoch; `serial` is hexadecimal."""

    serial: str
    doctor_id: str
    not_after: int
    revoked_at: int | None = None


@dataclass(frozen=True)
class Ledger:
    """What an authority has issued, and the number of its newest CRL."""

    crl_number: int = 0
    certificates: tuple[IssuedCertificate, ...] = field(default=())


def found_authority(
    directory: NodeDirectory, authority_id: str, token_settings: TokenSettings, pin: PinProvider | None
) -> x509.Certificate:
    """Make an authority: its key in the token and its certificate. Raises ConfigError, FieldInvalid, HsmError."""
    if directory.is_initialised:
        raise ConfigError(f"{directory.settings_file} is there already: this directory has a node")
    require_identity("authority", authority_id)
    directory.create()
    with open_node_token(token_settings, pin) as token:
        certificate = create_authority(
            token.generate_ed25519(MEDICAL_AUTHORITY, POLICIES[MEDICAL_AUTHORITY]), authority_id, now=datetime.now(UTC)
        )
    write_private(directory.path / _CERTIFICATE, certificate.public_bytes(Encoding.DER))
    write_private(directory.path / _LEDGER, _as_json(Ledger()))
    directory.write_settings(MemberSettings(authority_id, token_settings))
    return certificate


class MedicalAuthority:
    """An opened authority."""

    def __init__(self, directory: NodeDirectory, key: Ed25519PrivateKey, clock: Clock = system_clock) -> None:
        """Work with the files of its directory."""
        self.certificate = read_certificate(directory.path / _CERTIFICATE)
        self._directory = directory
        self._key = key
        self._clock = clock

    def issue(self, request: bytes, doctor_id: str) -> x509.Certificate:
        """Issue Cert_D for a request, DER, of this doctor, and note it first. Raises CertificateRejected, FieldInvalid."""
        require_identity("doctor", doctor_id)
        certificate = issue_doctor_certificate(self.certificate, self._key, request, doctor_id, now=self._now())
        not_after = int(certificate.not_valid_after_utc.timestamp() * 1000)
        issued = IssuedCertificate(f"{certificate.serial_number:x}", doctor_id, not_after)
        with self._ledger() as ledger:
            self._write(replace(ledger, certificates=(*ledger.certificates, issued)))
        return certificate

    def revoke(self, doctor_id: str) -> list[str]:
        """Revoke all certificates of a doctor; give their serials. The next CRL names them. Raises NotFound for none."""
        now = self._clock()
        with self._ledger() as ledger:
            chosen = {c.serial for c in ledger.certificates if c.doctor_id == doctor_id and c.revoked_at is None}
            if not chosen:
                raise NotFound(f"{doctor_id} has no certificate of this authority that could be revoked")
            certificates = tuple(replace(c, revoked_at=now) if c.serial in chosen else c for c in ledger.certificates)
            self._write(replace(ledger, certificates=certificates))
        return sorted(chosen)

    def crl(self) -> x509.CertificateRevocationList:
        """Issue the next CRL. Its number is taken before the list is made, so no two lists share one."""
        now = self._clock()
        with self._ledger() as ledger:
            number = ledger.crl_number + 1
            self._write(replace(ledger, crl_number=number))
        revoked = [
            RevokedCertificate(int(c.serial, 16), datetime.fromtimestamp(c.revoked_at / 1000, UTC))
            for c in ledger.certificates
            if c.revoked_at is not None and now <= c.not_after
        ]
        return issue_crl(self.certificate, self._key, revoked, number, now=self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1000, UTC)

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        """Read the ledger, and keep other processes from it until the block ends."""
        path = self._directory.path / _LEDGER
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            kept = json.loads(path.read_text(encoding="utf-8"))
            yield Ledger(kept["crl_number"], tuple(IssuedCertificate(**entry) for entry in kept["certificates"]))
        finally:
            os.close(descriptor)

    def _write(self, ledger: Ledger) -> None:
        write_private(self._directory.path / _LEDGER, _as_json(ledger))


@contextmanager
def open_authority(
    directory: NodeDirectory, pin: PinProvider | None, clock: Clock = system_clock
) -> Iterator[MedicalAuthority]:
    """Open an authority's token for a block. Raises ConfigError, HsmError, CertificateRejected."""
    settings = directory.settings(MemberSettings)
    with open_node_token(settings.token, pin) as token:
        yield MedicalAuthority(directory, token.ed25519(MEDICAL_AUTHORITY, POLICIES[MEDICAL_AUTHORITY]), clock)


def _as_json(ledger: Ledger) -> bytes:
    return json.dumps(asdict(ledger), indent=1).encode()
