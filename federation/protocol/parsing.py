"""Strict parsing of messages by the rules in their own definitions (protos/federation/v1/rules.proto).

Explicit presence: a missing field is refused unless its rule says that it may be absent; an unknown field is refused at any
depth. Received points are checked here too, so no later step can forget (B6).

What a type's rules ask is compiled once, to one function for each field, and only run for each message.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from federation.errors import FieldInvalid, MalformedMessage, MessageTooLarge, MissingField, PointInvalid, UnknownField
from federation.protocol.addresses import is_address
from federation.v1 import rules_pb2 as rules
from keystore.curve import require_point, require_registration_point, verifying_point
from keystore.errors import InvalidPoint
from keystore.identities import FORMS

M = TypeVar("M", bound=Message)

_FORMS = {
    rules.KIND_PATIENT_ID: FORMS["patient"],
    rules.KIND_DOCTOR_ID: FORMS["doctor"],
    rules.KIND_HOSPITAL_ID: FORMS["hospital"],
    rules.KIND_CLOUD_ID: FORMS["cloud"],
    rules.KIND_AUTHORITY_ID: FORMS["authority"],
    rules.KIND_PARTY_ID: FORMS["party"],
    rules.KIND_DEPARTMENT_CLASS: FORMS["department class"],
    rules.KIND_DEPARTMENT_CLASS_OR_ANY: FORMS["department class or any"],
    rules.KIND_DEPARTMENT_ID: FORMS["department"],
    rules.KIND_HOSPITAL_ID_OR_ANY: FORMS["hospital or any"],
    rules.KIND_DOCTOR_SCOPE: FORMS["doctor scope"],
}
_SIZES = {
    rules.KIND_POINT: {32},
    rules.KIND_REGISTRATION_POINT: {32},
    rules.KIND_SIGNATURE: {64},
    rules.KIND_DIGEST: {32},
    rules.KIND_ID16: {16},
    rules.KIND_SESSION_ID: {0, 16},
    rules.KIND_BYTES32: {32},
    rules.KIND_VERIFYING_KEY: {33},
    rules.KIND_ENCAPSULATION_KEY: {1249},
}
_POINTS: dict["rules.Kind.ValueType", Callable[[bytes], object]] = {
    rules.KIND_POINT: require_point,
    rules.KIND_REGISTRATION_POINT: require_registration_point,
    rules.KIND_VERIFYING_KEY: verifying_point,
}
LAST_TIME = 253_402_300_799_999
"""The last millisecond of the year 9999: what no calendar shows ends the visit of whoever is shown it."""


def parse(message_type: type[M], data: bytes) -> M:
    """Parse a payload or statement and check it by its rules. Raises MalformedMessage."""
    limit = payload_rule(message_type.DESCRIPTOR).max_size
    if limit and len(data) > limit:
        raise MessageTooLarge(f"{message_type.DESCRIPTOR.name} has {len(data)} bytes of {limit}")
    message = message_type()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MalformedMessage(f"not a {message_type.DESCRIPTOR.name}") from error
    check(message)
    return message


def check(message: Message) -> None:
    """Check a parsed message by its rules, at every depth. Raises MalformedMessage."""
    if len(UnknownFieldSet(message)):
        raise UnknownField(f"{message.DESCRIPTOR.name} has a field that its definition does not have")
    for check_field in _field_checks(message.DESCRIPTOR):
        check_field(message)


def is_identity(kind: "rules.Kind.ValueType", value: str) -> bool:
    """Return whether the text has the form of that kind of identity."""
    form = _form(kind)
    return form is not None and bool(form(value))


def _form(kind: "rules.Kind.ValueType") -> Callable[[str], object] | None:
    """Return what says of a text, by something that is true, that it has the form of a kind; None for a kind without."""
    if kind == rules.KIND_ADDRESS:
        return is_address
    pattern = _FORMS.get(kind)
    return None if pattern is None else pattern.fullmatch


@cache
def payload_rule(descriptor: Descriptor) -> rules.PayloadRule:
    """Return the rule of a sealed payload."""
    return descriptor.GetOptions().Extensions[rules.payload]


@cache
def _field_rule(field: FieldDescriptor) -> rules.FieldRule:
    return field.GetOptions().Extensions[rules.rule]


def field_rule(message_type: type[Message], name: str) -> rules.FieldRule:
    """Return the rule of a message's field."""
    return _field_rule(cast("FieldDescriptor", message_type.DESCRIPTOR.fields_by_name[name]))


