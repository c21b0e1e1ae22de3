"""What every signature and hash of the protocol covers, field by field, written from docs/protocol.md and not from the code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.vectors import spec
from tests.vectors.spec import listing, sha256, text, u64

OUTCOMES = (
    "",
    "found",
    "none",
    "grant-missing",
    "grant-invalid",
    "grant-expired",
    "grant-revoked",
    "grant-scope",
    "emergency-refused",
    "duty-missing",
    "duty-over",
    "deputy-over",
    "deputy-powers",
    "emergency-over",
    "budget-exhausted",
    "not-own",
)
ROLES = ("", "patient", "doctor", "hospital")
PURPOSES = ("", "read", "store", "log", "add")
RIGHTS = ("", "index", "read", "write", "log")
ACCESS_KINDS = ("", "SEARCH", "READ", "STORE", "LOG", "ADD")
ACCESS_GROUNDS = ("", "consent", "own", "emergency", "none")
ACTIONS = ("", "add", "withdraw")
SENSITIVITIES = ("", "normal", "restricted", "secret")
STATEMENTS = ("", "grant", "mandate", "guardian", "duty")


@dataclass(frozen=True)
class Transcript:
    """T(label, fields), its parts still apart."""

    label: str
    fields: tuple[bytes, ...]

    @property
    def encoded(self) -> bytes:
        """The bytes."""
        return spec.transcript(self.label, *self.fields)


@dataclass(frozen=True)
class Facts:
    """What a transcript holds beside the message itself."""

    issuer_public_key: bytes = b""
    cloud_id: str = ""
    receiver: str = ""
    key_id: bytes = b""
    session_id: bytes = b""
    transcript_hash: bytes = b""
    doctor_id: str = ""
    certificate: bytes = b""
    registration_point: bytes = b""
    serial: bytes = b""
    commitment: bytes = b""
    content_digest: bytes = b""
    access_digest: bytes = b""
    biosignal_signature: bytes = b""
    request_digest: bytes = b""
    public_x: bytes = b""
    query: Any = None
    """The question that C answers; in a room's requests, ID_D."""


def t(label: str, *fields: bytes) -> Transcript:
    """Put a transcript together."""
    return Transcript(label, fields)


def hs(label: str, signed: Any) -> Transcript:
    """Hs is H of this."""
    return t("signed", text(label), signed.statement, signed.signature)


def _hs(label: str, signed: Any) -> bytes:
    return sha256(hs(label, signed).encoded)


def _h(label: str, signed: Any) -> bytes:
    return spec.hash_of(label, signed.statement)


def _statements(shown: Any, of: Callable[[str, Any], bytes]) -> list[bytes]:
    """What is shown, as H(access) and Hs(access) list it: ground, grant or emergency, deputyship, duty."""
    ground = shown.WhichOneof("ground")
    holder = getattr(shown, ground)
    main = {"consent": ("grant", "grant"), "emergency": ("bg", "emergency"), "own": None}[ground]
    found = [text(ground), of(main[0], getattr(holder, main[1])) if main else b""]
    deputyship = holder.deputyship if ground != "emergency" and holder.HasField("deputyship") else None
    if deputyship is None:
        found.append(b"")
    elif deputyship.HasField("mandate"):
        found.append(of("mandate", deputyship.mandate))
    else:
        found.append(of("guardian", deputyship.guardianship))
    duty = holder.duty if ground != "own" and holder.HasField("duty") else None
    return [*found, of("duty", duty.duty) if duty is not None else b""]


def access(shown: Any) -> Transcript:
    """H(access) is H of this."""
    return t("access", *_statements(shown, _h))


def access_signed(shown: Any) -> Transcript:
    """Hs(access) is H of this."""
    ground = shown.WhichOneof("ground")
    holder = getattr(shown, ground)
    keys = [_hs("ks", holder.key_statement) if ground == "consent" else b""]
    for name in ("deputyship", "duty"):
        has = name in holder.DESCRIPTOR.fields_by_name and holder.HasField(name)
        keys.append(_hs("ks", getattr(holder, name).key_statement) if has else b"")
    second = [b"", b"", b""]
    if ground == "emergency" and holder.HasField("second"):
        one = holder.second
        second = [one.signature, _hs("ks", one.key_statement), sha256(one.doctor_certificate)]
    return t("access-signed", *_statements(shown, _hs), *keys, *second)


