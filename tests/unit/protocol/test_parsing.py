"""Messages by their own rules: missing, unknown, oversized and misformed fields, at every depth; points in every field."""

import os
import re

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

from federation.errors import FieldInvalid, MalformedMessage, MessageTooLarge, MissingField, PointInvalid, UnknownField
from federation.protocol.identities import require_identity
from federation.protocol.parsing import LAST_TIME, check, parse
from federation.v1 import (
    consultation_pb2,
    diagnosis_pb2,
    directory_pb2,
    envelope_pb2,
    membership_pb2,
    publication_pb2,
    record_pb2,
    registration_pb2,
    restrictions_pb2,
    revocation_pb2,
    rules_pb2,
    search_pb2,
    statement_pb2,
)
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.statement_pb2 import SignedStatement
from keystore.curve import compressed, private_key, x_of
from keystore.identities import class_of, hospital_of
from tests.mallory import BORROWED_POINTS, refused, with_unknown_field

SEVEN = private_key((7).to_bytes(32, "big")).public_key()
POINT, KEY = x_of(SEVEN), compressed(SEVEN)
STATEMENT = SignedStatement(statement=b"s", signature=bytes(64))

GRANT = statement_pb2.Grant(
    grant_id=bytes(16),
    patient_id="P:wang",
    signer_id="P:wang",
    signer_serial=bytes(16),
    grantee=statement_pb2.Grantee(hospital=statement_pb2.HospitalGrantee(hospital_id="H:alpha")),
    hospitals=["*"],
    department_classes=["cardiology"],
    rights=[statement_pb2.RIGHT_READ],
    highest_sensitivity=statement_pb2.SENSITIVITY_NORMAL,
    purpose="consultation",
    stated_at=1,
    not_before=1,
    not_after=2,
)
OPENING = consultation_pb2.ConsultationOpening(
    responder_serial=bytes(16),
    patient_id="P:wang",
    biometric_password=bytes(32),
    registration_point=POINT,
    agreement_point=POINT,
    ephemeral_point=POINT,
    sent_at=1,
    contribution=bytes(32),
    key_statement=STATEMENT,
    encryption_key_statement=STATEMENT,
    signature=bytes(64),
)
REPLY = consultation_pb2.ConsultationReply(
    doctor_id="D:chen",
    doctor_certificate=b"c",
    key_statement=STATEMENT,
    registration_point=POINT,
    agreement_point=POINT,
    ephemeral_point=POINT,
    contribution=bytes(32),
    key_confirmation=bytes(32),
    sent_at=1,
    signature=bytes(64),
)
RECORD_OPENING = record_pb2.RecordOpening(
    responder_serial=bytes(16),
    doctor_certificate=b"c",
    sent_at=1,
    asker_id="D:chen",
    agreement_point=POINT,
    ephemeral_point=POINT,
    registration_point=POINT,
    patient_commitment=bytes(32),
    contribution=bytes(32),
    key_statement=STATEMENT,
    encryption_key_statement=STATEMENT,
    signature=bytes(64),
)
RECORD_REPLY = record_pb2.RecordReply(
    hospital_id="H:alpha",
    key_statement=STATEMENT,
    contribution=bytes(32),
    key_confirmation=bytes(32),
    sent_at=1,
    agreement_point=POINT,
    ephemeral_point=POINT,
    registration_point=POINT,
    signature=bytes(64),
)
KEY_STATEMENT = statement_pb2.KeyStatement(
    role=statement_pb2.ROLE_PATIENT,
    identity="P:wang",
    credential=b"c",
    registration_point=POINT,
    verifying_key=KEY,
    not_before=1,
    not_after=2,
    stated_at=1,
)
REGISTRATION_ANSWER = registration_pb2.RegistrationAnswer(
    credential=b"c",
    registration_point=POINT,
    registration_secret=bytes(32),
    key_statement=STATEMENT,
    revocations=statement_pb2.RevocationExcerpt(head=STATEMENT),
    sent_at=1,
    signature=bytes(64),
)
PLACES_PAGE = search_pb2.PlacesPage(
    department_class="*",
    proof=bytes(32),
    registration_point=POINT,
    serial=bytes(16),
    asker_id="P:wang",
    query_digest=bytes(32),
    sent_at=1,
    signature=bytes(64),
)
MESSAGES = [GRANT, OPENING, REPLY, RECORD_OPENING, RECORD_REPLY, KEY_STATEMENT, REGISTRATION_ANSWER, PLACES_PAGE]
POINT_KINDS = {rules_pb2.KIND_POINT, rules_pb2.KIND_REGISTRATION_POINT}


def rule_of(field: FieldDescriptor) -> rules_pb2.FieldRule:
    return field.GetOptions().Extensions[rules_pb2.rule]


