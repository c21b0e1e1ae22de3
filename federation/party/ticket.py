"""A registration ticket as a person reads it: 16 bytes in base32 (RFC 4648, section 6), in groups of four.

It is shown once, at an enrolment desk or by the cloud's operator, as text and as QR, and typed or scanned elsewhere.
"""

import base64
import binascii

from federation.errors import TicketInvalid

TICKET_BYTES = 16
_GROUP = 4
_PADDING = "=" * 6


def ticket_text(ticket: bytes) -> str:
    """Write a ticket: `ABCD-EFGH-...`, 26 letters and digits."""
    letters = base64.b32encode(ticket).decode().rstrip("=")
    return "-".join(letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP))


def parse_ticket(text: str) -> bytes:
    """Read a ticket; case, white space and dashes are no part of it. Raises TicketInvalid."""
    letters = "".join(text.upper().replace("-", " ").split())
    try:
        ticket = base64.b32decode(letters + _PADDING)
    except (binascii.Error, ValueError) as error:
        raise TicketInvalid("this is no ticket: it has 26 letters and digits, in groups of four") from error
    if len(ticket) != TICKET_BYTES or ticket_text(ticket).replace("-", "") != letters:
        raise TicketInvalid("this ticket is damaged: it has 26 letters and digits, in groups of four")
    return ticket
