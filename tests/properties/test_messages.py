"""Properties of parsing: what a message's own definition says is held, at every depth."""

from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.errors import FieldInvalid, MalformedMessage, MessageTooLarge, MissingField, UnknownField
from federation.protocol.parsing import parse
from tests.properties.strategies import TYPES, inside, is_required, messages, rule_of

every_type = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.DESCRIPTOR.name)
moderately = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
UNKNOWN = st.integers(100, 2**28).map(lambda number: _varint(number << 3) + b"\x01")


@every_type
def test_parse_after_encode_is_the_identity(kind: type[Message]) -> None:
    @moderately
    @given(messages(kind))
    def holds(message: Message) -> None:
        encoded = message.SerializeToString(deterministic=True)
        parsed = parse(kind, encoded)
        assert parsed == message
        assert parsed.SerializeToString(deterministic=True) == encoded

    holds()


@every_type
def test_message_with_an_unknown_field_anywhere_is_refused(kind: type[Message]) -> None:
    @moderately
    @given(messages(kind), UNKNOWN, st.data())
    def holds(message: Message, unknown: bytes, data: st.DataObject) -> None:
        data.draw(st.sampled_from(list(inside(message)))).MergeFromString(unknown)
        with pytest.raises(UnknownField):
            parse(kind, message.SerializeToString())

    holds()


@every_type
def test_message_without_a_required_field_anywhere_is_refused(kind: type[Message]) -> None:
    @moderately
    @given(messages(kind), st.data())
    def holds(message: Message, data: st.DataObject) -> None:
        required = [
            (part, field.name) for part in inside(message) for field in part.DESCRIPTOR.fields if is_required(field)
        ]
        if not required:
            return
        part, name = data.draw(st.sampled_from(required))
        part.ClearField(name)
        with pytest.raises(MissingField):
            parse(kind, message.SerializeToString())

    holds()


@every_type
def test_message_with_a_value_against_its_rule_is_refused(kind: type[Message]) -> None:
    @moderately
    @given(messages(kind), st.data())
    def holds(message: Message, data: st.DataObject) -> None:
        ruled = [
            (part, field) for part in inside(message) for field, value in part.ListFields() if _spoilt(field, value)
        ]
        if not ruled:
            return
        part, field = data.draw(st.sampled_from(ruled))
        setattr(part, field.name, _spoilt(field, getattr(part, field.name)))
        with pytest.raises((FieldInvalid, MessageTooLarge)):
            parse(kind, message.SerializeToString())

    holds()


@every_type
def test_any_bytes_are_parsed_or_refused_with_a_reason(kind: type[Message]) -> None:
    @settings(max_examples=30, deadline=None)
    @given(st.binary(max_size=200))
    def holds(data: bytes) -> None:
        try:
            parse(kind, data)
        except MalformedMessage:
            return

    holds()


def _spoilt(field: Any, value: Any) -> Any:
    """Give a value that breaks the field's rule, or None where a single value can't."""
    rule = rule_of(field)
    if field.is_repeated or field.message_type is not None:
        return None
    if isinstance(value, bytes) and (rule.kind or rule.max_size):
        return bytes(rule.max_size + 1) if rule.max_size else value + b"\x00"
    if isinstance(value, str) and (rule.kind or rule.max_size):
        return "x" * (rule.max_size + 1) if rule.max_size else value + "\n"
    return None


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])
