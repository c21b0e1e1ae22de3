"""Messages of every type, built from their descriptors and the rules in their own definitions (rules.proto)."""

from collections.abc import Iterator
from functools import cache
from string import ascii_letters, ascii_lowercase, digits
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from federation.protocol.parsing import LAST_TIME
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
    search_pb2,
    statement_pb2,
)
from federation.v1 import rules_pb2 as rules
from keystore.curve import compressed, private_key, x_of

MODULES = (
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
    search_pb2,
    statement_pb2,
)
TYPES: tuple[type[Message], ...] = tuple(
    GetMessageClass(descriptor) for module in MODULES for descriptor in module.DESCRIPTOR.message_types_by_name.values()
)
MOST_BYTES, MOST_ITEMS = 48, 2

_names = st.text(ascii_letters + digits + "._-", min_size=1, max_size=64)
_labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
_classes = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
_hospitals = _labels.map("H:{}".format)
_any = st.just("*")
_keys = [private_key(number.to_bytes(32, "big")).public_key() for number in range(2, 18)]
_points = st.sampled_from([x_of(key) for key in _keys])
_verifying_keys = st.sampled_from([compressed(key) for key in _keys])
_TEXTS: dict[int, SearchStrategy[str]] = {
    rules.KIND_PATIENT_ID: _names.map("P:{}".format),
    rules.KIND_DOCTOR_ID: _names.map("D:{}".format),
    rules.KIND_HOSPITAL_ID: _hospitals,
    rules.KIND_CLOUD_ID: _labels.map("C:{}".format),
    rules.KIND_AUTHORITY_ID: _names.map("M:{}".format),
    rules.KIND_PARTY_ID: _names.map("P:{}".format) | _hospitals | _labels.map("C:{}".format),
    rules.KIND_DEPARTMENT_CLASS: _classes,
    rules.KIND_DEPARTMENT_CLASS_OR_ANY: _classes | _any,
    rules.KIND_DEPARTMENT_ID: st.builds(
        "{}/{}.{}".format, _hospitals, _classes, st.text(ascii_lowercase, min_size=1, max_size=32)
    ),
    rules.KIND_HOSPITAL_ID_OR_ANY: _hospitals | _any,
    rules.KIND_ADDRESS: st.builds(
        "{}:{}".format,
        st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
        | st.ip_addresses(v=4).map(str)
        | st.ip_addresses(v=6).map("[{}]".format),
        st.integers(1, 65535),
    ),
    rules.KIND_DOCTOR_SCOPE: _names.map("D:{}".format) | _names.map(lambda name: f"D:{name[1:]}*"),
}
_BYTES: dict[int, SearchStrategy[bytes]] = {
    rules.KIND_POINT: _points,
    rules.KIND_REGISTRATION_POINT: _points,
    rules.KIND_VERIFYING_KEY: _verifying_keys,
    rules.KIND_SIGNATURE: st.binary(min_size=64, max_size=64),
    rules.KIND_DIGEST: st.binary(min_size=32, max_size=32),
    rules.KIND_ID16: st.binary(min_size=16, max_size=16),
    rules.KIND_SESSION_ID: st.binary(min_size=16, max_size=16) | st.just(b""),
    rules.KIND_BYTES32: st.binary(min_size=32, max_size=32),
    rules.KIND_ENCAPSULATION_KEY: st.binary(min_size=8, max_size=8).map(lambda seed: (seed * 157)[:1249]),
}
_times = st.integers(0, LAST_TIME)
_NUMBERS: dict[int, SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
}


@cache
def messages(kind: type[Message]) -> SearchStrategy[Message]:
    """Messages of a type that keep every rule."""
    descriptor: Descriptor = kind.DESCRIPTOR
    plain = {field.name: _field(field) for field in descriptor.fields if not in_oneof(field)}
    choices = [_choice(oneof.fields) for oneof in descriptor.oneofs if in_oneof(oneof.fields[0])]
    return st.builds(_build, st.just(kind), st.fixed_dictionaries(plain), *choices)


def rule_of(field: FieldDescriptor) -> rules.FieldRule:
    """The rule of a field, from its definition."""
    return field.GetOptions().Extensions[rules.rule]


def in_oneof(field: FieldDescriptor) -> bool:
    """Whether the field is one of several alternatives."""
    return field.containing_oneof is not None and len(field.containing_oneof.fields) > 1


def is_required(field: FieldDescriptor) -> bool:
    """Whether a message without the field breaks its rules."""
    return not (field.is_repeated or rule_of(field).may_be_absent or in_oneof(field))


def inside(message: Message) -> Iterator[Message]:
    """The message and every message in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for element in value if field.is_repeated else (value,):
                yield from inside(element)


def _build(kind: type[Message], plain: dict[str, Any], *choices: dict[str, Any]) -> Message:
    present = {name: value for name, value in plain.items() if value is not None}
    for choice in choices:
        present |= choice
    return kind(**present)


def _choice(fields: list[FieldDescriptor]) -> SearchStrategy[dict[str, Any]]:
    one = [st.fixed_dictionaries({field.name: _value(field)}) for field in fields]
    return st.one_of(st.just({}), *one)


def _field(field: FieldDescriptor) -> SearchStrategy[Any]:
    value = _value(field)
    if field.is_repeated:
        return st.lists(value, max_size=min(MOST_ITEMS, rule_of(field).max_items))
    return st.none() | value if rule_of(field).may_be_absent else value


def _value(field: FieldDescriptor) -> SearchStrategy[Any]:
    rule = rule_of(field)
    if field.message_type is not None:
        return messages(GetMessageClass(field.message_type))
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values if value.number])
    most = min(rule.max_size or MOST_BYTES, MOST_BYTES)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _TEXTS.get(rule.kind, st.text(ascii_letters + " .", max_size=most))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _BYTES.get(rule.kind, st.binary(max_size=most))
    return _times if rule.kind == rules.KIND_TIME else _NUMBERS[field.type]