@cache
def _field_checks(descriptor: Descriptor) -> tuple[Callable[[Message], None], ...]:
    """Return what checks the fields of a message, in the order of its definition."""
    return tuple(_field_check(field) for field in descriptor.fields)


def _field_check(field: FieldDescriptor) -> Callable[[Message], None]:
    rule, name = _field_rule(field), field.name
    check_value = _value_check(field, rule)
    if field.is_repeated:
        return _repeated_check(field, rule.max_items, check_value)
    may_be_absent = rule.may_be_absent or _in_real_oneof(field)

    def check_singular(message: Message) -> None:
        if message.HasField(name):
            check_value(getattr(message, name))
        elif not may_be_absent:
            raise MissingField(f"{field.full_name} is missing")

    return check_singular


def _repeated_check(
    field: FieldDescriptor, max_items: int, check_value: Callable[[Any], None]
) -> Callable[[Message], None]:
    name = field.name

    def check_repeated(message: Message) -> None:
        values = getattr(message, name)
        if len(values) > max_items:
            raise FieldInvalid(f"{field.full_name} has more than {max_items} elements")
        for value in values:
            check_value(value)

    return check_repeated


def _in_real_oneof(field: FieldDescriptor) -> bool:
    """Return whether presence is the oneof's affair; the one synthetic oneof of `optional` is named after its field."""
    return field.containing_oneof is not None and field.containing_oneof.name != f"_{field.name}"


def _value_check(field: FieldDescriptor, rule: rules.FieldRule) -> Callable[[Any], None]:
    """Return what checks one value of a field, or one element of a repeated one."""
    if field.message_type is not None:
        return check
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text_check(field, rule)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes_check(field, rule)
    if field.enum_type is not None:
        return _enum_check(field, field.enum_type)
    return _time_check(field) if rule.kind == rules.KIND_TIME else _anything


def _anything(value: object) -> None:
    """Take any number or truth value: its type says all."""


def _enum_check(field: FieldDescriptor, enum: EnumDescriptor) -> Callable[[int], None]:
    defined = frozenset(value.number for value in enum.values if value.number)

    def check_enum(value: int) -> None:
        if value not in defined:
            raise FieldInvalid(f"{field.full_name} has a value that its definition does not have")

    return check_enum


def _time_check(field: FieldDescriptor) -> Callable[[int], None]:
    def check_time(value: int) -> None:
        if value > LAST_TIME:
            raise FieldInvalid(f"{field.full_name} lies after the year 9999")

    return check_time


def _text_check(field: FieldDescriptor, rule: rules.FieldRule) -> Callable[[str], None]:
    check_size, form = _size_check(field, rule), _form(rule.kind)

    def check_text(value: str) -> None:
        if not value.isascii():
            raise FieldInvalid(f"{field.full_name} is not ASCII")
        check_size(value)
        if form is not None and not form(value):
            raise FieldInvalid(f"{field.full_name} has not the form of its kind")

    return check_text


def _bytes_check(field: FieldDescriptor, rule: rules.FieldRule) -> Callable[[bytes], None]:
    check_size, require = _size_check(field, rule), _POINTS.get(rule.kind)
    if _form(rule.kind) is not None:
        raise TypeError(f"{field.full_name} holds bytes, and its kind is one of text")
    if require is None:
        return check_size

    def check_point(value: bytes) -> None:
        check_size(value)
        try:
            require(value)
        except InvalidPoint as error:
            raise PointInvalid(f"{field.full_name}: {error}") from error

    return check_point


def _size_check(field: FieldDescriptor, rule: rules.FieldRule) -> Callable[[bytes | str], None]:
    most, sizes = rule.max_size, _SIZES.get(rule.kind)

    def check_size(value: bytes | str) -> None:
        if most and len(value) > most:
            raise MessageTooLarge(f"{field.full_name} has {len(value)} bytes of {most}")
        if sizes is not None and len(value) not in sizes:
            raise FieldInvalid(f"{field.full_name} has {len(value)} bytes")

    return check_size
