"""Entering a ceremony in a medical authority's ledger: what it certified and revoked; the next list goes on from there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.authority.node import IssuedCertificate, Ledger, LedgerFile, certificate_of
from federation.party.node_directory import NodeDirectory
from federation.protocol.identities import require_identity
from keystore.ceremony.errors import ImportRefused
from keystore.ceremony.verify import Verified, verify
from keystore.errors import CertificateRejected
from keystore.x509 import URN, crl_number, is_issued_by, read_certificate, read_crl

UNKNOWN = "unknown"
"""Stands for the doctor of a certificate that was revoked at a ceremony and is in no ledger."""


@dataclass(frozen=True)
class Imported:
    """What was entered: serials as hexadecimal. `lacking` are revoked here, and the ceremony's list doesn't name them."""

    title: str
    issued: tuple[str, ...]
    revoked: tuple[str, ...]
    lacking: tuple[str, ...]
    crl_number: int


def import_ceremony(
    directory: NodeDirectory, transcript: bytes, pinned: Mapping[str, str], *, take_stale_list: bool = False
) -> Imported:
    """Enter a ceremony's certificate and list in the ledger. Raises TranscriptInvalid, ImportRefused, CertificateRejected.

    `take_stale_list`: enter what a list revokes though it is not newer than the authority's; the next list names it then.
    """
    if not pinned:
        raise ImportRefused("whose transcript? at least one participant's public key has to be known beforehand")
    verified = verify(transcript, pinned)
    if verified.rehearsal:
        raise ImportRefused("this is the transcript of a rehearsal")
    authority = certificate_of(directory)
    outputs = _outputs(verified)
    _require_same_authority(verified, outputs, authority)
    file = LedgerFile(directory.path)
    with file.held() as ledger:
        after, issued = _with_certificate(ledger, outputs.get("doctor_certificate"), authority)
        crl = outputs.get("crl") or outputs.get("first_crl")
        if not issued and crl is None:
            raise ImportRefused("the ceremony made neither a certificate nor a list of this authority")
        after, revoked, lacking = _with_crl(after, crl, authority, take_stale_list=take_stale_list)
        file.write(after)
    return Imported(verified.title, issued, revoked, lacking, after.crl_number)


def _outputs(verified: Verified) -> dict[str, bytes]:
    made = (entry.data for entry in verified.entries if entry.event == "output")
    return {str(output["name"]): bytes.fromhex(str(output["content"])) for output in made}


def _require_same_authority(verified: Verified, outputs: Mapping[str, bytes], authority: x509.Certificate) -> None:
    named = [str(entry.data.get("certificate")) for entry in verified.entries if entry.event == "issuer"]
    if "authority_certificate" in outputs:
        named.append(outputs["authority_certificate"].hex())
    ours = authority.public_bytes(Encoding.DER).hex()
    if not named or any(certificate != ours for certificate in named):
        raise ImportRefused("the ceremony was not held with this authority's certificate")


def _with_certificate(ledger: Ledger, der: bytes | None, authority: x509.Certificate) -> tuple[Ledger, tuple[str, ...]]:
    if der is None:
        return ledger, ()
    try:
        certificate = read_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (CertificateRejected, x509.ExtensionNotFound) as error:
        raise CertificateRejected("the ceremony's certificate cannot be read") from error
    if not is_issued_by(certificate, authority):
        raise CertificateRejected("the ceremony's certificate was not issued by this authority")
    serial = f"{certificate.serial_number:x}"
    if any(entry.serial == serial for entry in ledger.certificates):
        raise ImportRefused(f"serial {serial} is in the ledger already: this ceremony was imported before")
    (name,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    doctor_id = require_identity("doctor", name.removeprefix(URN))
    issued = IssuedCertificate(serial, doctor_id, _milliseconds(certificate.not_valid_after_utc))
    return replace(ledger, certificates=(*ledger.certificates, issued)), (serial,)


def _with_crl(
    ledger: Ledger, der: bytes | None, authority: x509.Certificate, *, take_stale_list: bool
) -> tuple[Ledger, tuple[str, ...], tuple[str, ...]]:
    if der is None:
        return ledger, (), ()
    crl = read_crl(der)
    number = crl_number(crl, authority)
    if number <= ledger.crl_number and not take_stale_list:
        raise ImportRefused(
            f"the ceremony's list has number {number}, and this authority's newest has {ledger.crl_number}: it was made from"
            " an older one. Don't publish it; --take-stale-list enters what it revokes, and the next list names it"
        )
    at = {f"{entry.serial_number:x}": _milliseconds(entry.revocation_date_utc) for entry in crl}
    known = {entry.serial: entry for entry in ledger.certificates}
    end = _milliseconds(authority.not_valid_after_utc)
    fresh = {serial: known.get(serial, IssuedCertificate(serial, UNKNOWN, end)) for serial in at}
    revoked = {s: replace(entry, revoked_at=at[s]) for s, entry in fresh.items() if entry.revoked_at is None}
    lacking = sorted(entry.serial for entry in ledger.certificates if entry.revoked_at and entry.serial not in at)
    after = Ledger(max(number, ledger.crl_number), tuple((known | revoked).values()))
    return after, tuple(sorted(revoked)), tuple(lacking)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
