"""Attacks on rotation (ADR 18): with retired and revoked keys, on the chain of trust bundles, between two keys of one name."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from federation.errors import (
    BundleOutOfSequence,
    BundleSignerUnknown,
    BundleStale,
    BundleUnpinned,
    CertificateRevoked,
    CloudKeyRevoked,
    FederationError,
    IssuerRevoked,
    SignatureInvalid,
    StaleRevocationList,
)
from federation.party.member import Member
from federation.protocol.anchors import Lists
from federation.protocol.bundle import TrustedBundle, issue, pin
from federation.protocol.doctor_certificate import verify_certificate
from federation.v1.directory_pb2 import KeyPeriod, TrustBundle
from federation.v1.statement_pb2 import (
    ROLE_PATIENT,
    Credential,
    EncryptionKeyStatement,
    KeyStatement,
    RevocationHead,
    SignedStatement,
)
from keystore.errors import CredentialMismatch
from keystore.issuing import IssuingKey, check_issued
from keystore.party import IDENTITY, ISSUING, PartyKeys
from keystore.signatures import SigningKey
from keystore.transcript import digest
from tests.conftest import USER_PIN
from tests.keys import new_signing_key
from tests.mallory import refused, restated
from tests.simulator import Authority, Federation, lent, simulated
from tests.sqlite_stores import new_epochs, new_settings

GRACE = timedelta(days=7)


@pytest.fixture(scope="module")
def shared_rotated(make_token_uri):
    """Give a federation whose s and PRK_C have been rotated: the doctor is under the new ones, the others under the old."""
    with simulated(make_token_uri, USER_PIN) as federation:
        federation.cloud.rotate(ISSUING, IDENTITY)
        federation.refresh()
        federation.renew(federation.doctor)
        yield federation


@pytest.fixture
def rotated(shared_rotated: Federation):
    with lent(shared_rotated) as federation:
        yield federation


def forged(federation: Federation, issuing: IssuingKey, begin: int) -> tuple[KeyStatement, bytes]:
    """Make what a thief of an s can: a credential of P:wang for a key of its own; give KS's content and (R, S)."""
    puk = new_signing_key().verifying_key.data
    genuine = KeyStatement.FromString(federation.patient.key_statement.statement)
    credential = Credential.FromString(genuine.credential)
    credential.serial, credential.not_before = federation.entropy(16), begin
    credential.verifying_key_digest = digest(puk)
    genuine.credential = credential.SerializeToString(deterministic=True)
    issued = issuing.issue(genuine.credential)
    genuine.registration_point, genuine.verifying_key = issued.registration_point, puk
    genuine.not_before, genuine.stated_at = begin, begin
    return genuine, issued.registration_point + bytes(issued.registration_secret)


def stated(statement: KeyStatement, key: SigningKey) -> SignedStatement:
    return restated("ks", SignedStatement(statement=statement.SerializeToString()), KeyStatement, key, lambda _: None)


def test_a_retired_s_makes_no_credential_of_today(rotated: Federation) -> None:
    """A thief of the retired s dates a credential now: everybody takes the PK of now, under which eq. 4 doesn't hold."""
    keys, now = rotated.cloud.keys, rotated.clock.now
    statement, signature = forged(rotated, keys.issuing_of(1), now)
    issuer = rotated.cloud.anchors.issuer_at(now)
    assert issuer == keys.issuing.public_key
    with pytest.raises(CredentialMismatch):
        check_issued(issuer, statement.credential, signature)


def test_a_backdated_credential_of_a_retired_s_has_nobody_to_state_it(rotated: Federation) -> None:
    """The thief dates it into the time of the retired s, where eq. 4 holds. A credential counts by its key statement alone,
    and that takes the PRK_C of the time that it states.
    """
    keys, begin = rotated.cloud.keys, rotated.clock.now - 90_000
    statement, signature = forged(rotated, keys.issuing_of(1), begin)
    check_issued(rotated.cloud.anchors.issuer_at(begin), statement.credential, signature)
    for stated_at, key in ((begin, new_signing_key()), (rotated.clock.now, keys.signing_key_of(1))):
        statement.stated_at = stated_at
        with refused(SignatureInvalid):
            rotated.doctor.verifier().party(stated(statement, key), ROLE_PATIENT, now=rotated.clock.now)


