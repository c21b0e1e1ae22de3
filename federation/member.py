"""A registered party at home: its token, what it keeps, the anchors it pins. Hospitals, doctors and patients alike."""

import threading

from federation.epochs import EpochKeeper, Lifetimes
from federation.errors import NotRegistered
from federation.protocol.anchors import Anchors, Lists
from federation.protocol.parties import Party
from federation.protocol.registration import Applicant, Registered
from federation.protocol.statements import peek_statement
from federation.protocol.time import Freshness, Instant
from federation.protocol.verifier import Verifier
from federation.store.interfaces import Epochs, Settings
from federation.v1.directory_pb2 import GetDirectoryResponse
from federation.v1.membership_pb2 import EncryptionKeyRenewal
from federation.v1.statement_pb2 import Credential, EncryptionKeyStatement, KeyStatement, Role, SignedStatement
from keystore.party import PartyKeys

_KEY_STATEMENT = "key-statement"
_CERTIFICATE = "certificate"
_DIRECTORY = "directory"


class Member:
    """One party's own side, as its servers and clients use it. Safe for several threads."""

    def __init__(
        self,
        identity: str,
        keys: PartyKeys,
        settings: Settings,
        epochs: Epochs,
        anchors: Anchors,
        freshness: Freshness | None = None,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        """Put a party together from its token, its store and the trust bundle."""
        self.identity = identity
        self.keys = keys
        self.anchors = anchors
        self.freshness = freshness or Freshness()
        self.epochs = EpochKeeper(identity, keys, epochs, lifetimes)
        self._settings = settings
        self._lock = threading.RLock()
        self._party: tuple[tuple[SignedStatement, int], Party] | None = None
        self._lists: tuple[bytes, Lists] | None = None

    def applicant(self, role: "Role.ValueType", evidence: bytes, ticket: bytes | None, *, now: Instant) -> Applicant:
        """Prepare a registration with this party's keys: B_P, Cert_D or licence as evidence."""
        statement = self.epochs.current(now)
        key_id = peek_statement(EncryptionKeyStatement, statement).key_id
        return Applicant(
            role=role,
            identity=self.identity,
            evidence=evidence,
            ticket=ticket,
            signing_key=self.keys.signing_key,
            decryption_key=self.epochs.find(key_id),
            encryption_key_statement=statement,
        )

    def install(self, registered: Registered, certificate: bytes = b"") -> None:
        """Import S_X into the token, test it there, and keep the key statement. Raises CredentialMismatch, InvalidScalar."""
        party = registered.party
        self.keys.import_registration_secret(
            registered.registration_secret,
            party.registration_point,
            party.issuer_public_key,
            party.credential,
            party.serial,
        )
        self._settings.put(_CERTIFICATE, certificate)
        self._settings.put(_KEY_STATEMENT, party.key_statement.SerializeToString(deterministic=True))
        with self._lock:
            self._party = None

    @property
    def is_registered(self) -> bool:
        """Say whether there is a key statement, and its S_X in the token."""
        return self._settings.get(_KEY_STATEMENT) is not None and self._holds_secret()

    @property
    def key_statement(self) -> SignedStatement:
        """Give KS_X. Raises NotRegistered."""
        kept = self._settings.get(_KEY_STATEMENT)
        if kept is None:
            raise NotRegistered(f"{self.identity} is not registered yet")
        return SignedStatement.FromString(kept)

    @property
    def certificate(self) -> bytes:
        """Give a doctor's Cert_D, DER; empty for others."""
        return self._settings.get(_CERTIFICATE) or b""

    def party(self, now: Instant) -> Party:
        """Give the party to act as. Raises NotRegistered, and Authentication if this party's own credential fell."""
        statement, lists = self.epochs.current(now), self._current_lists()
        with self._lock:
            if self._party is None or self._party[0] != (statement, lists.sequence):
                # Every new list is asked about this party too: one that was revoked stops acting.
                self._party = (statement, lists.sequence), self._load(statement, now)
            return self._party[1]

    def _load(self, encryption_key_statement: SignedStatement, now: Instant) -> Party:
        signed = self.key_statement
        role = peek_statement(KeyStatement, signed).role
        own = self.verifier().party(signed, role, now=now)
        secret = self.keys.registration_secret(
            own.registration_point, own.issuer_public_key, own.credential, own.serial
        )
        return Party(own, self.keys.signing_key, secret, self.epochs, encryption_key_statement, self.certificate)

    def verifier(self) -> Verifier:
        """Give the checks with the newest lists."""
        return Verifier(self.anchors, self._current_lists(), self.freshness)

    def update(self, directory: GetDirectoryResponse) -> Lists:
        """Take the directory if its list is verified and newer than the kept one; give the lists that now hold.

        A party never goes back to an older list. Raises SignatureInvalid, MalformedMessage.
        """
        crls = tuple(directory.certificate_revocation_lists)
        lists = Lists.read(self.anchors, directory.revocation_list, crls)
        kept = directory.SerializeToString(deterministic=True)
        self._settings.advance(_DIRECTORY, lists.sequence, kept)
        return self._current_lists()

    @property
    def directory(self) -> GetDirectoryResponse | None:
        """Give the newest directory that was taken."""
        kept = self._settings.get(_DIRECTORY)
        return None if kept is None else GetDirectoryResponse.FromString(kept)

    def renewal(self, address: str | None, *, now: Instant) -> EncryptionKeyRenewal | None:
        """Begin the next epoch if it is due, and give what to put to the cloud."""
        if not self.epochs.is_due(now):
            return None
        return EncryptionKeyRenewal(encryption_key_statement=self.epochs.rotate(now), address=address)

    def _holds_secret(self) -> bool:
        statement = peek_statement(KeyStatement, self.key_statement)
        return self.keys.holds_registration_secret(Credential.FromString(statement.credential).serial)

    def _current_lists(self) -> Lists:
        kept = self._settings.get(_DIRECTORY)
        if kept is None:
            return Lists()
        with self._lock:
            if self._lists is None or self._lists[0] != kept:
                directory = GetDirectoryResponse.FromString(kept)
                crls = tuple(directory.certificate_revocation_lists)
                self._lists = kept, Lists.read(self.anchors, directory.revocation_list, crls)
            return self._lists[1]
