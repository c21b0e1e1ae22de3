"""A ticket as a person types it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import TicketInvalid
from federation.party.registration import parse_ticket, ticket_text


@given(st.binary(min_size=16, max_size=16))
def test_what_is_written_is_read_however_it_is_typed(ticket: bytes) -> None:
    text = ticket_text(ticket)
    for typed in (text, text.lower(), text.replace("-", ""), f"  {text.replace('-', ' ')}\n"):
        assert parse_ticket(typed) == ticket


@pytest.mark.parametrize("text", ["", "ABCD", "1" * 28, "A" * 27, "A" * 28, "A" * 27 + "B", "ticket"])
def test_what_is_no_ticket_is_refused_ticket_invalid(text: str) -> None:
    with pytest.raises(TicketInvalid):
        parse_ticket(text)
