"""A node and those it talks to: dialled by TLS as a call would, so that what is wrong is told apart."""

import os
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from federation.check.findings import Examined, Finding, Verdict, remedy_of
from federation.check.membership import tls_identity
from federation.errors import FieldInvalid, Unavailable
from federation.monitor.conditions import conditions
from federation.protocol.statements import ROLE_NAMES
from federation.settings import CloudSettings, HospitalSettings
from federation.store.registrations import Registrations
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from federation.wire.channel import ANYWHERE, Dialling, dialling_of, open_channel
from federation.wire.connecting import connected
from keystore.x509 import tls_name

PATIENCE = timedelta(seconds=5)
AT_ONCE = 8
_ANY_PORT = ":0"
_PROXY_NAMES = ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy")
_CHECK = "/grpc.health.v1.Health/Check"


class TlsUntrusted(Exception):
    """Somebody answers, and is not the one that the trust bundle says."""

    reason = "TLS_UNTRUSTED"


def serving(examined: Examined) -> Iterator[Finding]:
    """Ask the node itself, if it is a server, how its server is."""
    if not isinstance(examined.settings, CloudSettings | HospitalSettings):
        return
    try:
        found = conditions(examined.directory.path, PATIENCE)
    except Unavailable:
        command = f"medunion {examined.kind.role} serve --directory {examined.directory.path}"
        yield Finding("serving", Verdict.NOTE, "nobody serves from this directory now", command)
        return
    ill = [condition.service or "the server" for condition in found if not condition.is_serving]
    verdict = Verdict.WRONG if ill else Verdict.OK
    yield Finding(
        "serving", verdict, f"it serves; not healthy: {', '.join(ill)}" if ill else "it serves, and is healthy"
    )


def peers(examined: Examined) -> Iterator[Finding]:
    """Dial the public cloud; from the public cloud, every hospital that told where it is."""
    if isinstance(examined.settings, CloudSettings):
        yield from _hospitals(examined)
        return
    content = examined.need_trust().content
    yield _dialled(examined, "the public cloud", content.cloud_address, content.cloud_id)
    if isinstance(examined.settings, HospitalSettings):
        yield _as_peer(examined)
        if not examined.settings.address.endswith(_ANY_PORT):
            yield _dialled(
                examined, "this hospital, from here", examined.settings.address, examined.identity, at_fault=False
            )


def dialling(examined: Examined) -> Iterator[Finding]:
    """Say by which way this node dials, and what of the environment it does not heed."""
    settings = examined.settings.dialling
    through = f"through the proxy {settings.proxy}" if settings.proxy else "without a proxy"
    ignored = sorted(name for name in _PROXY_NAMES if os.environ.get(name) or os.environ.get(name.upper()))
    unheeded = f"; {', '.join(ignored)} of the environment is not heeded" if ignored else ""
    where = f", within {', '.join(settings.networks)} alone" if settings.networks else ""
    yield Finding("dialling", Verdict.NOTE if ignored else Verdict.OK, f"it dials {through}{where}{unheeded}")


def _hospitals(examined: Examined) -> Iterator[Finding]:
    registered = Registrations(examined.need_database()).walk()
    placed = [(it.identity, it.address) for it in registered if it.role == ROLE_NAMES[ROLE_HOSPITAL] and it.address]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield from threads.map(lambda it: _dialled(examined, it[0], it[1], it[0], at_fault=False), placed)
    if not placed:
        yield Finding("peers", Verdict.OK, "no hospital has told yet where it is dialled")


def _dialled(examined: Examined, name: str, address: str, identity: str, *, at_fault: bool = True) -> Finding:
    """Dial somebody. Another's fault is noted where this node can do without them for now."""
    try:
        dial(address, identity, examined.need_trust().tls_roots, dialling_of(examined.settings.dialling))
    except (Unavailable, TlsUntrusted, FieldInvalid) as error:
        verdict = Verdict.WRONG if at_fault else Verdict.NOTE
        return Finding("peers", verdict, f"{name} at {address}: {error} [{error.reason}]", remedy_of(error))
    return Finding("peers", Verdict.OK, f"{name} answers at {address}, as {identity}")


def dial(address: str, identity: str, root_pem: bytes, dialling: Dialling = ANYWHERE) -> None:
    """Connect and shake hands, requiring that identity under the federation's TLS CAs.

    Raises FieldInvalid for no address, NetworkForbidden, Unavailable, TlsUntrusted.
    """
    context = ssl.create_default_context(cadata=root_pem.decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        with connected(address, dialling, PATIENCE) as connection:
            context.wrap_socket(connection, server_hostname=tls_name(identity)).close()
    except ssl.SSLCertVerificationError as error:
        raise TlsUntrusted(f"its certificate is not good for {identity}: {error.verify_message}") from error
    except TimeoutError as error:
        raise Unavailable("nobody answers in time") from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"no connection: {getattr(error, 'strerror', None) or error}") from error


def _as_peer(examined: Examined) -> Finding:
    """Call the public cloud's port for hospitals by mutual TLS, as a publication would."""
    content, member = examined.need_trust().content, examined.need_member()
    if not member.is_registered or tls_identity(examined).certificate is None:
        return Finding(
            "peers", Verdict.UNSEEN, "the public cloud's port for hospitals: not dialled before registration"
        )
    leaf = tls_identity(examined).leaves.current()
    place = content.cloud_peer_address, content.cloud_id, examined.need_trust().tls_roots
    with open_channel(*place, leaf, dialling_of(examined.settings.dialling)) as channel:
        check = channel.unary_unary(_CHECK, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString)
        try:
            check(HealthCheckRequest(), timeout=PATIENCE.total_seconds())
        except grpc.RpcError as error:
            return _refused_as_peer(examined, error)
    return Finding(
        "peers", Verdict.OK, f"the public cloud takes this hospital's certificate at {content.cloud_peer_address}"
    )


def _refused_as_peer(examined: Examined, error: grpc.RpcError) -> Finding:
    address = examined.need_trust().content.cloud_peer_address
    without_leaf = _dialled(
        examined, "the public cloud's port for hospitals", address, examined.need_trust().content.cloud_id
    )
    if without_leaf.verdict is not Verdict.OK:
        return without_leaf
    says = f"the public cloud answers at {address} and does not take this hospital's certificate ({error.code().name})"
    return Finding("peers", Verdict.WRONG, says, "serve: a hospital that serves has its TLS identity certified anew")
