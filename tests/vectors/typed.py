"""What people type: tickets and doctors' codes with what they say, and what is mistyped, which is refused where it is typed."""

import base64
import hashlib

from federation.party.registration import ticket_text
from federation.person.code import DoctorCode
from keystore.identities import HospitalId
from tests.vectors.draws import Json

TICKETS = (bytes(16), bytes(range(16)), b"\xff" * 16)
CODES = (
    DoctorCode("relay.example:7443", HospitalId("H:beta"), bytes(range(16)), bytes(range(32))),
    DoctorCode("[::1]:443", HospitalId("H:a-1"), b"\xff" * 16, bytes(32)),
    DoctorCode("localhost:1", HospitalId("H:alpha"), bytes(16), b"\xff" * 32),
)


def vectors() -> list[Json]:
    """Give each text as it is typed, and what it says or why it is refused."""
    return [*_tickets(), *_codes()]


def _tickets() -> list[Json]:
    found = []
    for ticket in TICKETS:
        text = ticket_text(ticket)
        spellings = text, text.lower(), text.replace("-", ""), f" {text.replace('-', ' ')} "
        found += [_ticket(typed, "success") | {"ticket": ticket.hex()} for typed in spellings]
    text = ticket_text(TICKETS[1])
    without = base64.b32encode(TICKETS[1]).decode().rstrip("=")
    return found + [
        _ticket(typed, "TICKET_INVALID") for typed in (*_mistyped(text.replace("-", "")), without, "", "1" * 28)
    ]


def _codes() -> list[Json]:
    found = [
        _code(typed, "success")
        | {"address": it.address, "hospital_id": it.hospital_id, "room_id": it.room_id.hex(), "digest": it.digest.hex()}
        for it in CODES
        for typed in (str(it), f" {it} ")
    ]
    code = CODES[0]
    elsewhere = DoctorCode("relay.exarnple:7443", code.hospital_id, code.room_id, code.digest)
    check = str(code).rpartition("/")[2]
    others = (
        f"{str(elsewhere).rpartition('/')[0]}/{check}",  # an address that is mistyped
        str(code).replace("/beta/", "/beat/"),
        str(code).rpartition("/")[0],
        f"{code}=",
        *(
            str(DoctorCode(address, code.hospital_id, code.room_id, code.digest))
            for address in ("relay.example", "b:99999")
        ),
        *(str(DoctorCode(code.address, HospitalId(it), code.room_id, code.digest)) for it in ("H:BETA", "H:H:beta")),
        _checked(str(code).rpartition("/")[0][:-1] + "9"),  # other unused bits: another spelling of the same digest
        f"{code}/",
        str(code).upper(),
        "",
    )
    return found + [
        _code(typed, "CODE_INVALID")
        for typed in (*_mistyped(str(code), len("medunion://relay.example:7443/beta/")), *others)
    ]


def _checked(text: str) -> str:
    """Give a text with its check."""
    return f"{text}/{base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:3]).decode()}"


def _mistyped(text: str, first: int = 0) -> list[str]:
    """Give the text with one letter more, one less, one that is another, and two that changed places."""
    places = [place for place in range(first, len(text) - 1) if "/" not in text[place : place + 2]]
    found = [text[:-1], f"{text}A", text[: places[3]] + text[places[3] + 1 :]]
    for place in places[::5]:
        letter = "B" if text[place] != "B" else "C"
        found.append(text[:place] + letter + text[place + 1 :])
        if text[place] != text[place + 1]:
            found.append(text[:place] + text[place + 1] + text[place] + text[place + 2 :])
    return found


def _ticket(text: str, expect: str) -> Json:
    return {"name": f"ticket {text!r}", "expect": expect, "kind": "ticket", "text": text}


def _code(text: str, expect: str) -> Json:
    return {"name": f"code {text!r}", "expect": expect, "kind": "code", "text": text}
