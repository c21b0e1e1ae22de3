"""A registered party at home: its token, what it keeps, the trust it follows. Hospitals, doctors and patients alike."""

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from cryptography import x509

from federation.errors import Authentication, NotRegistered
from federation.party.crls import FetchedCrls
from federation.party.epochs import EpochKeeper
from federation.party.grace import LateClock
from federation.party.hand_over import HandOver, HandOverAwaited
from federation.party.lists import AskingLists, AskShards, FollowedLists
from federation.party.trust import Between, TrustKeeper
from federation.protocol.anchors import Anchors, Lists, key_entry, serial_entry
from federation.protocol.bundle import TrustedBundle
from federation.protocol.doctor_certificate import authority_id_of
from federation.protocol.identities import Identified
from federation.protocol.parties import Party
from federation.protocol.registration import Applicant, Registered
from federation.protocol.statements import peek_statement
from federation.protocol.time import Freshness, Instant, Lifetimes
from federation.protocol.verifier import VerifiedParty, Verifier
from federation.store.party import Epochs, Settings
from federation.store.revocations import KeptShards
from federation.v1.directory_pb2 import GetDirectoryResponse
from federation.v1.statement_pb2 import Credential, EncryptionKeyStatement, KeyStatement, Role, SignedStatement
from federation.wire.fetching import Fetcher
from hsm.errors import ImportRefused
from keystore.errors import GenerationUnknown, SealBroken
from keystore.keyring import Sealing, Together
from keystore.party import PartyKeys
from keystore.signatures import SigningKey
from keystore.transcript import text, transcript

_KEY_STATEMENT = "key-statement"
_CERTIFICATE = "certificate"
_FORMER = "former-credentials"
_REQUEST = "registration-under-way"
_HAND_OVER = "registration-secret-to-hand-over"


