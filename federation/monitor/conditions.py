"""How a node that serves is, asked at its admin server: for health checks of containers and for operators."""

from dataclasses import dataclass
from datetime import timedelta

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from federation.errors import Unavailable
from federation.monitor.admin import ADMIN_LISTEN, UNIX
from federation.monitor.endpoint import worker_address
from federation.party.node_directory import NodeDirectory
from federation.settings import CloudSettings, HospitalSettings
from federation.wire.channel import WITHOUT_PROXY
from federation.wire.health import DATABASE, LOG, PEERS, TOKEN

SERVER = ""
DEPENDENCIES = (TOKEN, DATABASE, LOG, PEERS)
_CHECK = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True)
class Condition:
    """How one part of one process of a node is: "" is the server itself."""

    process: int
    service: str
    is_serving: bool


def conditions(directory: NodeDirectory, patience: timedelta) -> list[Condition]:
    """Ask every process for its server and for what that depends on. Raises ConfigError, Unavailable if one doesn't answer."""
    settings = _settings(directory)
    listen = settings.admin.listen or f"{UNIX}{directory.path.resolve() / 'admin.sock'}"
    found: list[Condition] = []
    for process in range(settings.server.processes):
        place = worker_address(listen, process, ADMIN_LISTEN)
        with grpc.insecure_channel(place, options=[WITHOUT_PROXY]) as channel:
            for service in (SERVER, *DEPENDENCIES):
                status = _status(channel, service, patience)
                if status is not None:
                    found.append(Condition(process, service, status == HealthCheckResponse.SERVING))
    return found


def _status(channel: grpc.Channel, service: str, patience: timedelta) -> int | None:
    """Give the status of a service; None where this kind of node does not depend on it."""
    check = channel.unary_unary(_CHECK, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString)
    try:
        # While a node is handed over, its admin server is for a moment nobody's.
        answer = check(HealthCheckRequest(service=service), timeout=patience.total_seconds(), wait_for_ready=True)
        return int(answer.status)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise Unavailable("nobody answers at the admin server of this node; does it serve?") from error


def _settings(directory: NodeDirectory) -> HospitalSettings | CloudSettings:
    if directory.letter == "C":
        return directory.settings(CloudSettings)
    return directory.settings(HospitalSettings)
