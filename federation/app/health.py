"""How a node that serves is, asked at its admin server: for health checks of containers and for operators."""

from dataclasses import dataclass
from datetime import timedelta

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from federation.app.node import NodeDirectory
from federation.config import AdminSettings, CloudSettings, ConfigError, HospitalSettings
from federation.errors import Unavailable
from federation.wire.health import DATABASE, LOG, PEERS, TOKEN

SERVER = ""
DEPENDENCIES = (TOKEN, DATABASE, LOG, PEERS)
_CHECK = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True)
class Condition:
    """How one part of a node is: "" is the server itself."""

    service: str
    is_serving: bool


def conditions(directory: NodeDirectory, patience: timedelta) -> list[Condition]:
    """Ask for the server and for what it depends on. Raises ConfigError, Unavailable if nobody answers in time."""
    address = _admin(directory).listen or f"unix:{directory.path.resolve() / 'admin.sock'}"
    with grpc.insecure_channel(address) as channel:
        found = [_condition(channel, service, patience) for service in (SERVER, *DEPENDENCIES)]
    return [condition for condition in found if condition is not None]


def _condition(channel: grpc.Channel, service: str, patience: timedelta) -> Condition | None:
    check = channel.unary_unary(_CHECK, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString)
    try:
        answer = check(HealthCheckRequest(service=service), timeout=patience.total_seconds())
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None  # this kind of node does not depend on it
        raise Unavailable("nobody answers at the admin server of this node; does it serve?") from error
    return Condition(service, answer.status == HealthCheckResponse.SERVING)


def _admin(directory: NodeDirectory) -> AdminSettings:
    try:
        return directory.settings(HospitalSettings).admin
    except ConfigError:
        return directory.settings(CloudSettings).admin
