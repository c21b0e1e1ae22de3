"""Membership: the next encryption key, a hospital's TLS identity, tickets for patients."""

import hashlib

from cryptography.hazmat.primitives.serialization import Encoding

from federation.cloud.rekey import is_restatement_due, restate
from federation.cloud.services import Cloud, as_datetime
from federation.errors import CredentialExpired, FieldInvalid
from federation.party.audit import OK, AuditEvent
from federation.party.epochs import as_signed, as_stored
from federation.protocol.calls import CERTIFY_TLS, RENEW, TICKET
from federation.protocol.sealing import after_opening
from federation.protocol.statements import ROLE_NAMES, sign_statement
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import VerifiedParty, open_encryption_key
from federation.store.rows import Act, Beside, Registration, Ticket
from federation.v1 import membership_pb2 as pb
from federation.v1.statement_pb2 import ROLE_HOSPITAL, ROLE_PATIENT, EncryptionKeyStatement, SignedStatement
from federation.wire.roles import require_same_hospital
from keystore.identities import HospitalId, PatientId
from keystore.x509 import issue_identity_ca


def put_encryption_key(cloud: Cloud, request: pb.PutEncryptionKeyRequest) -> pb.PutEncryptionKeyResponse:
    """Keep a party's newest EK_X and a hospital's address; answer a signed receipt. Raises Rejected."""
    now = cloud.clock()
    call = cloud.authenticated(RENEW, request.opening, now=now)
    with after_opening():
        statement = _own_encryption_key(call.payload, call.sender, now)
        if call.payload.HasField("address") and call.sender.role != ROLE_HOSPITAL:
            raise FieldInvalid("only a hospital has an address")  # ekput.3
    address = call.payload.address if call.payload.HasField("address") else None
    kept = as_stored(call.payload.encryption_key_statement)
    with call.acting("RENEWAL", f"{call.sender.identity} key {statement.key_id.hex()}", now=now) as act:
        renewed = cloud.stores.registrations.renew(call.sender.identity, kept, address, act=act)
    receipt = pb.RenewalReceipt(key_id=statement.key_id, done_at=now)
    return pb.PutEncryptionKeyResponse(
        receipt=sign_statement("ekack", receipt, cloud.keys_by_time.signing_key(now)),
        key_statement=_newest_key_statement(cloud, renewed, now),
    )


def _newest_key_statement(cloud: Cloud, renewed: Registration, now: Instant) -> SignedStatement | None:
    """Return KS_X by the PRK_C of now, signed anew here if the walk has not come to it yet."""
    live: Registration | None = renewed
    if is_restatement_due(cloud, renewed, now=now):
        restate(cloud, renewed, now=now)
        live = cloud.live(renewed.identity, now=now)
    return as_signed(live.key_statement) if live is not None and now <= live.not_after else None


def _own_encryption_key(payload: pb.EncryptionKeyRenewal, owner: VerifiedParty, now: Instant) -> EncryptionKeyStatement:
    """Open the EK_X that a call brings, which names its sender. Raises Authentication, MalformedMessage, CredentialExpired."""
    statement = open_encryption_key(payload.encryption_key_statement, owner.verifying_key)  # ekput.1
    if not statement.not_before <= now < statement.not_after:
        raise CredentialExpired("the encryption key is outside its validity")  # ekput.2
    return statement


def certify_tls_identity(cloud: Cloud, request: pb.CertifyTlsIdentityRequest) -> pb.CertifyTlsIdentityResponse:
    """Certify a hospital's identity CA, constrained to the hospital's own TLS name. Raises Rejected."""
    now = cloud.clock()
    call = cloud.authenticated(CERTIFY_TLS, request.opening, now=now)
    hospital_id = call.sender.identity
    with after_opening():
        tls_ca, tls_ca_key = cloud.keys_by_time.tls_ca(now)
        certificate = issue_identity_ca(  # tlsca.1
            tls_ca,
            tls_ca_key,
            call.payload.certificate_signing_request,
            hospital_id,
            now=as_datetime(now),
        )
    event = AuditEvent("TLS-IDENTITY", OK, detail=f"{hospital_id} certificate {certificate.serial_number:x}")
    cloud.take(call.pending, event, now=now)
    return pb.CertifyTlsIdentityResponse(certificate=certificate.public_bytes(Encoding.DER))


def issue_ticket(cloud: Cloud, request: pb.IssueTicketRequest, calling: str | None) -> pb.IssueTicketResponse:
    """Issue a ticket for a patient to the enrolment desk of the calling hospital. Raises Rejected, BudgetExhausted."""
    now = cloud.clock()
    call = cloud.authenticated(TICKET, request.opening, now=now)
    require_same_hospital(calling, call.sender.identity)  # tkt.1
    patient_id, issued_by = PatientId(call.payload.patient_id), HospitalId(call.sender.identity)
    cost = Beside(cloud.budgets.ticket_claims(issued_by, patient_id, now=now))
    with call.acting("TICKET", f"{patient_id} by {issued_by}", cost, now=now) as act:
        ticket, expires_at = new_ticket(cloud, ROLE_NAMES[ROLE_PATIENT], patient_id, issued_by, act, now=now)
    return pb.IssueTicketResponse(ticket=ticket, expires_at=expires_at)


def new_ticket(
    cloud: Cloud, role: str, identity: str, issued_by: str, act: Act, *, now: Instant
) -> tuple[bytes, Instant]:
    """Make a ticket: single use, expiring; its hash alone is kept (A3). Return it and when it goes."""
    ticket = cloud.keys.token.random(16)
    expires_at = now + milliseconds(cloud.ticket_life)
    kept = Ticket(hashlib.sha256(ticket).digest(), role, identity, expires_at, issued_by)
    cloud.stores.registrations.put_ticket(kept, act=act)
    return ticket, expires_at