def access_digest(message: Any) -> bytes:
    """H(access), or an empty field."""
    return sha256(access(message.access).encoded) if message.HasField("access") else b""


def _access_signed_digest(message: Any) -> bytes:
    return sha256(access_signed(message.access).encoded) if message.HasField("access") else b""


def _certificate_digest(message: Any) -> bytes:
    has = message.HasField("doctor_certificate")
    return sha256(message.doctor_certificate) if has else b""


def revoked(kind: str, owner_id: str, statement_id: bytes) -> Transcript:
    """The revocation list's entry of a statement is H of this."""
    return t("revoked", text(kind), text(owner_id), statement_id)


def sweep(patient_id: str) -> Transcript:
    """Whose sweep the revocation list names is H of this."""
    return t("sweep", text(patient_id))


def reg1(m: Any, f: Facts) -> Transcript:
    """Section 3, step 1."""
    names = text(ROLES[m.role]), text(m.identity)
    keys = m.verifying_key, m.encryption_key_statement.statement
    return t("reg1", *names, m.evidence, *keys, m.ticket, m.challenge, u64(m.sent_at), text(f.cloud_id))


def renew(m: Any, cloud_id: str) -> Transcript:
    """Section 3, registering again: what the live PRK_X covers."""
    return t("renew", reg1(m, Facts(cloud_id=cloud_id)).encoded)


def reg2(m: Any, f: Facts) -> Transcript:
    """Section 3, step 2: of U_X its x."""
    return t("reg2", f.request_digest, m.credential, m.registration_point, f.public_x, u64(m.sent_at))


def p1(m: Any, f: Facts) -> Transcript:
    """Sig_P1 (eq. 13 and the doctor)."""
    own = m.registration_point, text(m.patient_id), m.agreement_point, m.ephemeral_point, m.biometric_password
    bound = text(f.receiver), m.responder_serial, f.key_id, f.session_id, sha256(m.contribution)
    return t("P1", *own, f.issuer_public_key, u64(m.sent_at), *bound)


def d1(m: Any, f: Facts) -> Transcript:
    """Sig_D1 (eq. 19)."""
    own = m.agreement_point, m.ephemeral_point, text(m.doctor_id), u64(m.sent_at), sha256(m.doctor_certificate)
    return t("D1", *own, m.key_confirmation, f.issuer_public_key, f.transcript_hash)


def p2(m: Any, f: Facts) -> Transcript:
    """Sig_P2."""
    people = text(f.doctor_id), sha256(f.certificate), text(m.patient_id)
    grant = _h("grant", m.consent.grant) if m.HasField("consent") else b""
    return t("P2", f.transcript_hash, *people, m.biosignal_digest, grant, u64(m.sent_at))


def d5(m: Any, f: Facts) -> Transcript:
    """Sig_D5 (eq. 49), and of an amendment what it amends."""
    rests_on = sha256(f.biosignal_signature), listing(list(m.based_on))
    return t("D5", f.transcript_hash, sha256(m.diagnosis), *rests_on, u64(m.sent_at), m.amends)


def p6(m: Any, f: Facts) -> Transcript:
    """The receipt."""
    return t("P6", m.diagnosis_digest, u64(m.sent_at))


def d2_proof(m: Any) -> Transcript:
    """What HMAC(K_A, ..) covers in D2."""
    return t("D2-proof", u64(m.sent_at), text(m.patient_id), text(m.department_class), m.nonce)


def c_proof(m: Any, f: Facts) -> Transcript:
    """What HMAC(K_A, ..) covers in C."""
    return t("C-proof", u64(m.sent_at), sha256(f.query.signature))


def d2(m: Any, f: Facts) -> Transcript:
    """Sig_D2 (eq. 26)."""
    who = text(m.patient_id), text(m.department_class), text(m.asker_id), _certificate_digest(m)
    own = m.proof, f.registration_point, f.serial, u64(m.sent_at)
    known = u64(m.known_size) if m.HasField("known_size") else b""
    asked = m.after, m.nonce, text(f.cloud_id), text(RIGHTS[m.right]), known
    return t("D2", *own, *who, _access_signed_digest(m), *asked)


