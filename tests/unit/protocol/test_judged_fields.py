"""A judge holds every field of every message to something: whichever is changed, the exhibit does not hold, by its reason."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache

import pytest
from google.protobuf.message import Message

from federation.party.member import Member
from federation.protocol import exhibits, search
from federation.protocol.consent import make_mandate
from federation.protocol.exhibit import KeptExhibit, without_unsigned
from federation.protocol.judge import MESSAGES, judge
from federation.protocol.judging import Judgement
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import Deputyship
from federation.v1.consultation_pb2 import BiosignalDelivery, ConsultationReply
from federation.v1.publication_pb2 import PublicationReceipt
from federation.v1.record_pb2 import DepositReceipt, RecordReply
from federation.v1.search_pb2 import SearchQuery
from federation.v1.statement_pb2 import POWER_LOG, RIGHT_LOG, Grant, Guardianship, Mandate
from keystore.identities import PatientId
from tests.emergencies import declared
from tests.simulator import Federation, lent
from tests.unit.protocol.judging import changed, kept, of_every_kind
from tests.unit.protocol.variants import variants

READ = MESSAGES | {
    "STOACK": DepositReceipt,
    "PUBACK": PublicationReceipt,
    "grant": Grant,
    "mandate": Mandate,
    "guardian": Guardianship,
}
"""What the message of each kind is read as."""

OTHERWISE = "message", "ANSWER_MISMATCH"
"""How a field ends that a signature covers, or that the exhibit has beside the message."""

MISSING = "message", "MISSING_FIELD"
SIGNED_STATEMENT = {
    "": MISSING,
    ".statement gone": MISSING,
    ".statement": OTHERWISE,
    ".signature gone": MISSING,
    ".signature": OTHERWISE,
}


def asked(federation: Federation, asker: Member, question: search.Question) -> KeptExhibit:
    """Keep D2 of this question, as whoever asked does."""
    awaiting, _ = search.ask(
        federation.party(asker),
        question,
        federation.cloud.encryption_key(),
        asker.verifier(),
        now=federation.clock.now,
        entropy=federation.entropy,
    )
    return kept(exhibits.of_question(awaiting.asked, awaiting.query))


@cache
def questions(federation: Federation) -> Mapping[str, KeptExhibit]:
    """One D2 for each ground; between them they have every field that D2 can have."""
    with lent(federation):
        patient = federation.party(federation.patient)
        deputy = federation.other_patient
        until, now, entropy = timedelta(days=1), federation.clock.now, federation.entropy
        mandate = make_mandate(patient, PatientId(deputy.identity), [POWER_LOG], until, now=now, entropy=entropy)
        stands = Deputyship(mandate=mandate, key_statement=patient.self_.key_statement)
        consented = search.Question(federation.shown(federation.grant()), after=b"after")
        own = search.Question(Shown.by_own_right(PatientId("P:wang"), stands), right=RIGHT_LOG, known_size=3)
        seconded = search.Question(declared(federation, clinician=federation.other_doctor))
        return {
            "consent": asked(federation, federation.doctor, consented),
            "own": asked(federation, deputy, own),
            "emergency": asked(federation, federation.doctor, seconded),
            "none": asked(federation, federation.doctor, search.Question(Shown(PatientId(patient.identity)))),
        }


def judged(federation: Federation, one: KeptExhibit) -> Judgement:
    (found,) = judge([one], federation.cloud.anchors)
    return found


def outcomes(federation: Federation, one: KeptExhibit, message_type: type[Message]) -> dict[str, tuple[str, str]]:
    """Name the check that ends, and its reason, of each place of the message that is changed or gone."""
    found = {}
    for place, other in variants(message_type.FromString(one.exhibit.message)):
        said = judged(federation, changed(one, message=other.SerializeToString(deterministic=True)))
        assert not said.holds, (one.exhibit.kind, place)
        assert said.proves == (), (one.exhibit.kind, place)
        found[place] = said.checks[-1].name, said.checks[-1].reason
    return found


def statement(place: str) -> dict[str, tuple[str, str]]:
    """What becomes of a signed statement of which something is changed, or that is gone."""
    return {f"{place}{part}" if part else f"{place} gone": ends for part, ends in SIGNED_STATEMENT.items()}


def needed(*names: str) -> dict[str, tuple[str, str]]:
    """What becomes of fields that have to be there."""
    return dict.fromkeys(names, OTHERWISE) | {f"{name} gone": MISSING for name in names}


def optional(*names: str) -> dict[str, tuple[str, str]]:
    """What becomes of fields that may be absent, and are there."""
    return dict.fromkeys(names, OTHERWISE) | {f"{name} gone": OTHERWISE for name in names}


EVERY_D2 = (
    needed("patient_id", "sent_at", "asker_id", "department_class", "nonce", "proof", "signature", "right")
    | statement("key_statement")
    | statement("encryption_key_statement")
)
DUTY = statement("duty.duty") | statement("duty.key_statement")
OF_D2 = {
    "consent": EVERY_D2
    | optional("doctor_certificate", "after")
    | {f"{place} gone": OTHERWISE for place in ("access", "access.consent", "access.consent.duty")}
    | statement("access.consent.grant")
    | statement("access.consent.key_statement")
    | {f"access.consent.{place}": ends for place, ends in DUTY.items()},
    "own": EVERY_D2
    | optional("known_size")
    | {f"{place} gone": OTHERWISE for place in ("access", "access.own", "access.own.deputyship")}
    | statement("access.own.deputyship.mandate")
    | {"access.own.deputyship.mandate gone": ("message", "DEPUTY_INVALID")}
    | statement("access.own.deputyship.key_statement"),
    "emergency": EVERY_D2
    | optional("doctor_certificate")
    | {f"{place} gone": OTHERWISE for place in ("access", "access.emergency", "access.emergency.second")}
    | statement("access.emergency.emergency")
    | needed("access.emergency.second.signature", "access.emergency.second.doctor_certificate")
    | statement("access.emergency.second.key_statement")
    | {"access.emergency.duty gone": MISSING}
    | {f"access.emergency.{place}": ends for place, ends in DUTY.items()},
    "none": EVERY_D2 | optional("doctor_certificate"),
}
"""Of D2 on each ground, every place that can differ, and how the judge names it."""


@pytest.mark.parametrize("ground", OF_D2)
def test_field_of_a_question_that_is_changed_or_gone_is_answer_mismatch_or_missing_field(
    shared_federation: Federation, ground: str
) -> None:
    one = questions(shared_federation)[ground]
    assert judged(shared_federation, one).holds
    assert outcomes(shared_federation, one, SearchQuery) == OF_D2[ground]


def test_questions_of_the_known_answers_have_every_field_of_theirs() -> None:
    named = {place.partition(".")[0].removesuffix(" gone") for places in OF_D2.values() for place in places}
    assert named == {field.name for field in SearchQuery.DESCRIPTOR.fields}


def test_field_of_any_message_that_is_changed_or_gone_does_not_hold(shared_federation: Federation) -> None:
    with lent(shared_federation):
        every = [it for it in of_every_kind(shared_federation) if it.exhibit.kind in READ]
    assert {it.exhibit.kind for it in every} == set(READ)
    for one in every:
        found = outcomes(shared_federation, one, READ[one.exhibit.kind])
        assert all(reason for _, reason in found.values())


@pytest.mark.parametrize(
    ("kind", "message_type", "changes"),
    [
        ("D1", ConsultationReply, {"contribution": b"k" * 32}),
        ("H1", RecordReply, {"contribution": b"k" * 32}),
        ("P2", BiosignalDelivery, {"biosignal_size_bytes": 7}),
    ],
)
def test_what_no_signature_covers_is_not_shown_and_shown_is_field_invalid(
    shared_federation: Federation, kind: str, message_type: type[Message], changes: dict[str, object]
) -> None:
    with lent(shared_federation):
        one = next(it for it in of_every_kind(shared_federation) if it.exhibit.kind == kind)
    message = message_type.FromString(one.exhibit.message)
    for name, value in changes.items():
        assert not any(getattr(message, name) if isinstance(value, bytes) else [getattr(message, name)])
        setattr(message, name, value)
    shown = message.SerializeToString(deterministic=True)
    assert without_unsigned(kind, shown) == one.exhibit.message
    found = judged(shared_federation, changed(one, message=shown))
    assert (found.checks[-1].name, found.checks[-1].reason) == ("message", "FIELD_INVALID")


@pytest.mark.parametrize(
    ("ground", "words"),
    [
        ("consent", ["on the ground: consent", "a grant of P:wang was shown for it", "a duty of H:alpha was shown"]),
        ("own", ["P:lin asked", "the right log", "on the ground: own", "a mandate of P:wang was shown for it"]),
        ("emergency", ["on the ground: emergency", "a bg of D:chen was shown for it", "D:roe seconded"]),
        ("none", ["on the ground: none"]),
    ],
)
def test_question_says_on_which_ground_and_by_what_it_was_asked(
    shared_federation: Federation, ground: str, words: list[str]
) -> None:
    proved = "\n".join(judged(shared_federation, questions(shared_federation)[ground]).proves)
    for expected in words:
        assert expected in proved
