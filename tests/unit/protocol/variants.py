"""Every message that differs from one in a single place: each field, however deep, changed, gone, or cut by its last item."""

from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


def variants(message: M) -> Iterator[tuple[str, M]]:
    """Name the place that differs, "access.consent.grant.signature", and give the message that differs there."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            if value:
                yield from _of_list(message, field, list(value))
        elif message.HasField(field.name):
            yield f"{field.name} gone", _with(message, field, None)
            for place, other in _of_value(field, value):
                yield place, _with(message, field, other)


def _of_list(message: M, field: FieldDescriptor, items: list[Any]) -> Iterator[tuple[str, M]]:
    yield f"{field.name} cut", _with(message, field, items[:-1])
    for place, other in _of_value(field, items[0]):
        yield place, _with(message, field, [other, *items[1:]])


def _of_value(field: FieldDescriptor, value: Any) -> Iterator[tuple[str, Any]]:
    if field.message_type is not None:
        yield from ((f"{field.name}.{place}", other) for place, other in variants(value))
    else:
        yield field.name, _changed(field, value)


def _with(message: M, field: FieldDescriptor, value: Any) -> M:
    other = type(message)()
    other.CopyFrom(message)
    other.ClearField(field.name)
    if field.is_repeated:
        getattr(other, field.name).extend(value)
    elif isinstance(value, Message):
        getattr(other, field.name).CopyFrom(value)
    elif value is not None:
        setattr(other, field.name, value)
    return other


def _changed(field: FieldDescriptor, value: Any) -> Any:
    """Return another value that keeps the field's rules, as far as one can know."""
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    if isinstance(value, str):
        return value[:-1] + ("x" if value[-1] != "x" else "y")
    if field.enum_type is not None:
        return next(it.number for it in field.enum_type.values if it.number not in (0, value))
    return value + 1
