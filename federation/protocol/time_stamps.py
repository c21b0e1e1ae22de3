"""Time stamps of RFC 3161: an authority's signed word that some bytes were there at a moment (docs/protocol.md, ts).

The library knows the encoding and the signature. Here is what has to be so beside that, each by its name; whom to believe says
whoever judges. A certificate counts at the time of the stamp, so a stamp outlives it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    TimeStampTokenInfo,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from federation.errors import (
    MalformedMessage,
    MessageTooLarge,
    TimeStampExpired,
    TimeStampInvalid,
    TimeStampMismatch,
    TimeStampRefused,
    TimeStampReplayed,
    TimeStampUntrusted,
    TimeStampUsage,
)
from federation.protocol.time import Instant, milliseconds
from keystore.errors import CertificateRejected
from keystore.transcript import digest
from keystore.x509 import read_certificate

MOST_STAMP_BYTES = 16_384
"""Of an answer with its certificates: public authorities' have 3 to 7 kB."""

_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TimeStamp:
    """What a time stamp says: the bytes were there at this moment (ms) at the latest, by whose word."""

    latest: Instant
    authority: str


def request_stamp(stamped: bytes) -> TimeStampRequest:
    """Make a question of RFC 3161, section 2.4.1, with a nonce: for SHA-256 of these bytes, and with the certificates."""
    return TimestampRequestBuilder().data(stamped).hash_algorithm(HashAlgorithm.SHA256).build()


def verify_stamp(
    data: bytes, stamped: bytes, trusted: Sequence[x509.Certificate], *, nonce: int | None = None
) -> TimeStamp:
    """Check an authority's answer over these bytes, by these certificates; `nonce` is that of the question just asked.

    Raises MalformedMessage, TimeStampRefused, TimeStampInvalid.
    """
    answer = _read(data)
    if nonce is not None and answer.said.nonce != nonce:
        raise TimeStampReplayed("the stamp has another nonce than the question")  # ts.4
    imprint = answer.said.message_imprint
    if imprint.hash_algorithm != _SHA256 or imprint.message != digest(stamped):
        raise TimeStampMismatch("the stamp is over something else")  # ts.5
    if not _is_for_stamps(answer.signer):
        raise TimeStampUsage("the certificate is not for time stamps alone")  # ts.6
    if not answer.signer.not_valid_before_utc <= answer.said.gen_time <= answer.signer.not_valid_after_utc:
        raise TimeStampExpired("the certificate did not hold when the stamp was made")  # ts.7
    if not _is_by_one_of(trusted, answer, stamped):
        raise TimeStampUntrusted("no authority that is trusted here has made the stamp")  # ts.8
    return answer.stamp


def peek_stamp(data: bytes) -> TimeStamp:
    """Return what an answer says, by nobody's word yet. Raises MalformedMessage, TimeStampRefused, TimeStampInvalid."""
    return _read(data).stamp


@dataclass(frozen=True)
class _Answer:
    """An answer that was taken apart: what it says, and the certificate that its one signer names."""

    response: TimeStampResponse
    said: TimeStampTokenInfo
    signer: x509.Certificate
    stamp: TimeStamp


def _read(data: bytes) -> _Answer:
    if len(data) > MOST_STAMP_BYTES:
        raise MessageTooLarge(f"a time stamp has at most {MOST_STAMP_BYTES} bytes")
    try:
        response = decode_timestamp_response(data)
        is_granted = response.status == PKIStatus.GRANTED
        if is_granted and response.as_bytes() != data:
            raise MalformedMessage("a time stamp is written in one form, and this is another")  # ts.1
    except ValueError as error:
        raise MalformedMessage("this is no answer of a time stamp authority") from error  # ts.1
    if not is_granted:
        raise TimeStampRefused(f"the authority answers with the status {response.status}")  # ts.2
    try:
        said, signer = response.tst_info, _signer(response)
        latest = milliseconds(said.gen_time - _EPOCH + _accuracy(said))
    except (CertificateRejected, ValueError, OverflowError, KeyError) as error:
        raise TimeStampInvalid(
            "the stamp can't be read, or does not name one signer that is beside it"
        ) from error  # ts.3
    return _Answer(response, said, signer, TimeStamp(latest, signer.subject.rfc4514_string()))


def _signer(response: TimeStampResponse) -> x509.Certificate:
    (signer,) = response.signed_data.signer_infos
    beside = [read_certificate(it) for it in response.signed_data.certificates]
    (found,) = [it for it in beside if (it.issuer, it.serial_number) == (signer.issuer, signer.serial_number)]
    return found


def _accuracy(said: TimeStampTokenInfo) -> timedelta:
    """Return how far off the time may be: a stamp that does not say is taken at its word."""
    within = said.accuracy
    if within is None:
        return timedelta(0)
    return timedelta(seconds=within.seconds or 0, milliseconds=within.millis or 0, microseconds=within.micros or 0)


def _is_for_stamps(signer: x509.Certificate) -> bool:
    """Return whether a certificate is for time stamps, for nothing else, and says so in what nobody may pass over."""
    try:
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    return usage.critical and list(usage.value) == [ExtendedKeyUsageOID.TIME_STAMPING]


def _is_by_one_of(trusted: Sequence[x509.Certificate], answer: _Answer, stamped: bytes) -> bool:
    """Return whether the signature holds, by a certificate that leads to one of these; the library looks at it all once more."""
    if not trusted:
        return False
    try:
        return VerifierBuilder(roots=list(trusted)).build().verify(answer.response, digest(stamped))
    except (VerificationError, ValueError):
        return False
