"""The kinds of evidence that are transcripts: what each signs, how that is made again from what is shown, and what it says.

A kind's `again` returns the transcript that the message and the openings make; the judge compares it with what was signed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from federation.errors import AnswerMismatch, FederationError
from federation.protocol import consultation, outcomes, record, search
from federation.protocol.access import ToDepartment, ToDoctor, ToHospital
from federation.protocol.access_log import entries_digest, head_digest
from federation.protocol.consent import open_deputyship, open_grant
from federation.protocol.judged_shown import (
    COMMITTED,
    DEPUTYSHIPS,
    access_proved,
    commitment_proved,
    committed_access,
    deputyship_shown,
    opened_statements_proved,
    opening_names,
    require_bound,
    statements_in,
    statements_proved,
)
from federation.protocol.judging import Case, moment, time_of, words_of
from federation.protocol.parsing import parse
from federation.protocol.statements import POWER_NAMES, RIGHT_NAMES
from federation.protocol.time import Instant
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import Access, Consent, Deputyship
from federation.v1.consultation_pb2 import BiosignalDelivery, ConsultationOpening, ConsultationReply
from federation.v1.diagnosis_pb2 import DiagnosisDelivery, DiagnosisReceipt
from federation.v1.publication_pb2 import PublicationReceipt
from federation.v1.record_pb2 import (
    SESSION_OUTCOME_SERVED,
    Deposit,
    DepositReceipt,
    OwnDocument,
    RecordEnd,
    RecordOpening,
    RecordReply,
)
from federation.v1.search_pb2 import IndexHospital, SearchAnswer, SearchQuery
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    Grant,
    Guardianship,
    Mandate,
    SignedStatement,
)
from keystore.transcript import digest, listing, statement_digest, text, transcript, u64


@dataclass(frozen=True)
class Kind:
    """What there is to know of a kind. Without roles the public cloud signs it; `openings` are those that it may show."""

    label: str
    count: int
    roles: "tuple[pb.Role.ValueType, ...]"
    signed_at: Callable[[Case], Instant]
    again: Callable[[Case], bytes]
    proves: Callable[[Case], Iterator[str]]
    openings: frozenset[str] = frozenset()
    leaves_open: tuple[str, ...] = ()

    @property
    def is_statement(self) -> bool:
        """Return whether its one field is a statement, which may be shown long after it was made."""
        return self.count == 1


def _field(index: int) -> Callable[[Case], Instant]:
    return lambda case: time_of(case.fields[index])


def _statement(case: Case) -> bytes:
    return transcript(KINDS[case.exhibit.kind].label, case.exhibit.message)


def _p1_again(case: Case) -> bytes:
    f = case.fields
    opening = case.read(ConsultationOpening)
    return consultation.opening_transcript(opening, case.party.issuer_public_key, words_of(f[7]), f[9], f[10])


def _p1_proves(case: Case) -> Iterator[str]:
    case.about = case.party.identity
    yield f"{case.party.identity} addressed {words_of(case.fields[7])} at {moment(case.at)}"


def _d1_again(case: Case) -> bytes:
    reply, opening = case.read(ConsultationReply), case.opening("opening")
    th = consultation.consultation_transcript_hash(opening, reply, case.party.credential, case.reference)
    return consultation.reply_transcript(reply, case.party.issuer_public_key, th)


def _d1_proves(case: Case) -> Iterator[str]:
    asked = parse(ConsultationOpening, case.opening("opening"))
    case.session, case.about = case.fields[7], asked.patient_id
    yield f"{case.party.identity} answered, at {moment(case.at)}, an opening that names {asked.patient_id}"


def _p2_again(case: Case) -> bytes:
    p2, f = case.read(BiosignalDelivery), case.fields
    grant = statement_digest("grant", p2.consent.grant.statement) if p2.HasField("consent") else b""
    certificate = digest(case.opening("doctor_certificate"))
    return transcript("P2", f[0], f[1], certificate, text(p2.patient_id), p2.biosignal_digest, grant, u64(p2.sent_at))


def _p2_proves(case: Case) -> Iterator[str]:
    _, doctor, _, patient, biosignal, grant, _ = case.fields
    case.about = words_of(patient)
    given = f"and the consent with H(grant) {grant.hex()}" if grant else "and no consent"
    yield (
        f"{case.party.identity} gave {words_of(doctor)} a biosignal of {words_of(patient)} at {moment(case.at)}, "
        f"SHA-256 {biosignal.hex()}, {given}"
    )
    p2 = case.read(BiosignalDelivery)
    if p2.HasField("consent"):
        # P2 signs the grant's bytes alone; what was shown is said of what was done by it.
        list(statements_proved(case, statements_in(Access(consent=p2.consent), SignedStatement())))


def _d5_again(case: Case) -> bytes:
    d5, f = case.read(DiagnosisDelivery), case.fields
    based_on = listing(list(d5.based_on))
    return transcript("D5", f[0], digest(d5.diagnosis), f[2], based_on, u64(d5.sent_at), d5.amends)


def _d5_proves(case: Case) -> Iterator[str]:
    d5 = case.read(DiagnosisDelivery)
    case.session = case.fields[0]
    # By its signature, which D5 covers: a session may be named by anybody.
    case.refers.append((case.fields[2], "it was made on the biosignal of"))
    case.refers += [(name, "it rests on the record of") for name in d5.based_on]
    yield (
        f"{case.party.identity} signed a diagnosis at {moment(case.at)}: {len(d5.diagnosis)} bytes, SHA-256 "
        f"{digest(d5.diagnosis).hex()}; number of hospitals' records that it rests on: {len(d5.based_on)}"
    )
    if d5.amends:
        case.refers.append((d5.amends, "it takes the place of the diagnosis of"))
        yield f"it takes the place of the diagnosis with H(Sig_D5) {d5.amends.hex()}"


def _p6_again(case: Case) -> bytes:
    receipt = case.read(DiagnosisReceipt)
    return consultation.receipt_transcript(receipt.diagnosis_digest, receipt.sent_at)


def _p6_proves(case: Case) -> Iterator[str]:
    case.refers.append((case.fields[0], "it is the receipt for the diagnosis of"))
    yield (
        f"{case.party.identity} had the diagnosis with H(Sig_D5) {case.fields[0].hex()} at {moment(case.at)}, "
        "by the clock of its device"
    )


def _d2_again(case: Case) -> bytes:
    return search.query_transcript(case.read(SearchQuery), case.party, case.anchors.cloud_id)


def _d2_proves(case: Case) -> Iterator[str]:
    _, _, _, _, patient, class_, asker, *_ = case.fields
    right = words_of(case.fields[12])
    case.about = words_of(patient)
    yield (
        f"{words_of(asker)} asked {case.anchors.cloud_id} at {moment(case.at)} about {words_of(patient)}: "
        f"the right {right}, department class {words_of(class_)}"
    )
    query = case.read(SearchQuery)
    yield from access_proved(case, query.access, query.key_statement)


def _c_again(case: Case) -> bytes:
    answer, f = case.read(SearchAnswer), case.fields
    return transcript(
        "C",
        text(outcomes.of_search(answer.outcome).name),
        f[1],
        f[2],
        answer.proof,
        f[4],
        f[5],
        listing([search.place_of(it) for it in answer.hospitals]),
        u64(answer.sent_at),
        f[8],
        f[9],
        answer.next,
        entries_digest(answer.accesses),
        head_digest(answer.log_head if answer.HasField("log_head") else None),
    )


def _c_proves(case: Case) -> Iterator[str]:
    answer = case.read(SearchAnswer)
    outcome, patient, *_ = case.fields
    for hospital in answer.hospitals:
        words = f"{hospital.hospital_id}, which it names: KS_HPC and EK_HPC are its own"
        case.check("hospital", words, partial(_require_hospital, case, hospital))  # judge.18
    named = ", ".join(it.hospital_id for it in answer.hospitals) or "no hospital"
    case.about = words_of(patient)
    case.refers.append((case.fields[9], "it answers the question of"))
    yield (
        f"{case.anchors.cloud_id} answered {words_of(case.fields[8])} at {moment(case.at)} about {case.about}: "
        f"{words_of(outcome)}; it names {named}"
    )
    yield f"the question is the one with H(Sig_D2) {case.fields[9].hex()}"
    if answer.accesses:
        yield f"it told {len(answer.accesses)} accesses of its log"


def _require_hospital(case: Case, named: IndexHospital) -> None:
    """Require the statements of a hospital, of which Sig_C covers the bytes and not the signatures, to be its own."""
    hospital = case.party_of(named.key_statement, _HOSPITAL, named.hospital_id, case.at)
    case.encryption_key_of(named.encryption_key_statement, hospital)


def _d3_again(case: Case) -> bytes:
    f = case.fields
    opening = case.read(RecordOpening)
    return record.opening_transcript(opening, case.party.issuer_public_key, words_of(f[6]), f[8], f[9])


def _d3_proves(case: Case) -> Iterator[str]:
    opened = f"{case.party.identity} opened a session with {words_of(case.fields[6])} at {moment(case.at)}"
    if not case.exhibit.openings:
        case.leaves_open.append("For which patient.")
        yield f"{opened}, for a patient and purpose that c_P {case.fields[2].hex()} holds"
        return
    committed_access(case, case.fields[2])
    case.about = words_of(case.opening("patient_id"))
    yield f"{opened}, for content about {case.about}"
    yield from commitment_proved(case)


def _h1_again(case: Case) -> bytes:
    reply, opening = case.read(RecordReply), case.opening("opening")
    th = record.session_transcript_hash(opening, reply, case.party.credential, case.reference)
    return record.reply_transcript(reply, case.party.issuer_public_key, th)


def _h1_proves(case: Case) -> Iterator[str]:
    asked = parse(RecordOpening, case.opening("opening"))
    case.session, case.about = case.fields[5], asked.asker_id
    yield f"{case.party.identity} answered, at {moment(case.at)}, an opening that names {asked.asker_id}"


def _h2_again(case: Case) -> bytes:
    end, f = case.read(RecordEnd), case.fields
    if end.outcome != SESSION_OUTCOME_SERVED:
        raise AnswerMismatch("what was signed was served, and the message says otherwise")  # judge.8
    access = committed_access(case, f[1])
    return record.record_transcript(f[0], f[1], case.opening("record_digest"), access, end.version, end.sent_at)


def _h2_proves(case: Case) -> Iterator[str]:
    end, patient = case.read(RecordEnd), words_of(case.opening("patient_id"))
    case.session, case.about = case.fields[0], patient
    yield (
        f"{case.party.identity} gave content about {patient} at {moment(case.at)}: SHA-256 "
        f"{case.fields[2].hex()}, version {end.version}"
    )
    yield from commitment_proved(case)


def _stoack_proves(case: Case) -> Iterator[str]:
    receipt, deposit = parse(DepositReceipt, case.exhibit.message), case.opening("deposit")
    if digest(deposit) != receipt.deposit_digest:
        raise AnswerMismatch("the receipt is for another deposit")  # judge.9
    of, by, what = _deposit(deposit)
    case.about = of
    yield (
        f"{case.party.identity} keeps {what} about {of} by {by} since {moment(case.at)}, as record "
        f"{receipt.handle.hex()}, version {receipt.version}"
    )


def _deposit(data: bytes) -> tuple[str, str, str]:
    try:
        deposit = parse(Deposit, data)
    except FederationError:
        own = parse(OwnDocument, data)
        return own.patient_id, own.author_id, f"a document, SHA-256 {own.content_digest.hex()},"
    return (
        deposit.patient_id,
        deposit.doctor_id,
        f"an encounter, diagnosis with SHA-256 {deposit.diagnosis_digest.hex()},",
    )


def _puback_proves(case: Case) -> Iterator[str]:
    receipt = parse(PublicationReceipt, case.exhibit.message)
    yield (
        f"{case.anchors.cloud_id} did at {moment(case.at)} what the publication with SHA-256 "
        f"{receipt.publication_digest.hex()} asks for"
    )


def _grant_proves(case: Case) -> Iterator[str]:
    require_bound(case, *DEPUTYSHIPS)
    shown = Consent(grant=_signed(case), key_statement=case.exhibit.key_statement)
    if (deputyship := deputyship_shown(case)) is not None:
        shown.deputyship.CopyFrom(deputyship)
    grant = open_grant(shown, case.party)  # judge.9
    case.about, case.statement = grant.patient_id, statement_digest("grant", case.exhibit.message)
    rights = ", ".join(RIGHT_NAMES[it] for it in grant.rights) or "nothing"
    yield (
        f"{case.party.identity} consented at {moment(case.at)} that {_whom(grant.grantee)} may: {rights}; records of "
        f"{grant.patient_id} at {', '.join(grant.hospitals) or 'no hospital'}, department classes "
        f"{', '.join(grant.department_classes) or 'none'}"
    )
    says = parse(Grant, case.exhibit.message)
    yield f"the consent is valid from {moment(says.not_before)} until {moment(says.not_after)}"
    yield from opened_statements_proved(case)


def _whom(grantee: object) -> str:
    match grantee:
        case ToDoctor(doctor_id):
            return doctor_id
        case ToDepartment(hospital_id, department_class):
            return f"whoever is on duty in {department_class} at {hospital_id}"
        case ToHospital(hospital_id):
            return f"whoever is on duty at {hospital_id}"
        case _:
            return "nobody"


def _mandate_proves(case: Case) -> Iterator[str]:
    return _deputyship_proves(case, Deputyship(mandate=_signed(case), key_statement=case.exhibit.key_statement))


def _guardian_proves(case: Case) -> Iterator[str]:
    return _deputyship_proves(case, Deputyship(guardianship=_signed(case), key_statement=case.exhibit.key_statement))


def _deputyship_proves(case: Case, shown: Deputyship) -> Iterator[str]:
    held = open_deputyship(shown, case.party)  # judge.9
    case.about = held.patient_id
    powers = ", ".join(POWER_NAMES[it] for it in held.powers) or "nothing"
    yield (
        f"{case.party.identity} stated at {moment(case.at)} that {held.deputy_id} stands for {held.patient_id}, "
        f"with the powers: {powers}; from {moment(held.validity.not_before)} until {moment(held.validity.not_after)}"
    )


def _signed(case: Case) -> SignedStatement:
    return SignedStatement(statement=case.exhibit.message, signature=case.exhibit.signature)


_PATIENT, _DOCTOR, _HOSPITAL = (ROLE_PATIENT,), (ROLE_DOCTOR,), (ROLE_HOSPITAL,)
_ASKERS = (ROLE_DOCTOR, ROLE_PATIENT)
_CONTENT = "What was inside is in the file whose SHA-256 is named, and not here."
_FOLLOWED = "That anything was done by it; and whether it was taken back."


def _stated(message_type: type[Grant | Mandate | Guardianship]) -> Callable[[Case], Instant]:
    return lambda case: case.read(message_type).stated_at


KINDS: dict[str, Kind] = {
    "P1": Kind("P1", 12, _PATIENT, _field(6), _p1_again, _p1_proves, leaves_open=("That the doctor ever answered.",)),
    "D1": Kind("D1", 8, _DOCTOR, _field(3), _d1_again, _d1_proves, frozenset(("opening",))),
    "P2": Kind(
        "P2", 7, _PATIENT, _field(6), _p2_again, _p2_proves, frozenset(("doctor_certificate",)), leaves_open=(_CONTENT,)
    ),
    "D2": Kind("D2", 14, _ASKERS, _field(3), _d2_again, _d2_proves),
    "C": Kind("C", 13, (), _field(7), _c_again, _c_proves),
    "D3": Kind("D3", 12, _ASKERS, _field(1), _d3_again, _d3_proves, COMMITTED),
    "H1": Kind("H1", 6, _HOSPITAL, _field(1), _h1_again, _h1_proves, frozenset(("opening",))),
    "H2": Kind(
        "H2",
        6,
        _HOSPITAL,
        _field(5),
        _h2_again,
        _h2_proves,
        openings=COMMITTED | {"record_digest"},
        leaves_open=(_CONTENT, "To whom, but by an H1 of the same session."),
    ),
    "D5": Kind(
        "D5",
        6,
        _DOCTOR,
        _field(4),
        _d5_again,
        _d5_proves,
        leaves_open=("Whose, but by the P2 that it names; who came, but by the D1.",),
    ),
    "P6": Kind("P6", 2, _PATIENT, _field(1), _p6_again, _p6_proves),
    "STOACK": Kind(
        "stoack",
        1,
        _HOSPITAL,
        lambda case: case.read(DepositReceipt).stored_at,
        _statement,
        _stoack_proves,
        openings=frozenset(("deposit",)),
    ),
    "PUBACK": Kind("puback", 1, (), lambda case: case.read(PublicationReceipt).done_at, _statement, _puback_proves),
    "grant": Kind(
        "grant",
        1,
        _PATIENT,
        _stated(Grant),
        _statement,
        _grant_proves,
        openings=opening_names(*DEPUTYSHIPS),
        leaves_open=(_FOLLOWED,),
    ),
    "mandate": Kind("mandate", 1, _PATIENT, _stated(Mandate), _statement, _mandate_proves, leaves_open=(_FOLLOWED,)),
    "guardian": Kind(
        "guardian", 1, _HOSPITAL, _stated(Guardianship), _statement, _guardian_proves, leaves_open=(_FOLLOWED,)
    ),
}
