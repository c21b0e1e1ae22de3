"""The single calls of registered parties to the public cloud."""

from typing import Any

from google.protobuf.message import Message

from federation.protocol import calls
from federation.protocol.access import Hidden
from federation.protocol.parties import Party, Pending
from federation.protocol.restriction import (
    Restriction,
    Stating,
    ask_due,
    ask_restricting,
    hospitals_key,
    make_restriction,
    require_restricting,
    restricting_role,
)
from federation.protocol.revocation import require_revocable, sender_role
from federation.protocol.sealing import UNNAMED, Context, after_opening
from federation.protocol.statements import digest_or_empty, sign_statement
from federation.v1 import membership_pb2, publication_pb2, revocation_pb2, statement_pb2
from federation.v1.restrictions_pb2 import HeldRestriction
from federation.v1.statement_pb2 import Grant, SignedStatement
from tests.vectors.draws import Stream
from tests.vectors.signed import Facts
from tests.vectors.software import signing_key
from tests.vectors.world import Carry, Step, World

HANDLE = b"handle of record"
DEPARTMENT_CLASS = "cardiology"


def call_all(world: World, carry: Carry, grant: SignedStatement, duty: SignedStatement) -> None:
    """pub, ekput, tlsca, tkt, rev, rst, rstget."""
    hospital, patient = world.hospital, world.patient
    nonces = {name: world.entropy(name)(16) for name in ("pub", "tlsca", "tkt", "rev")}
    publication = publication_pb2.Publication(
        action=publication_pb2.PUBLICATION_ACTION_ADD,
        patient_id=patient.identity,
        department_id=f"{hospital.identity}/{DEPARTMENT_CLASS}",
        hospital_id=hospital.identity,
        doctor_id=world.doctor.identity,
        handle=HANDLE,
        sensitivity=statement_pb2.SENSITIVITY_NORMAL,
        consent_digest=digest_or_empty("grant", grant),
        nonce=nonces["pub"],
    )
    renewal = membership_pb2.EncryptionKeyRenewal(
        encryption_key_statement=hospital.encryption_key_statement, address="localhost:4443"
    )
    tls = membership_pb2.TlsIdentityRequest(
        hospital_id=hospital.identity, certificate_signing_request=world.tls_request, nonce=nonces["tlsca"]
    )
    ticket = membership_pb2.TicketRequest(hospital_id=hospital.identity, patient_id="P:new", nonce=nonces["tkt"])
    revoked = revocation_pb2.RevokedStatement(kind=revocation_pb2.STATEMENT_KIND_GRANT, statement=grant)
    revocation = revocation_pb2.Revocation(
        owner_id=patient.identity,
        statements=[revoked],
        key_statement=patient.self_.key_statement,
        nonce=nonces["rev"],
    )
    _call(world, carry, calls.PUBLISH, publication, hospital)
    _call(world, carry, calls.RENEW, renewal, hospital)
    _call(world, carry, calls.CERTIFY_TLS, tls, hospital)
    _call(world, carry, calls.TICKET, ticket, hospital)
    _call(world, carry, calls.REVOKE, revocation, patient)
    _call(world, carry, calls.REVOKE, _older_revocation(world, grant), patient, "-older")
    _call(world, carry, calls.REVOKE, _sweep(world), patient, "-all")
    _call(world, carry, calls.REVOKE, _ended(world, duty), hospital, "-duty")
    stating = Stating(restriction(world), follows=0)
    for suffix, stated in (("", stating), ("-ask", None)):
        nonce = world.entropy(f"rst{suffix}")(16)
        asked = ask_restricting(patient, patient.patient_id, stated, None, nonce)
        _call(world, carry, calls.RESTRICT, asked, patient, suffix)
    held = [HeldRestriction(reference=bytes(32), number=7)]
    fetch = ask_due(hospital, held, entropy=world.entropy("rstget"))
    _call(world, carry, calls.FETCH_RESTRICTIONS, fetch, hospital)


def restriction(world: World) -> SignedStatement:
    """A record, a department class and a hospital that the patient hides."""
    hidden = [
        Hidden(world.hospital.identity, handle=HANDLE.hex()),
        Hidden(department_class=DEPARTMENT_CLASS),
        Hidden("H:other"),
    ]
    wanted = Restriction(world.patient.patient_id, hidden=hidden, emergency_overrides=True)
    return make_restriction(world.patient, wanted, above=0, now=world.now)


