"""The doctor's code: what the patient scans, or types, to reach one doctor and nobody else (X13, B4).

    medunion://<host:port>/<hospital label>/<room>/<digest>/<check>

Room (16 bytes), digest (32 bytes) and check (3 bytes) are base64url without padding. There is one spelling: parsing and
writing again gives the same text. The digest is SHA-256(T("code", KS_D, its signature, Cert_D)), so that a relay that
lies is found out. The check is the beginning of the SHA-256 of all before its slash: what is mistyped is refused where
it is typed, and nobody is dialled.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field

from federation.person.errors import CodeInvalid
from federation.protocol.parsing import is_identity
from federation.v1 import rules_pb2 as rules
from keystore.identities import HOSPITAL, HospitalId

_FORM = re.compile(r"medunion://([^/]+)/([^/]+)/([A-Za-z0-9_-]{22})/([A-Za-z0-9_-]{43})/[A-Za-z0-9_-]{4}")
_CHECK_BYTES = 3


@dataclass(frozen=True)
class DoctorCode:
    """Where the relay is, whose it is (its TLS name), the room, and whom to expect there. The room stays out of the repr."""

    address: str
    hospital_id: HospitalId
    room_id: bytes = field(repr=False)
    digest: bytes

    def __str__(self) -> str:
        """Write the code."""
        text = f"medunion://{self.address}/{self.hospital_id[2:]}/{_encode(self.room_id)}/{_encode(self.digest)}"
        return f"{text}/{_encode(hashlib.sha256(text.encode()).digest()[:_CHECK_BYTES])}"

    @classmethod
    def parse(cls, text: str) -> "DoctorCode":
        """Read a code; white space around it is no part of it. Raises CodeInvalid."""
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise CodeInvalid("This is no doctor's code: it reads medunion://address/hospital/room/digest/check.")
        code = cls(match[1], HospitalId(f"{HOSPITAL}{match[2]}"), _decode(match[3]), _decode(match[4]))
        well_formed = is_identity(rules.KIND_ADDRESS, code.address) and is_identity(
            rules.KIND_HOSPITAL_ID, code.hospital_id
        )
        if not well_formed or str(code) != text.strip():
            raise CodeInvalid("This doctor's code is mistyped or damaged: look at it again, or ask for it again.")
        return code


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise CodeInvalid("This doctor's code is damaged; ask for it again.") from error
