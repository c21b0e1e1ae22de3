"""What was shown for access, before a judge: in the message itself (P2, D2), or beside what covers its digests (D3, H2, a grant).

A signature over all of it covers the statements alone. So each is held to whoever stated it, by the key statement beside it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from google.protobuf.message import Message

from federation.errors import CommitmentMismatch, CredentialInvalid, FieldInvalid, IdentityMismatch
from federation.protocol import record
from federation.protocol.consent import deputyship_statement
from federation.protocol.judging import Case, stated_at, words_of
from federation.protocol.parsing import parse
from federation.protocol.shown import held_deputyship, held_duty
from federation.protocol.statements import open_statement, peek_statement, verify_signature
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import Access, DeclaredEmergency, Deputyship
from federation.v1.record_pb2 import Scope
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    Duty,
    Emergency,
    Grant,
    Guardianship,
    KeyStatement,
    Mandate,
    SignedStatement,
)
from keystore.transcript import digest, statement_digest, text, transcript

DEPUTYSHIPS = ("mandate", "guardian")
Beside = tuple[SignedStatement, SignedStatement]
"""A statement, and the key statement that it is shown with."""


@dataclass(frozen=True)
class _Stated:
    """A statement by its label: who may state it, and which of its fields says who did."""

    message_type: type[Message]
    role: "pb.Role.ValueType"
    by: str


_STATEMENTS = {
    "grant": _Stated(Grant, ROLE_PATIENT, "signer_id"),
    "mandate": _Stated(Mandate, ROLE_PATIENT, "patient_id"),
    "guardian": _Stated(Guardianship, ROLE_HOSPITAL, "hospital_id"),
    "duty": _Stated(Duty, ROLE_HOSPITAL, "hospital_id"),
    "bg": _Stated(Emergency, ROLE_DOCTOR, "doctor_id"),
}
_SHOWN_FOR = {
    "consent": ("grant", *DEPUTYSHIPS, "duty"),
    "own": DEPUTYSHIPS,
    "emergency": ("bg", "duty"),
}


def opening_names(*labels: str) -> frozenset[str]:
    """Return the names of what opens statements of these labels."""
    parts = "", "_signature", "_key_statement", "_key_statement_signature"
    return frozenset(label + part for label in labels for part in parts)


COMMITTED = frozenset(("patient_id", "scope", "blind", "ground")) | opening_names(*_STATEMENTS)
"""The names of what opens c_P."""


def statement_openings(label: str, shown: Beside) -> dict[str, bytes]:
    """Return what an exhibit shows of a statement."""
    signed, key_statement = shown
    return {
        label: signed.statement,
        f"{label}_signature": signed.signature,
        f"{label}_key_statement": key_statement.statement,
        f"{label}_key_statement_signature": key_statement.signature,
    }


def statements_in(access: Access, asker: SignedStatement) -> dict[str, Beside]:
    """Return the statements of an access by their labels; whoever asks, by this key statement, declares an emergency itself."""
    found: dict[str, Beside] = {}
    if access.HasField("consent"):
        found["grant"] = access.consent.grant, access.consent.key_statement
    if access.HasField("emergency"):
        found["bg"] = access.emergency.emergency, asker
    if (deputyship := held_deputyship(access)) is not None:
        label, signed = deputyship_statement(deputyship)
        found[label] = signed, deputyship.key_statement
    if (duty := held_duty(access)) is not None:
        found["duty"] = duty.duty, duty.key_statement
    return found


def openings_of(access: Access, asker: SignedStatement) -> dict[str, bytes]:
    """Return what opens H(access): each statement that was shown, with the key statement beside it."""
    openings: dict[str, bytes] = {}
    for label, shown in statements_in(access, asker).items():
        openings |= statement_openings(label, shown)
    return openings


def deputyship_openings(deputyship: Deputyship) -> dict[str, bytes]:
    """Return what an exhibit shows of a deputyship."""
    label, signed = deputyship_statement(deputyship)
    return statement_openings(label, (signed, deputyship.key_statement))


def deputyship_shown(case: Case) -> Deputyship | None:
    """Return the deputyship that is shown beside, if there is one. Raises MissingField for half of it."""
    for label in DEPUTYSHIPS:
        if (shown := case.shown(label)) is not None:
            return deputyship_of(label, shown)
    return None


def deputyship_of(label: str, shown: Beside) -> Deputyship:
    """Return a mandate or guardianship as it is shown."""
    if label == "mandate":
        return Deputyship(mandate=shown[0], key_statement=shown[1])
    return Deputyship(guardianship=shown[0], key_statement=shown[1])


def require_bound(case: Case, *labels: str) -> None:
    """Require that no statement is shown but these, and one deputyship: the digest that was signed covers no other."""
    shown = {label for label in _STATEMENTS if label in case.exhibit.openings}
    if shown - set(labels) or shown.issuperset(DEPUTYSHIPS):
        raise FieldInvalid("a statement is shown that nothing that was signed names")  # judge.9


def committed_access(case: Case, patient_commitment: bytes) -> bytes:
    """Require c_P to open to the patient, the access and the scope that are shown, and return H(access).

    Raises CommitmentMismatch, MissingField, FieldInvalid.
    """
    access, patient = _access_digest(case), text(words_of(case.opening("patient_id")))
    scope = record.scope_digest(parse(Scope, case.opening("scope")))
    if digest(transcript("cp", patient, access, scope, case.opening("blind"))) != patient_commitment:
        raise CommitmentMismatch("c_P does not open to this patient, access and scope")  # judge.9
    return access


def _access_digest(case: Case) -> bytes:
    ground = words_of(case.opening("ground"))
    require_bound(case, *_SHOWN_FOR.get(ground, ()))
    if ground == "none":
        return b""
    main = {"consent": "grant", "emergency": "bg"}.get(ground)
    fields = b"" if main is None else statement_digest(main, case.opening(main))
    return digest(transcript("access", text(ground), fields, *_beside(case)))


def _beside(case: Case) -> tuple[bytes, bytes]:
    openings = case.exhibit.openings
    deputyship = next((statement_digest(it, openings[it]) for it in DEPUTYSHIPS if it in openings), b"")
    return deputyship, statement_digest("duty", openings["duty"]) if "duty" in openings else b""


def commitment_proved(case: Case) -> Iterator[str]:
    """Say for what, by what, and by which statements something was asked for, of what opened c_P."""
    scope, ground = parse(Scope, case.opening("scope")), words_of(case.opening("ground"))
    yield (
        f"it was asked for with the purpose {record.PURPOSE_NAMES[scope.purpose]}, department class "
        f"{scope.department_class}, on the ground: {ground}"
    )
    yield from opened_statements_proved(case)


def opened_statements_proved(case: Case) -> Iterator[str]:
    """Require each statement that is shown beside to be signed by who stated it, and say which there are."""
    shown = {label: found for label in _STATEMENTS if (found := case.shown(label)) is not None}
    yield from statements_proved(case, shown)


def statements_proved(case: Case, shown: Mapping[str, Beside]) -> Iterator[str]:
    """Require each of these statements to be signed by who stated it, and say which there are."""
    for label, beside in shown.items():
        words = f"the {label} that was shown: who signed it, and the signature"
        signer = case.check(label, words, partial(_opened, case, label, beside))  # judge.10
        yield f"a {label} of {signer} was shown for it, H({label}) {statement_digest(label, beside[0].statement).hex()}"


def access_proved(case: Case, access: Access, asker: SignedStatement) -> Iterator[str]:
    """Require all that a message shows for its access to be signed by who stated it, and say what it is."""
    yield f"it was asked on the ground: {access.WhichOneof('ground') or 'none'}"
    yield from statements_proved(case, statements_in(access, asker))
    if access.HasField("emergency") and (
        named := parse(Emergency, access.emergency.emergency.statement).second_doctor_id
    ):
        words = "the second clinician: who it is, and the signature over the emergency"
        case.check("second", words, partial(_require_seconded, case, access.emergency, named))  # judge.10
        yield f"{named} seconded that emergency"
    elif access.emergency.HasField("second"):
        raise FieldInvalid("a second clinician is shown whom the emergency does not name")  # judge.9


def _opened(case: Case, label: str, beside: Beside) -> str:
    (signed, key_statement), stated = beside, _STATEMENTS[label]
    identity = peek_statement(KeyStatement, key_statement).identity
    signer = case.party_of(key_statement, (stated.role,), identity, max(case.at, stated_at(key_statement)))
    if getattr(open_statement(label, stated.message_type, signed, signer.key), stated.by) != identity:
        raise IdentityMismatch(f"the {label} is stated by somebody else than its signer")  # judge.10
    return identity


def _require_seconded(case: Case, declared: DeclaredEmergency, named: str) -> None:
    clinician = case.party_of(declared.second.key_statement, (ROLE_DOCTOR,), named, case.at)
    if clinician.attribute != digest(declared.second.doctor_certificate):
        raise CredentialInvalid("the second clinician's credential was issued for another Cert_D")
    verify_signature(clinician.key, declared.second.signature, transcript("bg-second", declared.emergency.statement))