def c(m: Any, f: Facts) -> Transcript:
    """Sig_C (eq. 30)."""
    places = listing([sha256(_place(hospital)) for hospital in m.hospitals])
    whose = text(f.query.patient_id), text(f.query.department_class)
    what = text(OUTCOMES[m.outcome]), *whose, m.proof, f.registration_point, f.serial
    question = text(f.query.asker_id), sha256(f.query.signature)
    accesses = sha256(listing([_access_entry(entry) for entry in m.accesses]))
    head = sha256(_proved_head(m.log_head)) if m.HasField("log_head") else b""
    return t("C", *what, places, u64(m.sent_at), *question, m.next, accesses, head)


def _proved_head(head: Any) -> bytes:
    statements = listing([one.statement for one in head.witness_key_statements])
    return spec.transcript("row", head.note, listing(list(head.consistency)), statements)


def _access_entry(entry: Any) -> bytes:
    what = text(ACCESS_KINDS[entry.kind]), text(entry.department_class), text(ACCESS_GROUNDS[entry.ground])
    who = u64(entry.number), u64(entry.at), text(entry.asker_id)
    ended = entry.authorization, text(entry.reason), entry.grant_digest
    proof = u64(entry.leaf_index), entry.blind, listing(list(entry.inclusion))
    return spec.transcript("row", *who, *what, *ended, *proof)


def _place(hospital: Any) -> bytes:
    where = text(hospital.hospital_id), text(hospital.address)
    statements = hospital.key_statement.statement, hospital.encryption_key_statement.statement
    departments = [
        sha256(spec.transcript("row", text(one.department_id), listing(list(one.handles))))
        for one in hospital.departments
    ]
    return spec.transcript("row", *where, sha256(spec.transcript("row", *statements)), listing(departments))


def scope(m: Any) -> Transcript:
    """scope, as a field of a transcript."""
    return t("scope", text(PURPOSES[m.purpose]), text(m.department_class), listing(list(m.handles)))


def commitment(m: Any) -> Transcript:
    """c_P, of a D4, STO or OWN that opens it."""
    return t("cp", text(m.patient_id), access_digest(m), sha256(scope(m.scope).encoded), m.blind)


def d3(m: Any, f: Facts) -> Transcript:
    """Sig_D3 (eq. 35 and the hospital)."""
    points = m.agreement_point, m.ephemeral_point, m.registration_point
    bound = text(f.receiver), m.responder_serial, f.key_id, f.session_id
    drawn = sha256(m.contribution), _certificate_digest(m)
    return t("D3", f.issuer_public_key, u64(m.sent_at), m.patient_commitment, *points, *bound, *drawn)


def h1(m: Any, f: Facts) -> Transcript:
    """Sig_HPC1 (eq. 41)."""
    own = u64(m.sent_at), m.ephemeral_point, text(m.hospital_id), m.key_confirmation
    return t("H1", f.issuer_public_key, *own, f.transcript_hash)


def h2(m: Any, f: Facts) -> Transcript:
    """Sig_HPC2."""
    what = f.commitment, f.content_digest, f.access_digest
    return t("H2", f.transcript_hash, *what, u64(m.version), u64(m.sent_at))


def own(m: Any, f: Facts) -> Transcript:
    """Sig of a patient's own document."""
    who = text(f.receiver), text(m.patient_id), text(m.author_id), text(m.scope.department_class), access_digest(m)
    what = m.title, text(m.media_type), text(SENSITIVITIES[m.sensitivity])
    return t("own", *who, *what, u64(m.size_bytes), m.content_digest, u64(m.written_at))


def pub(m: Any, f: Facts) -> Transcript:
    """PUB."""
    who = text(m.patient_id), text(m.department_id), text(m.hospital_id), text(m.doctor_id)
    what = m.handle, text(SENSITIVITIES[m.sensitivity]), m.consent_digest, m.nonce, u64(m.sent_at)
    return t("pub", text(ACTIONS[m.action]), *who, *what, text(f.cloud_id))


def ekput(m: Any, f: Facts) -> Transcript:
    """Renewal."""
    fields = m.encryption_key_statement.statement, text(m.address), u64(m.sent_at)
    return t("ekput", *fields, text(f.cloud_id))


