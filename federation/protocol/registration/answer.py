"""The cloud's side, once reg1 held: the credential, the key statement, reg2."""

from dataclasses import dataclass
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.protocol.anchors import Anchors
from federation.protocol.parsing import check, parse
from federation.protocol.registration.transcripts import answer_transcript, attribute_of
from federation.protocol.sealing import Context, seal_reply
from federation.protocol.statements import sign_statement
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import VerifiedParty
from federation.v1.envelope_pb2 import SealedReply
from federation.v1.registration_pb2 import RegistrationAnswer, RegistrationRequest
from federation.v1.statement_pb2 import Credential, EncryptionKeyStatement, KeyStatement, SignedStatement
from keystore.issuing import Issued
from keystore.transcript import digest

CREDENTIAL_LIFE = timedelta(days=365)


@dataclass(frozen=True, repr=False)
class AcceptedRequest:
    """reg1 held. Reserve a serial, sign the credential with s, then answer.

    `renewed` is the party whose live registration this one replaces, or None for an identity that had none.
    """

    request: RegistrationRequest
    encryption_key: EncryptionKeyStatement
    request_digest: bytes
    session_id: bytes
    anchors: Anchors
    renewed: VerifiedParty | None

    def credential(self, serial: bytes, *, now: Instant, life: timedelta = CREDENTIAL_LIFE) -> bytes:
        """Build M_X around a fresh serial. Its bytes are what s signs."""
        request = self.request
        credential = Credential(
            role=request.role,
            serial=serial,
            identity=request.identity,
            attribute=attribute_of(request.role, request.evidence),
            verifying_key_digest=digest(request.verifying_key),
            not_before=now,
            not_after=now + milliseconds(life),
        )
        check(credential)
        return credential.SerializeToString(deterministic=True)

    def answer(
        self,
        credential: bytes,
        issued: Issued,
        cloud_signing_key: Ed25519PrivateKey,
        revocation_list: SignedStatement,
        *,
        now: Instant,
    ) -> tuple[SignedStatement, SealedReply]:
        """State X's keys (KS_X) and seal reg2. The caller wipes S_X afterwards."""
        key_statement = self._key_statement(credential, issued, cloud_signing_key, now)
        answer = RegistrationAnswer(
            credential=credential,
            registration_point=issued.registration_point,
            registration_secret=bytes(issued.registration_secret),
            key_statement=key_statement,
            revocation_list=revocation_list,
            sent_at=now,
        )
        answer.signature = cloud_signing_key.sign(answer_transcript(self.request_digest, answer, issued.public_point))
        key = self.encryption_key
        context = Context("reg2", self.anchors.cloud_id, self.request.identity, key.key_id, self.session_id, now)
        return key_statement, seal_reply(answer, key.encryption_key, context)

    def _key_statement(
        self, credential: bytes, issued: Issued, cloud_signing_key: Ed25519PrivateKey, now: Instant
    ) -> SignedStatement:
        validity = parse(Credential, credential)
        statement = KeyStatement(
            role=self.request.role,
            identity=self.request.identity,
            credential=credential,
            registration_point=issued.registration_point,
            verifying_key=self.request.verifying_key,
            not_before=validity.not_before,
            not_after=validity.not_after,
            stated_at=now,
        )
        return sign_statement("ks", statement, cloud_signing_key)


def restate(key_statement: KeyStatement, cloud_signing_key: Ed25519PrivateKey, *, now: Instant) -> SignedStatement:
    """Sign KS_X anew by the PRK_C that is active now: the same in everything but the time of its signing."""
    statement = KeyStatement()
    statement.CopyFrom(key_statement)
    statement.stated_at = now
    return sign_statement("ks", statement, cloud_signing_key)