@pytest.mark.parametrize(("purpose", "cause"), [(ISSUING, IssuerRevoked), (IDENTITY, CloudKeyRevoked)])
def test_a_backdated_credential_of_both_retired_keys_falls_when_either_is_revoked(
    rotated: Federation, purpose: str, cause: type[FederationError]
) -> None:
    """A thief of the retired s and of the retired PRK_C dates both statements back. Nothing tells them from genuine ones, a
    taint neither: this is what revocation is for (threat model).
    """
    keys, now = rotated.cloud.keys, rotated.clock.now
    statement, _ = forged(rotated, keys.issuing_of(1), now - 90_000)
    signed = stated(statement, keys.signing_key_of(1))
    assert rotated.cloud.verifier().party(signed, ROLE_PATIENT, now=now).identity == "P:wang"
    rotated.cloud.revoke_generation(purpose)
    with refused(cause):
        rotated.cloud.verifier().party(signed, ROLE_PATIENT, now=now)


def test_what_a_revoked_cloud_key_states_is_refused_whoever_signed_it_when(rotated: Federation) -> None:
    """A thief of the revoked PRK_C: its key statements, its lists and its EK_C count for nothing any more, genuine or not."""
    cloud, now = rotated.cloud, rotated.clock.now
    old, genuine = cloud.keys.signing_key_of(1), rotated.patient.key_statement

    def by_the_old_key(content: EncryptionKeyStatement) -> None:
        content.verifying_key_digest = digest(old.verifying_key.data)
        content.not_before = now - 90_000

    def before(content: RevocationHead) -> None:
        content.this_update = now - 90_000

    epoch = restated("ek", cloud.epochs.current(now), EncryptionKeyStatement, old, by_the_old_key)
    listed = restated("rl", cloud.revocation_head(), RevocationHead, old, before)
    cloud.verifier().cloud_encryption_key(epoch, now=now)
    cloud.revoke_generation(IDENTITY)
    verifier = cloud.verifier()
    with refused(CloudKeyRevoked):
        verifier.party(genuine, ROLE_PATIENT, now=now)
    with refused(CloudKeyRevoked):
        verifier.cloud_encryption_key(epoch, now=now)
    with refused(CloudKeyRevoked):
        Lists.read(cloud.anchors, listed, ())
    assert cloud.anchors.for_evidence.open("ks", KeyStatement, genuine).identity == "P:wang"


def follower(federation: Federation, bundle: TrustedBundle) -> Member:
    """Give a member that pinned this bundle and has heard of nothing since."""
    return Member("P:wang", federation.patient.keys, new_settings(), new_epochs(), bundle)


def offer(federation: Federation, member: Member, signed: SignedStatement, *between: SignedStatement) -> TrustedBundle:
    """Serve a directory with that bundle, and others as those between, and give what the member then trusts."""
    directory = federation.cloud.directory()
    directory.trust_bundle.CopyFrom(signed)

    def fetch(after: int) -> Sequence[SignedStatement]:
        del after
        return between

    member.update(directory, fetch)
    return member.trust.newest()


def next_bundle(federation: Federation, key: SigningKey, sequence: int | None = None) -> SignedStatement:
    """Sign a bundle after the newest that brings a PUK_C of Mallory's."""

    def change(content: TrustBundle) -> None:
        content.sequence = sequence or content.sequence + 1
        content.cloud_keys.append(KeyPeriod(verifying_key=new_signing_key().verifying_key.data))

    return restated("tb", federation.cloud.bundle.signed, TrustBundle, key, change)


@pytest.mark.parametrize("signer", ["a stranger", "a member", "the retired key"])
def test_a_bundle_by_a_key_that_may_not_sign_it_is_refused(rotated: Federation, signer: str) -> None:
    """Mallory, between a member and the cloud, or a thief of the retired PRK_C, brings a key of her own into the chain."""
    keys = {
        "a stranger": new_signing_key(),
        "a member": rotated.doctor.signing_key,
        "the retired key": rotated.cloud.keys.signing_key_of(1),
    }
    member = follower(rotated, rotated.cloud.bundle)
    with refused(BundleSignerUnknown):
        offer(rotated, member, next_bundle(rotated, keys[signer]))
    assert member.trust.newest() == rotated.cloud.bundle


def test_a_member_that_was_away_skips_no_bundle(rotated: Federation) -> None:
    """Mallory, who serves the bundles between, leaves one out: the one that retires a key, say."""
    first, second, third = rotated.cloud.bundles
    with refused(BundleOutOfSequence):
        offer(rotated, follower(rotated, first), third.signed)
    with refused(BundleSignerUnknown):
        offer(rotated, follower(rotated, first), third.signed, third.signed)
    far = next_bundle(rotated, rotated.cloud.keys.signing_key, sequence=9)
    with refused(BundleOutOfSequence):
        offer(rotated, follower(rotated, third), far, far)
    assert offer(rotated, follower(rotated, first), third.signed, second.signed) == third