class Member(Identified):
    """One party's own side, as its servers and clients use it. Safe for several threads."""

    def __init__(
        self,
        identity: str,
        keys: PartyKeys,
        settings: Settings,
        epochs: Epochs,
        bundle: TrustedBundle,
        freshness: Freshness | None = None,
        lifetimes: Lifetimes | None = None,
        shards: KeptShards | None = None,
        grace: timedelta = timedelta(0),
    ) -> None:
        """Put a party together from its token, its store and the trust bundle that it pinned; a hospital keeps all `shards`.

        `grace` is how long it goes on by a revocation list that is over.
        """
        self.identity = identity
        self.keys = keys
        self.trust = TrustKeeper(settings, bundle)
        self.freshness = freshness or Freshness()
        self.epochs = EpochKeeper(identity, keys, epochs, lifetimes, signer=lambda: self.signing_key)
        self._fetched_crls = FetchedCrls(settings)
        self._late = LateClock(settings, grace)
        self._settings = settings
        self._lock = threading.RLock()
        self._party: tuple[tuple[SignedStatement, int, bytes], Party] | None = None
        self.lists: AskingLists | FollowedLists = (
            AskingLists(settings, self.trust) if shards is None else FollowedLists(settings, self.trust, shards)
        )

    @property
    def anchors(self) -> Anchors:
        """Return the roots of all checks, by the newest trust bundle."""
        return self.trust.newest().anchors

    @property
    def sealing(self) -> Sealing:
        """Return the key under which this party keeps what is its own."""
        return self.keys.sealing

    @property
    def signing_key(self) -> SigningKey:
        """Return PRK_X of the live registration, or the active one before there is any.

        After a rotation that is the older one, until the member has registered again.
        """
        kept = self._settings.get(_KEY_STATEMENT)
        return self._signing_key_by(None if kept is None else SignedStatement.FromString(kept))

    def applicant(
        self,
        role: "Role.ValueType",
        evidence: bytes,
        ticket: bytes | None,
        *,
        now: Instant,
        current: SigningKey | None = None,
    ) -> Applicant:
        """Prepare a registration with this party's active keys: B_P, Cert_D or licence as evidence.

        `current` is the PRK_X of the live registration, where a member registers again by itself.
        """
        signing_key = self.keys.signing_key
        statement = self.epochs.current(now, signing_key)
        key_id = peek_statement(EncryptionKeyStatement, statement).key_id
        return Applicant(
            role=role,
            identity=self.identity,
            evidence=evidence,
            ticket=ticket,
            signing_key=signing_key,
            decryption_key=self.epochs.find(key_id),
            encryption_key_statement=statement,
            current=current,
        )

    def install(self, registered: Registered, certificate: bytes = b"") -> None:
        """Import S_X into the token, test it there, and keep the key statement. Raises CredentialMismatch.

        S_X of the credential before stays until that one is over, so that what is under way ends well. Raises
        HandOverAwaited where the token takes no S_X: then the answer is kept, sealed. The caller's S_X is wiped.
        """
        party, secret = registered.party, registered.registration_secret
        try:
            self.keys.import_registration_secret(
                bytearray(secret),  # which it wipes
                party.registration_point,
                party.issuer_public_key,
                party.credential,
                party.serial,
            )
        except ImportRefused as error:
            self._keep_sealed(_HAND_OVER, HandOver(party.key_statement, bytes(secret), certificate).to_bytes())
            raise _awaited() from error
        finally:
            secret[:] = bytes(len(secret))
        self._keep_registration(party, certificate)

    @property
    def hand_over(self) -> HandOver | None:
        """Return the registration whose S_X the maker's tool has to put into the token, if one waits. Raises SealBroken."""
        kept = self._open_kept(_HAND_OVER)
        return HandOver.of(kept) if kept else None

    def require_none_awaited(self, now: Instant) -> None:
        """Require that no S_X waits to be put into the token by hand; drop one whose credential is over.

        Raises HandOverAwaited: another registration would make the one that waits worthless.
        """
        try:
            awaited = self.hand_over
        except (SealBroken, GenerationUnknown):
            return  # another token's, or of a key that ended: nobody can hand it over any more
        if awaited is None:
            return
        try:
            self._own(awaited.key_statement, now)
        except Authentication:
            self.keys.forget_registration_secret(awaited.serial)
            self._settings.put(_HAND_OVER, b"")
        else:
            raise _awaited()

    def take_over(self, now: Instant) -> VerifiedParty | None:
        """Test the S_X that the maker's tool put into the token, and act by it from now on; None if none was awaited.

        Raises CredentialMismatch for another key, hsm.errors.KeyNotFound, KeyPolicyViolation, Authentication if the
        credential is over, StaleRevocationList; then all is as it was. What was cut short goes on when it is called again.
        """
        awaited = self.hand_over
        if awaited is None:
            return None
        own = self._own(awaited.key_statement, now)
        self.keys.registration_secret(
            own.registration_point, own.issuer_public_key, own.credential, own.serial
        ).require_consistent()
        self._keep_registration(own, awaited.certificate)
        self.keep_request(None)  # else its answer could be taken once more, and its import would end this key
        self._settings.put(_HAND_OVER, b"")
        return own

    def _keep_registration(self, party: VerifiedParty, certificate: bytes) -> None:
        self._remember_former(party.serial)
        # The same one is there if this was cut short before.
        if self._keep_statement(party.key_statement) or self.key_statement == party.key_statement:
            self._settings.put(_CERTIFICATE, certificate)

    def restate(self, signed: SignedStatement, *, now: Instant) -> bool:
        """Take the own KS as a rotated PRK_C has signed it anew, and return whether it is another than the kept one.

        Raises CredentialInvalid if it says something else than before, Authentication.
        """
        kept = self.key_statement
        if kept == signed:
            return False
        before = replace(self.verifier(), anchors=self.anchors.for_evidence)
        own = before.party(kept, peek_statement(KeyStatement, kept).role, now=now)
        self.verifier().restated(signed, own, now=now)  # ekack.3, ekack.4
        return self._keep_statement(signed)

    def forget_former(self, now: Instant) -> int:
        """Destroy S_X of the credentials before this one that are over; return how many."""
        former = self._former()
        over = [serial for serial, not_after in former.items() if not_after <= now]
        for serial in over:
            self.keys.forget_registration_secret(bytes.fromhex(serial))
        if over:
            kept = {serial: until for serial, until in former.items() if serial not in over}
            self._settings.put(_FORMER, json.dumps(kept).encode())
        return len(over)

    @property
    def request_under_way(self) -> bytes | None:
        """Return what is kept of a registration whose answer was not taken yet. Raises SealBroken."""
        return self._open_kept(_REQUEST)

    def keep_request(self, request: bytes | None) -> None:
        """Keep what a crash must not lose of a registration that is under way, sealed; None when it is over."""
        self._keep_sealed(_REQUEST, request)

    def reseal_request(self) -> bool:
        """Seal a registration that is under way under the active key, and return whether there was one under another."""
        resealed = [self._reseal(name) for name in self._contexts]
        return any(resealed)

    def request_is_under(self, generation: int) -> bool:
        """Return whether a registration that is under way needs a generation of the sealing key."""
        kept = [self._settings.get(name) for name in self._contexts]
        return any(self.sealing.generation_of(sealed) == generation for sealed in kept if sealed)

    def _keep_sealed(self, name: str, content: bytes | None) -> None:
        self._settings.put(name, b"" if content is None else self.sealing.seal(content, *self._bound(name)))

    def _open_kept(self, name: str) -> bytes | None:
        kept = self._settings.get(name)
        return self.sealing.open(kept, *self._bound(name)) if kept else None

    def _reseal(self, name: str) -> bool:
        kept = self._settings.get(name)
        if not kept or self.sealing.generation_of(kept) == self.sealing.generation:
            return False
        self._settings.put(name, self.sealing.reseal(kept, *self._bound(name)))
        return True

    def _bound(self, name: str) -> tuple[bytes, Together]:
        """Return what a setting is sealed with, in a batch of its own."""
        context = self._contexts[name]
        return context, Together(context)

    @property
    def is_registered(self) -> bool:
        """Return whether there is a key statement, and its S_X in the token."""
        return self._settings.get(_KEY_STATEMENT) is not None and self._holds_secret()

    def is_registered_under(self, generation: int) -> bool:
        """Return whether the live registration is by this generation of PRK_X. Raises GenerationUnknown, GenerationRevoked."""
        return (
            self.is_registered and self.signing_key.verifying_key == self.keys.signing_key_of(generation).verifying_key
        )

    @property
    def key_statement(self) -> SignedStatement:
        """Return KS_X. Raises NotRegistered."""
        kept = self._settings.get(_KEY_STATEMENT)
        if kept is None:
            raise NotRegistered(f"{self.identity} is not registered yet")
        return SignedStatement.FromString(kept)

    @property
    def certificate(self) -> bytes:
        """Return a doctor's Cert_D, DER; empty for others."""
        return self._settings.get(_CERTIFICATE) or b""

    def party(self, now: Instant) -> Party:
        """Return the party to act as. Raises NotRegistered, BundleStale, Authentication if its own credential fell."""
        signed, lists = self.key_statement, self.lists.current()
        statement = self.epochs.current(now, self._signing_key_by(signed))
        self.trust.require_usable(lists.head, now=now)
        self._late.note(lists, now)
        known = statement, lists.sequence, signed.statement
        with self._lock:
            if self._party is None or self._party[0] != known:
                # Every new list is asked about this party too: one that was revoked stops acting.
                self._party = known, self._load(statement, signed, now)
            return self._party[1]

    def _signing_key_by(self, kept: SignedStatement | None) -> SigningKey:
        # Another token's KS names no key of ours: this party has to register anew (ADR 17).
        with suppress(GenerationUnknown):
            if kept is not None:
                return self.keys.signing_key_for(peek_statement(KeyStatement, kept).verifying_key)
        return self.keys.signing_key

    def _load(self, encryption_key_statement: SignedStatement, signed: SignedStatement, now: Instant) -> Party:
        own = replace(self._own(signed, now), authority_id=self._authority_id())
        secret = self.keys.registration_secret(
            own.registration_point, own.issuer_public_key, own.credential, own.serial
        )
        signing_key = self.keys.signing_key_for(own.verifying_key)
        return Party(own, signing_key, secret, self.epochs, encryption_key_statement, self.certificate)

    def _authority_id(self) -> str:
        return authority_id_of(self.certificate, self.anchors.authorities) if self.certificate else ""

    def _own(self, signed: SignedStatement, now: Instant) -> VerifiedParty:
        return self.verifier().party(signed, peek_statement(KeyStatement, signed).role, now=now)

    def verifier(self) -> Verifier:
        """Return the checks with the newest lists."""
        anchors = self.anchors
        lists = self._fetched_crls.beside(anchors, self.lists.current())
        return Verifier(anchors, lists, self.freshness, self._late.grace(lists))

    @property
    def listed_at(self) -> Instant | None:
        """Return the time of the head of the revocation list at hand, None without one."""
        head = self.lists.current().head
        return None if head is None else head.this_update

    def bring_crl(self, crl: x509.CertificateRevocationList, now: Instant) -> tuple[str, int]:
        """Take a medical authority's list that was carried here; return whose, and its number. Raises CertificateRejected."""
        return self._fetched_crls.bring(crl, self.anchors, self.lists.current(), now=now)

    def follow_authorities(self, fetcher: Fetcher, now: Instant) -> None:
        """Fetch the medical authorities' lists where the cloud has been silent; what was fetched counts from now on."""
        self._fetched_crls.follow(fetcher, self.anchors, self.lists.current(), now=now)

    def update(
        self, directory: GetDirectoryResponse, between: Between | None = None, ask: AskShards | None = None
    ) -> Lists:
        """Follow the trust bundle of a directory, then take its lists if those are newer; return the lists that now hold.

        `between` fetches the bundles that this party has missed, `ask` is whom to ask for shards. A party never goes back to
        an older bundle or list. Raises what is wrong with the bundle, SignatureInvalid, MalformedMessage; then nothing was taken.
        """
        return self.lists.update(directory, between, ask)

    @property
    def own_entries(self) -> Sequence[bytes]:
        """Return the entries of the revocation list by which this party, or a key of its own, would be out."""
        kept = self._settings.get(_KEY_STATEMENT)
        if kept is None:
            return []
        statement = peek_statement(KeyStatement, SignedStatement.FromString(kept))
        serial = serial_entry(Credential.FromString(statement.credential).serial)
        return [serial, *map(key_entry, self.epochs.key_ids)]

    @property
    def directory(self) -> GetDirectoryResponse | None:
        """Return the newest directory that was taken."""
        return self.lists.directory

    def _holds_secret(self) -> bool:
        statement = peek_statement(KeyStatement, self.key_statement)
        return self.keys.holds_registration_secret(Credential.FromString(statement.credential).serial)

    def _keep_statement(self, signed: SignedStatement) -> bool:
        """Keep KS unless one that the cloud stated later is there, from another process of this party; return whether it was."""
        stated_at = peek_statement(KeyStatement, signed).stated_at
        kept = self._settings.advance(_KEY_STATEMENT, stated_at, signed.SerializeToString(deterministic=True))
        with self._lock:
            self._party = None
        return kept

    def _remember_former(self, serial: bytes) -> None:
        if self._settings.get(_KEY_STATEMENT) is None:
            return
        before = Credential.FromString(peek_statement(KeyStatement, self.key_statement).credential)
        if before.serial != serial:
            former = self._former() | {before.serial.hex(): before.not_after}
            self._settings.put(_FORMER, json.dumps(former).encode())

    def _former(self) -> dict[str, int]:
        kept: dict[str, int] = json.loads(self._settings.get(_FORMER) or b"{}")
        return kept

    @property
    def _contexts(self) -> dict[str, bytes]:
        """Return, of each thing that is kept sealed of a registration not done yet, what its seal is bound to."""
        labels = {_REQUEST: "registration", _HAND_OVER: "hand-over"}
        return {name: transcript(label, text(self.identity)) for name, label in labels.items()}


def _awaited() -> HandOverAwaited:
    return HandOverAwaited(
        "the token takes no private key by PKCS#11; the registration's answer is kept, sealed. Go on with"
        " `medunion token hand-over --directory DIR --output FILE`, import FILE by the token's maker's tool, destroy"
        " FILE, and then `medunion token taken-over --directory DIR`"
    )