POINT_FIELDS = [
    (message, field.name)
    for message in MESSAGES
    for field in message.DESCRIPTOR.fields
    if rule_of(field).kind in POINT_KINDS
]
SINGULAR_FIELDS = [
    (message, field.name)
    for message in MESSAGES
    for field in message.DESCRIPTOR.fields
    if not field.is_repeated and not rule_of(field).may_be_absent
]


def changed(message, **fields):
    copy = type(message)()
    copy.CopyFrom(message)
    for name, value in fields.items():
        copy.ClearField(name)
        if isinstance(value, list):
            getattr(copy, name).extend(value)
        elif value is not None:
            setattr(copy, name, value)
    return copy


def identify(value):
    return value.DESCRIPTOR.name if hasattr(value, "DESCRIPTOR") else str(value)


@pytest.mark.parametrize("message", MESSAGES, ids=identify)
def test_a_message_by_its_rules_is_parsed(message):
    assert parse(type(message), message.SerializeToString()) == message


@pytest.mark.parametrize(("message", "field"), SINGULAR_FIELDS, ids=identify)
def test_a_missing_field_is_refused(message, field):
    with refused(MissingField):
        check(changed(message, **{field: None}))


def test_a_missing_field_at_depth_is_refused():
    opening = changed(OPENING)
    opening.key_statement.ClearField("signature")
    with refused(MissingField):
        check(opening)


def test_an_unknown_field_is_refused():
    with refused(UnknownField):
        parse(type(GRANT), with_unknown_field(GRANT.SerializeToString()))


def test_an_unknown_field_at_depth_is_refused():
    hospital = search_pb2.IndexHospital(
        hospital_id="H:alpha",
        address="localhost:1",
        key_statement=SignedStatement.FromString(with_unknown_field(STATEMENT.SerializeToString())),
        encryption_key_statement=STATEMENT,
    )
    answer = search_pb2.SearchAnswer(outcome=1, hospitals=[hospital], sent_at=1, proof=bytes(32), signature=bytes(64))
    with refused(UnknownField):
        check(answer)


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", os.urandom(0) + b"\x07"])
def test_bytes_that_are_no_message_are_refused_as_malformed(data):
    with refused(MalformedMessage):
        parse(type(GRANT), data)


def test_an_empty_message_is_refused():
    with refused(MissingField):
        parse(type(GRANT), b"")


@pytest.mark.parametrize(("message", "field"), POINT_FIELDS, ids=identify)
@pytest.mark.parametrize("point", BORROWED_POINTS.values(), ids=BORROWED_POINTS)
def test_an_invalid_point_in_any_point_field_is_refused(message, field, point):
    with refused(PointInvalid):
        check(changed(message, **{field: point}))


def test_every_point_field_of_the_protocol_is_among_those_tested():
    tested = {(message.DESCRIPTOR.full_name, name) for message, name in POINT_FIELDS}
    defined = {
        (descriptor.full_name, field.name)
        for module in (consultation_pb2, record_pb2, registration_pb2, search_pb2, statement_pb2)
        for descriptor in module.DESCRIPTOR.message_types_by_name.values()
        for field in descriptor.fields
        if rule_of(field).kind in POINT_KINDS
    }
    assert defined == tested


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        (OPENING, "signature", bytes(63)),
        (OPENING, "contribution", bytes(31)),
        (GRANT, "grant_id", bytes(17)),
        (GRANT, "deputyship_digest", b""),
        (OPENING, "ephemeral_point", bytes(33)),
    ],
    ids=identify,
)
def test_a_field_of_another_size_is_refused(message, field, value):
    with refused(FieldInvalid):
        check(changed(message, **{field: value}))


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        (REPLY, "doctor_certificate", bytes(4097)),
        (GRANT, "purpose", "x" * 129),
        (KEY_STATEMENT, "credential", bytes(513)),
    ],
    ids=identify,
)
def test_a_field_that_is_too_large_is_refused(message, field, value):
    with refused(MessageTooLarge):
        check(changed(message, **{field: value}))


def test_a_message_that_is_too_large_is_refused_before_it_is_parsed():
    with refused(MessageTooLarge):
        parse(record_pb2.RecordQuery, bytes(100_000_000))


