"""How a node that serves is, as its admin server tells it: asked every few seconds, so little is read for it."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from federation.errors import Unavailable
from federation.monitor.addresses import ADMIN_LISTEN, own_socket, worker_address
from federation.settings import SETTINGS_FILE, CloudSettings, HospitalSettings, read_identity, read_settings
from federation.wire.parts import DATABASE, LOG, PEERS, RECORDS, TOKEN, WITHOUT_PROXY
from keystore.identities import CLOUD

SERVER = ""
DEPENDENCIES = (TOKEN, DATABASE, LOG, RECORDS, PEERS)
_CHECK = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True)
class Condition:
    """How one part of one process of a node is: "" is the server itself."""

    process: int
    service: str
    is_serving: bool


def conditions(directory: Path, patience: timedelta) -> list[Condition]:
    """Ask every process for its server and for what that depends on. Raises ConfigError, Unavailable if one doesn't answer."""
    settings = _settings(directory)
    listen = settings.admin.listen or own_socket(directory)
    found: list[Condition] = []
    others = settings.token.others
    members = [f"{TOKEN}-{number}" for number in range(1, len(others) + 2)] if others else []
    for process in range(settings.server.processes):
        address = worker_address(listen, process, ADMIN_LISTEN)
        with grpc.insecure_channel(address, options=[WITHOUT_PROXY]) as channel:
            for service in (SERVER, *DEPENDENCIES, *members):
                status = _status(channel, service, patience)
                if status is not None:
                    found.append(Condition(process, service, status == HealthCheckResponse.SERVING))
    return found


def _status(channel: grpc.Channel, service: str, patience: timedelta) -> int | None:
    """Return the status of a service; None where this kind of node does not depend on it."""
    check = channel.unary_unary(_CHECK, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString)
    try:
        # While a node is handed over, its admin server is for a moment nobody's.
        answer = check(HealthCheckRequest(service=service), timeout=patience.total_seconds(), wait_for_ready=True)
        return int(answer.status)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise Unavailable("nobody answers at the admin server of this node; does it serve?") from error


def _settings(directory: Path) -> HospitalSettings | CloudSettings:
    file = directory / SETTINGS_FILE
    if read_identity(file).startswith(CLOUD):
        return read_settings(file, CloudSettings)
    return read_settings(file, HospitalSettings)