def tlsca(m: Any, f: Facts) -> Transcript:
    """TLS identity."""
    fields = text(m.hospital_id), m.certificate_signing_request, m.nonce, u64(m.sent_at)
    return t("tlsca", *fields, text(f.cloud_id))


def tkt(m: Any, f: Facts) -> Transcript:
    """Ticket."""
    fields = text(m.hospital_id), text(m.patient_id), m.nonce, u64(m.sent_at)
    return t("tkt", *fields, text(f.cloud_id))


def rev(m: Any, f: Facts) -> Transcript:
    """Statements that are taken back, or everything before a moment."""
    rows = [spec.transcript("row", text(STATEMENTS[one.kind]), one.statement.statement) for one in m.statements]
    before = u64(m.before) if m.HasField("before") else b""
    deputyship = b""
    if m.HasField("deputyship"):
        by = m.deputyship
        deputyship = _hs("mandate", by.mandate) if by.HasField("mandate") else _hs("guardian", by.guardianship)
    own = m.key_statement.statement, m.nonce, u64(m.sent_at)
    return t("rev", text(m.owner_id), listing(rows), before, deputyship, *own, text(f.cloud_id))


def rst(m: Any, f: Facts) -> Transcript:
    """What a patient hides, or the question what stands."""
    restriction = _hs("restrict", m.restriction) if m.HasField("restriction") else b""
    follows = u64(m.follows) if m.HasField("follows") else b""
    own = m.key_statement.statement, m.encryption_key_statement.statement, m.nonce, u64(m.sent_at)
    return t("rst", text(m.patient_id), restriction, follows, b"", *own, text(f.cloud_id))


def rstack(called: bytes, restriction: Any, counted: tuple[int, int], sent_at: int) -> Transcript:
    """What PRK_C signs of what stands: the plaintext of rst, hospitals with and without it."""
    return t("rstack", sha256(called), _hs("restrict", restriction), *map(u64, counted), u64(sent_at))


def rstget(m: Any, f: Facts) -> Transcript:
    """What a hospital has taken of that, and asks for."""
    rows = [spec.transcript("row", one.reference, u64(one.number)) for one in m.held]
    own = m.encryption_key_statement.statement, m.nonce, u64(m.sent_at)
    return t("rstget", text(m.hospital_id), listing(rows), *own, text(f.cloud_id))


def room(m: Any, f: Facts) -> Transcript:
    """A room of the relay."""
    fields = m.encryption_key_statement.statement, m.nonce, u64(m.sent_at)
    return t("room", text(f.query), text(f.receiver), *fields)


def duty_ask(m: Any, f: Facts) -> Transcript:
    """What a doctor asks its hospital by whether it is on duty."""
    return t("duty-ask", text(f.query), text(f.receiver), m.nonce, u64(m.sent_at))


def room_close(m: Any, f: Facts) -> Transcript:
    """What closes a room."""
    return t("room-close", text(f.query), text(f.receiver), m.room_id)


def th1(opening: bytes, reply: Any, credential: bytes, session_id: bytes) -> Transcript:
    """TH1 is H of this."""
    doctor = text(reply.doctor_id), credential, reply.registration_point
    points = reply.agreement_point, reply.ephemeral_point
    rest = sha256(reply.doctor_certificate), *points, u64(reply.sent_at), session_id
    return t("th1", sha256(opening), *doctor, *rest)


def th2(opening: bytes, reply: Any, credential: bytes, session_id: bytes) -> Transcript:
    """TH2 is H of this."""
    hospital = text(reply.hospital_id), credential, reply.registration_point
    points = reply.agreement_point, reply.ephemeral_point
    return t("th2", sha256(opening), *hospital, *points, u64(reply.sent_at), session_id)


SIGNED = {
    function.__name__.replace("_", "-"): function
    for function in (
        reg1,
        reg2,
        p1,
        d1,
        p2,
        d5,
        p6,
        d2,
        c,
        d3,
        h1,
        h2,
        own,
        pub,
        ekput,
        tlsca,
        tkt,
        rev,
        rst,
        rstget,
        room,
        room_close,
        duty_ask,
    )
}
"""By the name of the payload that carries the signature. d4 and sto carry none of their own."""