def test_a_sealed_field_of_100_mb_is_refused():
    with refused(MessageTooLarge):
        check(SealedOpening(version=1, session_id=bytes(16), key_id=bytes(16), sealed=bytes(100_000_000), sent_at=1))


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        (OPENING, "patient_id", "D:wang"),
        (OPENING, "patient_id", "P:"),
        (OPENING, "patient_id", "P:" + "w" * 65),
        (OPENING, "patient_id", "P:wang\n"),
        (OPENING, "patient_id", "P:wa ng"),
        (OPENING, "patient_id", "P:wäng"),
        (RECORD_REPLY, "hospital_id", "H:Alpha"),
        (RECORD_REPLY, "hospital_id", "H:-alpha"),
        (RECORD_REPLY, "hospital_id", "H:alpha.evil"),
        (KEY_STATEMENT, "identity", "M:chamber"),
        (GRANT, "hospitals", ["H:alpha", "D:chen"]),
        (GRANT, "department_classes", ["Cardiology"]),
        (GRANT, "hospitals", ["H:a"] * 33),
        (GRANT, "rights", [0]),
        (GRANT, "rights", [99]),
        (KEY_STATEMENT, "role", 0),
        (KEY_STATEMENT, "role", 4),
    ],
    ids=identify,
)
def test_a_field_of_another_form_is_refused(message, field, value):
    with refused(FieldInvalid):
        check(changed(message, **{field: value}))


def test_names_of_one_and_of_64_characters_are_taken():
    for name in ("P:w", "P:" + "w" * 64):
        check(changed(OPENING, patient_id=name))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("patient", "P:wang", "D:wang"),
        ("doctor", "D:chen", "D:"),
        ("hospital", "H:alpha", "H:alpha/cardiology"),
        ("cloud", "C:union", "C:Union"),
        ("authority", "M:chamber", "chamber"),
        ("department", "H:alpha/cardiology.ward-2", "H:alpha"),
        ("department class", "cardiology", "*"),
    ],
)
def test_an_identity_of_another_form_is_refused(kind, good, bad):
    assert require_identity(kind, good) == good
    with refused(FieldInvalid):
        require_identity(kind, bad)


def test_a_department_says_hospital_and_class():
    assert hospital_of("H:alpha/cardiology.ward-2") == "H:alpha"
    assert class_of("H:alpha/cardiology.ward-2") == "cardiology"
    assert class_of("H:alpha/cardiology") == "cardiology"


@pytest.mark.parametrize("purpose", ["ökonsult", "consult\u0430tion", "a\u2028b"])
def test_text_that_is_not_ascii_is_refused_where_no_kind_says_so(purpose):
    """T holds text as ASCII; and what looks like another text is none of it."""
    grant = statement_pb2.Grant()
    grant.CopyFrom(GRANT)
    grant.purpose = purpose
    with refused(FieldInvalid):
        check(grant)


@pytest.mark.parametrize("field", ["not_before", "not_after"])
def test_a_time_after_the_year_9999_is_refused(field):
    grant = statement_pb2.Grant()
    grant.CopyFrom(GRANT)
    setattr(grant, field, LAST_TIME)
    check(grant)
    setattr(grant, field, LAST_TIME + 1)
    with refused(FieldInvalid):
        check(grant)


LEAVES = {"federation.v1.RecordQuery.before"}  # a place in a log, and no moment


def test_every_time_of_the_definitions_has_its_kind():
    """A field that is a moment and is not marked would be shown, or computed with, unbounded."""
    names = re.compile(r"(_at|_update|_after|before)$")
    modules = (consultation_pb2, directory_pb2, record_pb2, registration_pb2, search_pb2, statement_pb2, envelope_pb2)
    modules += (diagnosis_pb2, membership_pb2, publication_pb2, restrictions_pb2, revocation_pb2)
    for module in modules:
        for message in module.DESCRIPTOR.message_types_by_name.values():
            for field in message.fields:
                rule = field.GetOptions().Extensions[rules_pb2.rule]
                is_number = field.type == FieldDescriptor.TYPE_UINT64 and field.full_name not in LEAVES
                assert (rule.kind == rules_pb2.KIND_TIME) == bool(is_number and names.search(field.name)), (
                    field.full_name
                )


def test_bytes_whose_kind_is_one_of_text_are_never_taken():
    """A definition that says so is a fault: nothing could have that form, and nothing may pass for want of it."""
    definition = descriptor_pb2.FileDescriptorProto(name="unit/bytes_of_text.proto", syntax="proto3")
    definition.dependency.append(rules_pb2.DESCRIPTOR.name)
    field = definition.message_type.add(name="BytesOfText").field.add(
        name="identity", number=1, type=FieldDescriptor.TYPE_BYTES, label=FieldDescriptor.LABEL_OPTIONAL
    )
    field.options.Extensions[rules_pb2.rule].kind = rules_pb2.KIND_PATIENT_ID
    pool = descriptor_pool.Default()
    pool.Add(definition)
    message_type = message_factory.GetMessageClass(pool.FindMessageTypeByName("BytesOfText"))
    with pytest.raises(TypeError, match="kind is one of text"):
        check(message_type(identity=b"P:wang"))
