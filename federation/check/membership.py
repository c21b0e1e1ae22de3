"""A node in its federation: trust bundle, certificates and lists, how full those are, its registration, and the clock."""

import ctypes
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from cryptography import x509

from federation.check.findings import Examined, Finding, Verdict
from federation.cloud.directory import crls_and_pins
from federation.cloud.revocation import Capacity
from federation.errors import FederationError, FutureDated, Rejected, StaleMessage, StaleRevocationList
from federation.hospital.tls import TlsIdentity
from federation.party.cloud_client import CloudClient
from federation.party.epochs import as_signed
from federation.party.member import Member
from federation.protocol.anchors import Anchors, Lists
from federation.protocol.authorities import crls_that_count, current_crl
from federation.protocol.bundle import TrustedBundle, pin
from federation.protocol.statements import peek_statement
from federation.protocol.time import milliseconds
from federation.settings import CloudSettings, HospitalSettings
from federation.store.directory import Authorities, TrustChain
from federation.store.inspection import Survey
from federation.store.rows import RevocationKind
from federation.v1.membership_pb2 import RenewalReceipt
from federation.v1.statement_pb2 import Credential, KeyStatement
from federation.wire.channel import dialling_of
from keystore.party import HospitalKeys
from keystore.x509 import is_issued_by

SOON = timedelta(days=14)
"""A certificate, a credential or a lease that ends so soon is noted."""

_UNSYNCHRONISED = 0x0040
"""STA_UNSYNC of ntp_adjtime(3)."""

_TOLD: Mapping[RevocationKind, str] = {
    "serial": "credentials",
    "statement": "statements",
    "key": "encryption keys",
    "sweep": "patients who took everything back",
    "heard": "entries that a restored cloud has from hospitals",
}
_PAGE = "docs/operations.md, Medunion revocation list filling"


def trust(examined: Examined) -> Iterator[Finding]:
    """Read the pinned bundle, and the newest that was followed from it; say its digest, and how long it holds."""
    pinned = examined.directory.trust()
    if isinstance(examined.settings, CloudSettings):
        examined.trust = pinned
        yield from _own_trust(examined, pinned)
        return
    member = examined.need_member()
    examined.trust = newest = member.trust.newest()
    yield Finding("trust", Verdict.OK, f"{_named(newest)}; it began with number {pinned.sequence}")
    ends_at = member.trust.lease(member.verifier().lists.head).ends_at
    yield _until("trust", "it may be used without the public cloud", ends_at, examined, "see that the cloud is reached")


def _own_trust(examined: Examined, written: TrustedBundle) -> Iterator[Finding]:
    kept = TrustChain(examined.need_database()).newest()
    if kept is None:
        yield Finding("trust", Verdict.WRONG, "the database holds no trust bundle", "restore a backup")
        return
    examined.trust = newest = pin(as_signed(kept[1]))
    if newest.digest != written.digest:
        says = f"trust.json is number {written.sequence}, and the newest is {newest.sequence}"
        command = f"medunion public-cloud trust --directory {examined.directory.path} --output trust.json"
        yield Finding("trust", Verdict.NOTE, says, command)
    yield Finding("trust", Verdict.OK, _named(newest))


def _named(bundle: TrustedBundle) -> str:
    return f"number {bundle.sequence} of {bundle.content.realm}, digest {bundle.digest.hex()}"


def certificates(examined: Examined) -> Iterator[Finding]:
    """Look at the end of every certificate that this node lives by, at who issued it, and at the authorities' lists."""
    bundle, now = examined.need_trust(), _moment(examined.clock())
    for der in bundle.content.tls_ca_certificates:
        ca = x509.load_der_x509_certificate(der)
        yield _ends(f"TLS CA {ca.serial_number:x}", ca, now, "rotate it (docs/rotation-public-cloud.md)")
    if examined.kind.role == "hospital":
        yield from _tls_identity(examined, bundle, now)
    if examined.kind.role == "doctor" and examined.need_member().certificate:
        own = x509.load_der_x509_certificate(examined.need_member().certificate)
        yield _ends("the doctor's certificate", own, now, "have the medical authority issue the next one")
    yield from _authorities(bundle.anchors, _lists(examined, bundle.anchors), now)


def _tls_identity(examined: Examined, bundle: TrustedBundle, now: datetime) -> Iterator[Finding]:
    ca = tls_identity(examined).certificate
    if ca is None:
        do = f"medunion hospital register --directory {examined.directory.path}"
        yield Finding("certificates", Verdict.WRONG, "the TLS identity of this key is not certified", do)
        return
    roots = map(x509.load_der_x509_certificate, bundle.content.tls_ca_certificates)
    if not any(is_issued_by(ca, root) for root in roots):
        says = "the TLS identity is not issued by a TLS CA of the trust bundle"
        yield Finding("certificates", Verdict.WRONG, says, "serve: a hospital that serves has it certified anew")
    yield _ends("the TLS identity", ca, now, "serve: a hospital that serves has it certified anew")