def test_a_bundle_is_not_rolled_back(rotated: Federation) -> None:
    """Mallory serves the bundle of before the rotation to one who has followed it: nothing is taken back."""
    member = follower(rotated, rotated.cloud.bundle)
    for bundle in rotated.cloud.bundles:
        assert offer(rotated, member, bundle.signed) == rotated.cloud.bundle


def test_two_bundles_of_one_number_are_noticed_by_who_has_one_of_them(rotated: Federation) -> None:
    """An operator, or a thief of the active PRK_C, shows some members another bundle than others: who has one refuses the
    other, and everything of the directory that came with it.
    """
    key = rotated.cloud.keys.signing_key
    member = follower(rotated, rotated.cloud.bundle)
    fork = next_bundle(rotated, key, sequence=rotated.cloud.bundle.sequence)
    with refused(BundleOutOfSequence):
        offer(rotated, member, fork)
    assert member.directory is None


def test_a_retired_key_leads_astray_only_who_has_not_followed_its_retirement(rotated: Federation) -> None:
    """A thief of the retired PRK_C forks the chain where that key still was active. Who has gone past takes none of it; who
    hasn't can't tell (threat model).
    """
    first, *_, newest = rotated.cloud.bundles
    old = rotated.cloud.keys.signing_key_of(1)
    fork = restated("tb", first.signed, TrustBundle, old, lambda content: setattr(content, "sequence", 2))
    behind, ahead = follower(rotated, first), follower(rotated, newest)
    assert behind.trust.take(fork).signed == fork
    assert offer(rotated, ahead, fork) == newest
    with refused(BundleSignerUnknown):
        offer(rotated, behind, newest.signed)


def test_a_bundle_made_from_nothing_is_pinned_only_without_its_digest(rotated: Federation) -> None:
    """Mallory hands over a bundle of her own federation under this one's name: it holds in itself. The digest says it isn't."""
    key = new_signing_key()
    content = rotated.cloud.bundle_content()
    del content.cloud_keys[:]
    content.cloud_keys.append(KeyPeriod(verifying_key=key.verifying_key.data, not_before=0))
    mallorys_own = issue(content, key)
    with refused(BundleUnpinned):
        pin(mallorys_own.signed, rotated.cloud.bundles[0].digest)


def test_an_old_bundle_is_not_kept_alive_by_fresh_lists(own_federation: Federation) -> None:
    """Mallory withholds the bundle that taints s, and hands on every fresh list: each names the newest bundle, so none of
    them makes the old one last. When its grace is over the member stops, while one that has the newest goes on.
    """
    federation = own_federation
    old = federation.cloud.bundle
    kept_behind, member = follower(federation, old), follower(federation, old)
    federation.clock.advance(timedelta(minutes=1))
    federation.cloud.publish_bundle()
    for _ in range(GRACE // timedelta(days=1)):
        federation.clock.advance(timedelta(days=1))
        offer(federation, member, federation.cloud.bundle.signed)
        assert offer(federation, kept_behind, old.signed) == old
        lists = kept_behind.verifier().lists.head
        assert kept_behind.trust.lease(lists).is_behind(lists)
    now = federation.clock.now
    member.trust.require_usable(member.verifier().lists.head, now=now)
    with refused(BundleStale):
        kept_behind.trust.require_usable(lists, now=now)


def test_a_certificate_falls_by_the_crl_of_the_key_that_signed_it_and_by_no_other(federation: Federation) -> None:
    """A doctor whose certificate the authority's second key signed is revoked in that key's CRL. It shows the other key's,
    of the same issuer name, that doesn't know the certificate; or hopes for a CRL that is gone.
    """
    first = federation.authority
    second = Authority(federation.make_token("authority"), federation.clock, first.authority_id)
    doctor = federation.new_member("D:fox", PartyKeys.create(federation.make_token("doctor")))
    certificate = second.certify(doctor.keys, "D:fox")
    federation.cloud.more_authorities.append(second)
    federation.cloud.publish_bundle()
    anchors = federation.cloud.anchors
    puk = doctor.keys.signing_key.verifying_key.data

    def verify(*crls: bytes) -> None:
        lists = Lists.read(anchors, federation.cloud.revocation_head(), crls)
        now = federation.clock.now
        verify_certificate(
            certificate, authorities=anchors.authorities, lists=lists, doctor_id="D:fox", verifying_key=puk, now=now
        )

    verify(first.crl(), second.crl())
    clean, held = first.crl(), second.crl()
    with refused(StaleRevocationList):
        verify(clean)
    first.revoke(certificate)
    verify(first.crl(), held)
    second.revoke(certificate)
    for crls in ((clean, second.crl()), (second.crl(), clean)):
        with refused(CertificateRevoked):
            verify(*crls)
    with refused(StaleRevocationList):
        verify(clean)
