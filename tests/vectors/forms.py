"""The forms of fields: each vector is a message with one field of a kind, to be parsed by the rules of its definition."""

from google.protobuf.message import Message

from federation.v1.directory_pb2 import MedicalAuthority
from federation.v1.membership_pb2 import EncryptionKeyRenewal
from federation.v1.record_pb2 import DepositReceipt
from federation.v1.statement_pb2 import SignedStatement
from tests.vectors.draws import Json

LABEL = "a" * 63
ADDRESSES = (
    "localhost:1",
    "a:65535",
    "h-1.example.org:443",
    "1a.example:1",
    "EXAMPLE.org:443",
    f"{LABEL}.{LABEL}.{LABEL}.{'a' * 61}:1",
    "127.0.0.1:4443",
    "255.255.255.255:1",
    "[::1]:443",
    "[2001:db8::8:800:200c:417a]:443",
    "[2001:DB8:0:0:8:800:200C:417A]:443",
    "[::ffff:192.0.2.1]:443",
    "[1:2:3:4:5:6:7::]:1",
)
NO_ADDRESSES = (
    "",
    ":1",
    "localhost",
    "localhost:",
    "localhost:0",
    "localhost:065",
    "localhost:99999",
    "localhost:65536",
    "localhost:100000",
    "localhost:+1",
    "localhost: 1",
    " localhost:1",
    "localhost:1 ",
    "localhost:1\n",
    "unix:/tmp/socket",
    "unix-abstract:evil:1",
    "vsock:1:2",
    "xds:///x:1",
    "dns:///x:1",
    "ipv4:127.0.0.1:1",
    "https://x:1",
    "user@x:1",
    "x/y:1",
    "x%41:1",
    "a..b:1",
    ".a:1",
    "a.:1",
    "-a.b:1",
    "a-.b:1",
    "a_b:1",
    f"{LABEL}a:1",
    f"{LABEL}.{LABEL}.{LABEL}.{'a' * 62}:1",
    "127.1:1",
    "127.0.0:1",
    "2130706433:1",
    "0x7f.0.0.1:1",
    "0177.0.0.1:1",
    "127.0.0.01:1",
    "256.0.0.1:1",
    "1.2.3.4.5:1",
    "example.1a:1",
    "::1:443",
    "[::1]",
    "[::1%lo]:1",
    "[::1%25lo]:1",
    "[]:1",
    "[1.2.3.4]:1",
    "[:::]:1",
    "[1::2::3]:1",
    "[1:2:3:4:5:6:7:8:9]:1",
    "[12345::]:1",
    "[::ffff:192.0.2.01]:443",
    "[::1:443",
    "[localhost]:1",
)
SCOPES = ("D:*", "D:li", "D:ro*", "D:" + "a" * 64, "D:" + "a" * 63 + "*")
NO_SCOPES = ("", "*", "D:", "D:**", "D:a*b", "D:*a", "P:*", "D:a b", "D:" + "a" * 65, "D:" + "a" * 64 + "*", "d:*")
LAST_TIME = 253_402_300_799_999


def vectors() -> list[Json]:
    """Give a message for each value, and whether it parses."""
    found = []
    for expect, addresses in (("success", ADDRESSES), ("FIELD_INVALID", NO_ADDRESSES)):
        found += [_vector("KIND_ADDRESS", "address", value, _renewal(value), expect) for value in addresses]
    for expect, scopes in (("success", SCOPES), ("FIELD_INVALID", NO_SCOPES)):
        found += [_vector("KIND_DOCTOR_SCOPE", "doctor_ids", value, _authority(value), expect) for value in scopes]
    for moment in (0, LAST_TIME, LAST_TIME + 1, 2**63, 2**64 - 1):
        expect = "success" if moment <= LAST_TIME else "FIELD_INVALID"
        # A string: readers of JSON that know no integers beyond 2^53 lose nothing.
        found.append(_vector("KIND_TIME", "stored_at", str(moment), _receipt(moment), expect))
    return found


def _vector(kind: str, field: str, value: str, message: Message, expect: str) -> Json:
    return {
        "name": f"{kind} {value}",
        "expect": expect,
        "kind": kind,
        "message_type": message.DESCRIPTOR.full_name,
        "field": field,
        "value": value,
        "message": message.SerializeToString(deterministic=True).hex(),
    }


def _renewal(address: str) -> EncryptionKeyRenewal:
    statement = SignedStatement(statement=b"statement", signature=bytes(64))
    return EncryptionKeyRenewal(encryption_key_statement=statement, address=address, sent_at=1, signature=bytes(64))


def _authority(scope: str) -> MedicalAuthority:
    return MedicalAuthority(authority_id="M:chamber", certificate=b"certificate", doctor_ids=[scope])


def _receipt(moment: int) -> DepositReceipt:
    return DepositReceipt(deposit_digest=bytes(32), handle=bytes(16), version=1, stored_at=moment)