def tls_identity(examined: Examined) -> TlsIdentity:
    """Return a hospital's TLS identity as it is; nothing is certified. Raises NotSeen."""
    keys = examined.need_keys()
    assert isinstance(keys, HospitalKeys)  # noqa: S101 - the kind says so

    def nobody() -> tuple[Member, CloudClient]:
        return examined.need_member(), _cloud_of(examined)

    return TlsIdentity(keys, examined.book, examined.kept, nobody, examined.clock)


def _cloud_of(examined: Examined) -> CloudClient:
    """Return the public cloud's client, which dials as the node itself does."""
    dialling = dialling_of(examined.settings.dialling)
    return CloudClient(examined.need_member().trust.newest, clock=examined.clock, dialling=dialling)


def _lists(examined: Examined, anchors: Anchors) -> Lists:
    """Return the lists at hand: a member's as it took them, the cloud's as it would hand them out."""
    if not isinstance(examined.settings, CloudSettings):
        return examined.need_member().verifier().lists
    crls, pins = crls_and_pins(Authorities(examined.need_database()).all())
    return Lists(crls=crls_that_count(anchors.authorities, crls, pins))


def _authorities(anchors: Anchors, lists: Lists, now: datetime) -> Iterator[Finding]:
    for authority in anchors.authorities:
        name = authority.authority_id
        yield _ends(f"the medical authority {name}", authority.certificate, now, "have the authority rotate its key")
        try:
            end = current_crl(authority, lists.crls, now).next_update_utc
        except StaleRevocationList:
            says, do = f"there is no current list of {name}: its doctors are refused", "medunion public-cloud crl"
            where = f"; it is fetched from {authority.crl_url}" if authority.crl_url else ""
            yield Finding(
                "certificates", Verdict.WRONG, says, f"{do}, with the list of `medunion authority crl`{where}"
            )
        else:
            yield Finding("certificates", Verdict.OK, f"the list of {name} is current until {end:%Y-%m-%d %H:%M}")
    if not anchors.authorities:
        yield Finding("certificates", Verdict.NOTE, "no medical authority is recognised: no doctor can register")


def _ends(name: str, certificate: x509.Certificate, now: datetime, do: str) -> Finding:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        return Finding(
            "certificates", Verdict.WRONG, f"{name} begins only at {begin:%Y-%m-%d %H:%M}", "is the clock right?"
        )
    if now >= end:
        return Finding("certificates", Verdict.WRONG, f"{name} has ended at {end:%Y-%m-%d %H:%M}", do)
    soon = end - now < SOON
    return Finding(
        "certificates", Verdict.NOTE if soon else Verdict.OK, f"{name} is good until {end:%Y-%m-%d}", do if soon else ""
    )


def revocations(examined: Examined) -> Iterator[Finding]:
    """Count what is revoked: the public cloud in its book, a hospital by the head in hand. A full list lets nobody be revoked."""
    if isinstance(examined.settings, CloudSettings):
        counted = Survey(examined.need_database()).revocations(now=examined.clock())
        first = min((it.first_leaves_at for it in counted.values()), default=None)
        capacity = Capacity(sum(it.entries for it in counted.values()), examined.settings.most_revocations)
        yield _capacity_finding(capacity, {kind: it.entries for kind, it in counted.items()}, first)
    if isinstance(examined.settings, HospitalSettings):
        head = examined.need_member().verifier().lists.head
        if head is not None:
            yield Finding("revocations", Verdict.OK, f"the revocation list has {head.entries} entries")


def restrictions(examined: Examined) -> Iterator[Finding]:
    """Count what patients hide and hospitals have yet to take from the public cloud: each asks every few seconds."""
    if not isinstance(examined.settings, CloudSettings):
        return
    due = Survey(examined.need_database()).restrictions_due()
    for hospital_id, number in due.items():
        do = f"look again in a minute; if it stays, have {hospital_id} run medunion check: it shows what patients hide"
        yield Finding("restrictions", Verdict.NOTE, f"{hospital_id} has yet to take {number} of what patients hide", do)
    if not due:
        yield Finding("restrictions", Verdict.OK, "every hospital has what its patients hide")


def _capacity_finding(capacity: Capacity, kinds: Mapping[RevocationKind, int], first: int | None) -> Finding:
    told = ", ".join(f"{number} {_TOLD[kind]}" for kind, number in kinds.items())
    of_what = f"{capacity.entries} of {capacity.most} entries{f' ({told})' if told else ''}"
    if not capacity.is_high:
        return Finding("revocations", Verdict.OK, f"the revocation list has room: {of_what}")
    means = "it is full, and no more can be revoked" if capacity.is_full else "when it is full no more can be revoked"
    leaves = "" if first is None else f"; the first leaves at {_moment(first):%Y-%m-%d %H:%M}"
    verdict = Verdict.WRONG if capacity.is_full else Verdict.NOTE
    return Finding("revocations", verdict, f"{of_what} on the revocation list: {means}{leaves}", f"see {_PAGE}")


