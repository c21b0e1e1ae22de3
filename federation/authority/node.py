"""A medical authority: its CA key in a token, and its ledger, what it has issued and revoked, in its directory."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

import safefiles
from federation.clock import Clock, system_clock
from federation.errors import NotFound
from federation.party.certificates import authority_id_of, read_certificate
from federation.party.node_directory import NodeDirectory, open_node_token
from federation.protocol.identities import require_identity
from federation.settings import ConfigError, MemberSettings, TokenSettings
from hsm import PinProvider, Token
from keystore.errors import CertificateRejected, GenerationUnknown
from keystore.generations import label_of, purpose_and_number
from keystore.policies import MEDICAL_AUTHORITY, POLICIES
from keystore.transcript import digest
from keystore.x509 import RevokedCertificate, create_authority, issue_crl, issue_doctor_certificate

_CERTIFICATE = "authority.der"


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


class LedgerFile:
    """Where a ledger is kept."""

    def __init__(self, directory: Path) -> None:
        """Work with the ledger of an authority's directory."""
        self._path = directory / "issued.json"

    @contextmanager
    def held(self) -> Iterator[Ledger]:
        """Read the ledger, and keep other processes from it until the block ends."""
        with safefiles.lock(self._path.with_suffix(".lock")):
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            yield Ledger(kept["crl_number"], tuple(IssuedCertificate(**entry) for entry in kept["certificates"]))

    def write(self, ledger: Ledger) -> None:
        """Put it in place, whole."""
        safefiles.replace(self._path, json.dumps(asdict(ledger), indent=1).encode())


def found_authority(
    directory: NodeDirectory,
    authority_id: str,
    token_settings: TokenSettings,
    pin: PinProvider | None,
    certificate: x509.Certificate | None = None,
    *,
    successor: bool = False,
) -> x509.Certificate:
    """Make an authority: its key in the token and its certificate. Raises ConfigError, FieldInvalid, HsmError.

    With the certificate that a ceremony made, the token's key is used. Raises CertificateRejected if it is another's. A
    `successor` is the next generation of the key beside the older ones: it has a directory and lists of its own, since each
    key signs the list of what it certified (ADR 18).
    """
    if directory.is_initialised:
        raise ConfigError(f"{directory.settings_file} is there already: this directory has a node")
    require_identity("authority", authority_id)
    directory.create()
    with open_node_token(token_settings, pin) as token:
        if certificate is None:
            made = _create(token, authority_id, successor=successor)
        else:
            made = _taken(token, authority_id, certificate)
    safefiles.replace(directory.path / _CERTIFICATE, made.public_bytes(Encoding.DER))
    LedgerFile(directory.path).write(Ledger())
    directory.write_settings(MemberSettings(authority_id, token_settings))
    return made


def _create(token: Token, authority_id: str, *, successor: bool) -> x509.Certificate:
    numbers = _numbers(token)
    if successor and not numbers:
        raise ConfigError("there is no key of a medical authority in this token that could have a successor")
    label = label_of(MEDICAL_AUTHORITY, max(numbers) + 1 if successor else 1)
    key = token.generate_signing(label, POLICIES[MEDICAL_AUTHORITY])
    return create_authority(key, authority_id, now=datetime.now(UTC))


def _taken(token: Token, authority_id: str, certificate: x509.Certificate) -> x509.Certificate:
    _key_of(token, certificate)
    if authority_id_of(certificate) != authority_id:
        raise CertificateRejected(f"the certificate names {authority_id_of(certificate)}, not {authority_id}")
    return certificate


def _key_of(token: Token, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    """Open the authority's key that a certificate is for, of whatever generation. Raises CertificateRejected, HsmError."""
    for number in sorted(_numbers(token)):
        key = token.signing(label_of(MEDICAL_AUTHORITY, number), POLICIES[MEDICAL_AUTHORITY])
        if key.public_key() == certificate.public_key():
            return key
    raise CertificateRejected("the certificate is not that of a key in the token")


def _numbers(token: Token) -> set[int]:
    numbers = set()
    for thing in token.objects():
        with suppress(GenerationUnknown):  # the label names no generation: it is none of the authority's
            purpose, number = purpose_and_number(thing.label)
            if purpose == MEDICAL_AUTHORITY and thing.object_class == "PRIVATE_KEY":
                numbers.add(number)
    return numbers


def certificate_of(directory: NodeDirectory) -> x509.Certificate:
    """Return the certificate of the authority in a directory. Raises CertificateRejected, OSError."""
    return read_certificate(directory.path / _CERTIFICATE)


class MedicalAuthority:
    """An opened authority."""

    def __init__(self, directory: NodeDirectory, key: ec.EllipticCurvePrivateKey, clock: Clock = system_clock) -> None:
        """Work with the files of its directory."""
        self.certificate = certificate_of(directory)
        self._file = LedgerFile(directory.path)
        self._key = key
        self._clock = clock

    def issue(self, request: bytes, doctor_id: str, *, person: str = "", profession: str = "") -> x509.Certificate:
        """Issue Cert_D for a request, DER, of this doctor, and note it first; name and profession are what patients are shown.

        Raises CertificateRejected, FieldInvalid.
        """
        require_identity("doctor", doctor_id)
        certificate = issue_doctor_certificate(
            self.certificate, self._key, request, doctor_id, now=self._now(), person=person, profession=profession
        )
        not_after = int(certificate.not_valid_after_utc.timestamp() * 1000)
        issued = IssuedCertificate(f"{certificate.serial_number:x}", doctor_id, not_after)
        with self._file.held() as ledger:
            self._file.write(replace(ledger, certificates=(*ledger.certificates, issued)))
        return certificate

    def revoke(self, doctor_id: str) -> list[str]:
        """Revoke all certificates of a doctor; return their serials. The next CRL names them. Raises NotFound for none."""
        now = self._clock()
        with self._file.held() as ledger:
            chosen = {c.serial for c in ledger.certificates if c.doctor_id == doctor_id and c.revoked_at is None}
            if not chosen:
                raise NotFound(f"{doctor_id} has no certificate of this authority that could be revoked")
            certificates = tuple(replace(c, revoked_at=now) if c.serial in chosen else c for c in ledger.certificates)
            self._file.write(replace(ledger, certificates=certificates))
        return sorted(chosen)

    @property
    def crl_name(self) -> str:
        """Return under which name lists are published: one for each key, for each signs the list of what it certified."""
        name = authority_id_of(self.certificate).partition(":")[2]
        return f"{name}-{digest(self.certificate.public_bytes(Encoding.DER)).hex()[:8]}.crl"

    def crl(self) -> x509.CertificateRevocationList:
        """Issue the next CRL. Its number is taken before the list is made, so no two lists share one."""
        now = self._clock()
        with self._file.held() as ledger:
            number = ledger.crl_number + 1
            self._file.write(replace(ledger, crl_number=number))
        revoked = [
            RevokedCertificate(int(c.serial, 16), datetime.fromtimestamp(c.revoked_at / 1000, UTC))
            for c in ledger.certificates
            if c.revoked_at is not None and now <= c.not_after
        ]
        return issue_crl(self.certificate, self._key, revoked, number, now=self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1000, UTC)


@contextmanager
def open_authority(
    directory: NodeDirectory, pin: PinProvider | None, clock: Clock = system_clock
) -> Iterator[MedicalAuthority]:
    """Open an authority's token for a block. Raises ConfigError, HsmError, CertificateRejected."""
    settings = directory.settings(MemberSettings)
    with open_node_token(settings.token, pin) as token:
        yield MedicalAuthority(directory, _key_of(token, certificate_of(directory)), clock)