def _ended(world: World, duty: SignedStatement) -> revocation_pb2.Revocation:
    """rev of a duty that the hospital stated."""
    return revocation_pb2.Revocation(
        owner_id=world.hospital.identity,
        statements=[revocation_pb2.RevokedStatement(kind=revocation_pb2.STATEMENT_KIND_DUTY, statement=duty)],
        key_statement=world.hospital.self_.key_statement,
        nonce=world.entropy("rev-duty")(16),
    )


def _sweep(world: World) -> revocation_pb2.Revocation:
    """rev of everything that the patient signed before."""
    return revocation_pb2.Revocation(
        owner_id=world.patient.identity,
        before=world.now,
        key_statement=world.patient.self_.key_statement,
        nonce=world.entropy("rev-all")(16),
    )


def _older_revocation(world: World, grant: SignedStatement) -> revocation_pb2.Revocation:
    """rev of a grant that the patient signed under an earlier credential, with another key: it still stands."""
    earlier = Grant.FromString(grant.statement)
    earlier.signer_serial, earlier.grant_id = bytes(16), bytes(range(16))
    signed = sign_statement("grant", earlier, signing_key(Stream("an earlier key").private_key().hex()))
    return revocation_pb2.Revocation(
        owner_id=world.patient.identity,
        statements=[revocation_pb2.RevokedStatement(kind=revocation_pb2.STATEMENT_KIND_GRANT, statement=signed)],
        key_statement=world.patient.self_.key_statement,
        nonce=world.entropy("rev-older")(16),
    )


def _call(world: World, carry: Carry, call: calls.Call[Any], payload: Message, sender: Party, suffix: str = "") -> None:
    cloud, now = world.cloud, world.now
    opening, _ = call.send(payload, sender.signing_key, cloud.encryption_key, now=now)

    def receive(message: Any, *, now: int, admitted: bool = True) -> Any:
        claimed = call.receive(message, cloud.keyring, cloud.identity, world.verifier.freshness, now=now)
        if call is calls.REVOKE:
            return _revoked(claimed, world, now).admit(admitted)
        if call is calls.RESTRICT:
            return _restricted(claimed, world, now).admit(admitted)
        if call is calls.FETCH_RESTRICTIONS:
            return _fetched(claimed, sender, world, now).admit(admitted)
        return claimed.verify(sender.self_, now=now).admit(admitted)

    key = cloud.keyring.find(opening.key_id)
    context = Context(call.name, UNNAMED, cloud.identity, key.key_id, b"", now)
    facts = Facts(cloud_id=cloud.identity)
    carry(Step(call.name + suffix, type(payload), opening, receive, (key, context), None, facts, sender.signing_key))


def _revoked(claimed: calls.Claimed[Any], world: World, now: int) -> Pending[Any]:
    """The cloud's steps at rev: the KS inside, whatever is registered now, and then whose the grant is."""
    payload = claimed.opened.payload
    with after_opening():
        sender = world.verifier.party(payload.key_statement, sender_role(claimed.claimed_sender), now=now)
        pending = claimed.verify(sender, now=now)
        require_revocable(payload, sender, world.verifier, now=now)
        return pending


def _restricted(claimed: calls.Claimed[Any], world: World, now: int) -> Pending[Any]:
    """The cloud's steps at rst: the KS inside, and then who may restrict for whom, and the restriction."""
    payload = claimed.opened.payload
    with after_opening():
        sender = world.verifier.party(payload.key_statement, restricting_role(claimed.claimed_sender), now=now)
        pending = claimed.verify(sender, now=now)
        require_restricting(payload, sender, world.verifier, now=now)
        return pending


def _fetched(claimed: calls.Claimed[Any], hospital: Party, world: World, now: int) -> Pending[Any]:
    """The cloud's steps at rstget."""
    pending = claimed.verify(hospital.self_, now=now)
    with after_opening():
        hospitals_key(claimed.opened.payload, hospital.self_, world.verifier, now=now)
        return pending