def registration(examined: Examined) -> Iterator[Finding]:
    """Look at this party's own registration, as others would: by the newest list that is to be had."""
    if isinstance(examined.settings, CloudSettings):
        return
    member, now = examined.need_member(), examined.clock()
    if not member.is_registered:
        do = f"medunion {examined.kind.role} register --directory {examined.directory.path}"
        yield Finding("registration", Verdict.WRONG, f"{examined.identity} is not registered", do)
        return
    with suppress(FederationError), _cloud_of(examined) as cloud:
        cloud.refresh(member)
    statement = peek_statement(KeyStatement, member.key_statement)
    credential = Credential.FromString(statement.credential)
    member.verifier().party(member.key_statement, statement.role, now=now)
    yield _until(
        "registration", "the credential is good", credential.not_after, examined, "it renews itself while in use"
    )


def _until(what: str, says: str, instant: int, examined: Examined, do: str) -> Finding:
    end, now = _moment(instant), _moment(examined.clock())
    if now >= end:
        return Finding(what, Verdict.WRONG, f"{says} no longer, since {end:%Y-%m-%d %H:%M}", do)
    soon = end - now < timedelta(days=1)
    return Finding(what, Verdict.NOTE if soon else Verdict.OK, f"{says} until {end:%Y-%m-%d %H:%M}", do if soon else "")


def clock(examined: Examined) -> Iterator[Finding]:
    """Compare the clock with the public cloud's signed times, and ask the system whether somebody keeps it right."""
    if not is_synchronised():
        says = "the system does not say that its clock is synchronised"
        yield Finding("clock", Verdict.NOTE, says, "run chrony or systemd-timesyncd here, or on the machine below")
    if isinstance(examined.settings, CloudSettings):
        yield Finding(
            "clock", Verdict.OK, f"it shows {_moment(examined.clock()):%Y-%m-%d %H:%M:%S} UTC, which others go by"
        )
        return
    member = examined.need_member()
    with _cloud_of(examined) as cloud:
        yield from _by_list(examined, cloud)
        if member.is_registered and not member.epochs.is_due(examined.clock()):
            yield _by_receipt(examined, cloud)


def _by_list(examined: Examined, cloud: CloudClient) -> Iterable[Finding]:
    lists = cloud.refresh(examined.need_member())
    listed, now = lists.head, examined.clock()
    skew = milliseconds(examined.freshness.skew)
    if listed is not None and now + skew < listed.this_update:
        return [_off(f"behind the public cloud's by {_seconds(listed.this_update - now)} or more")]
    if listed is not None and now >= listed.next_update:
        return [_off(f"ahead of the public cloud's by {_seconds(now - listed.next_update)} or more")]
    return []


def _by_receipt(examined: Examined, cloud: CloudClient) -> Finding:
    """Put the present encryption key once more: the receipt says, signed, when it came."""
    member, before = examined.need_member(), examined.clock()
    try:
        receipt: RenewalReceipt = cloud.renew(member)
    except FutureDated:
        return _off("ahead of the public cloud's by more than it takes")
    except StaleMessage:
        return _off("behind the public cloud's by more than it takes")
    except Rejected:
        return _off("too far from the public cloud's, or the registration fell: it refuses a dated message")
    after = examined.clock()
    skew = milliseconds(examined.freshness.skew)
    off = max(before - receipt.done_at, receipt.done_at - after, 0)
    side = "ahead of" if receipt.done_at < before else "behind"
    if off > skew:
        return _off(f"{side} the public cloud's by {_seconds(off)}, more than protocol.skew_seconds")
    return Finding("clock", Verdict.OK, f"within {_seconds(max(off, after - before))} of the public cloud's")


def _off(says: str) -> Finding:
    return Finding(
        "clock", Verdict.WRONG, f"this clock is {says}", "set it right, and keep it so: chrony or systemd-timesyncd"
    )


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"


def is_synchronised() -> bool:
    """Return whether the kernel holds its clock for synchronised (ntp_adjtime(3), which changes nothing when nothing is asked).

    Where it can't be asked, it does not say so.
    """
    try:
        ask = ctypes.CDLL(None, use_errno=True).ntp_adjtime
    except (OSError, AttributeError):
        return False
    # struct timex: `modes` (0 asks) comes first, `status` after four longs; it is smaller than this.
    asked = (ctypes.c_long * 64)()
    if ask(ctypes.byref(asked)) < 0:
        return False
    return not asked[5] & _UNSYNCHRONISED


def _moment(instant: int) -> datetime:
    return datetime.fromtimestamp(instant / 1000, UTC)
