"""The table of methods: who may call each, with how large a message. It is total, and what is not in it is denied.

Patients and doctors come without a client certificate (B8): a method for ANYONE proves its sender inside the message. A method
for a HOSPITAL asks for a client certificate under the federation's CA, whose TLS name says which hospital calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Any, TypeAlias

import grpc

from federation.errors import IdentityMismatch, MethodNotServed, RoleForbidden
from federation.protocol.sealing import after_opening
from keystore.identities import HOSPITAL
from keystore.x509 import identity_of_tls_name

LONGEST_SINGLE = timedelta(seconds=30)


class Caller(Enum):
    """Who may call a method, as far as the connection shows it."""

    NOBODY = auto()
    ANYONE = auto()
    HOSPITAL = auto()


@dataclass(frozen=True)
class MethodRule:
    """The rule of one method. An opener makes the server work before it knows the caller, so its rate is bounded.

    `longest` is how long a call may last whatever deadline the caller set; a follower calls again when it ends. `signs_anew`:
    its first answer is signed over what a stranger chose, so that it leaves at a coarse step of time.
    """

    caller: Caller
    most_request_bytes: int
    is_opener: bool = True
    most_response_bytes: int = 65_536
    longest: timedelta = LONGEST_SINGLE
    signs_anew: bool = False

    @property
    def lasts(self) -> bool:
        """Return whether its calls go on: streams that wait for news, and sessions."""
        return self.longest > LONGEST_SINGLE


DENIED = MethodRule(Caller.NOBODY, 0)
_EMPTY = 64
_NAMED = 256
_HELD = 64 * 34 + 64
_SHARDS = 512 + _HELD
_ROOM = 16_384
_HEAD = 16_384
_FRAME = 1_114_112 + 8_192
_LISTS = 2 * 1024 * 1024
_LONGEST_STREAM = timedelta(hours=1)
_LONGEST_FOLLOWING = timedelta(minutes=15)


def _sealed(payload_bytes: int) -> int:
    """Return the size of a SealedOpening around a payload of at most so many bytes: seal, padding and clear fields."""
    return payload_bytes + 2_048


def _anyone(most_request_bytes: int, **bounds: Any) -> MethodRule:  # noqa: ANN401 - the fields of MethodRule
    return MethodRule(Caller.ANYONE, most_request_bytes, **bounds)


def _hospital(most_request_bytes: int, **bounds: Any) -> MethodRule:  # noqa: ANN401 - as of _anyone
    return MethodRule(Caller.HOSPITAL, most_request_bytes, **bounds)


_SERVICES: dict[str, dict[str, MethodRule]] = {
    "federation.v1.DirectoryService": {
        "GetDirectory": _anyone(_HELD, is_opener=False, most_response_bytes=_LISTS),
        "GetRevocationShards": _anyone(_SHARDS, is_opener=False, most_response_bytes=_LISTS),
        "GetAllRevocationShards": _anyone(_HELD, most_response_bytes=_LISTS, longest=_LONGEST_FOLLOWING),
        "GetTrustBundles": _anyone(_EMPTY, is_opener=False, most_response_bytes=_LISTS),
        "WatchDirectory": _anyone(_HELD, most_response_bytes=_LISTS, longest=_LONGEST_STREAM),
    },
    "federation.v1.RegistrationService": {
        "OpenRegistration": _anyone(_EMPTY),
        "Register": _anyone(_sealed(16_384), signs_anew=True),
    },
    "federation.v1.SearchService": {
        "Search": _anyone(_sealed(16_384), most_response_bytes=262_144, signs_anew=True),
    },
    "federation.v1.MembershipService": {
        "PutEncryptionKey": _anyone(_sealed(4_096)),
        "CertifyTlsIdentity": _anyone(_sealed(8_192)),
        "IssueTicket": _hospital(_sealed(1_024)),
    },
    "federation.v1.PublicationService": {"Publish": _hospital(_sealed(2_048))},
    "federation.v1.RevocationService": {"Revoke": _anyone(_sealed(32_768), most_response_bytes=_LISTS)},
    "federation.v1.RestrictionService": {
        "Restrict": _anyone(_sealed(32_768)),
        "FetchRestrictions": _hospital(_sealed(8_192), most_response_bytes=_LISTS),
    },
    "federation.v1.RelayService": {
        "OpenRoom": _anyone(_ROOM),
        "GetRoom": _anyone(_NAMED, most_response_bytes=_LISTS),
        "PutFrame": _anyone(_FRAME, is_opener=False),
        "CloseRoom": _anyone(_NAMED),
        "FollowFrames": _anyone(_NAMED, is_opener=False, most_response_bytes=_FRAME, longest=_LONGEST_FOLLOWING),
    },
    "federation.v1.RecordService": {
        "OpenSession": _anyone(_FRAME, most_response_bytes=_FRAME, longest=_LONGEST_STREAM, signs_anew=True),
        "GetHospital": _anyone(_EMPTY, is_opener=False),
        "GetDuty": _anyone(_ROOM),
        "GetHospitalShards": _anyone(_SHARDS, most_response_bytes=_LISTS),
    },
    "federation.v1.LogService": {
        "GetLogHead": _anyone(_NAMED),
        "GetLogTile": _anyone(_EMPTY),
        "GetConsistency": _anyone(_EMPTY),
        "GetTimeStamp": _anyone(_EMPTY),
        "Cosign": _anyone(_HEAD, signs_anew=True),
    },
    "grpc.health.v1.Health": {
        "Check": _anyone(_NAMED, is_opener=False),
        # Health is asked for; who watches it does that at the admin server.
        "Watch": MethodRule(Caller.NOBODY, _NAMED),
    },
}
METHODS: Mapping[str, MethodRule] = {
    f"/{service}/{method}": rule for service, methods in _SERVICES.items() for method, rule in methods.items()
}

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def rule_of(method: str) -> MethodRule:
    """Return the rule of a method, `/package.Service/Method`; one that is not in the table is for nobody."""
    return METHODS.get(method, DENIED)


def calling_hospital(context: ServicerContext) -> str | None:
    """Return the hospital that the client certificate names; None without a certificate, or with one of another kind.

    The DNS names alone: they are what an identity CA is constrained in (`keystore.x509_lint.name_constraints`).
    """
    entries: Any = context.auth_context().get("peer_dns", ())
    names = [identity_of_tls_name(entry.decode("ascii", "replace")) for entry in entries]
    identity = names[0] if len(names) == 1 else None
    return identity if identity is not None and identity.startswith(HOSPITAL) else None


def require_caller(rule: MethodRule, hospital: str | None) -> None:
    """Raise MethodNotServed for a rule for nobody, RoleForbidden unless the hospital that calls is one where the rule asks."""
    if rule.caller is Caller.NOBODY:
        raise MethodNotServed("this port does not serve that method")  # rpc.3
    if rule.caller is Caller.HOSPITAL and hospital is None:
        raise RoleForbidden("this method is for hospitals, by mutual TLS")  # rpc.4


def require_same_hospital(calling: str | None, hospital_id: str) -> None:
    """Require the hospital in a payload to be the one on the connection. Raises Rejected."""
    with after_opening():
        if calling is None or calling != hospital_id:
            raise IdentityMismatch("the message names another hospital than the client certificate")
