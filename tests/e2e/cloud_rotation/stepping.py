"""What the tests of a rotation's steps ask of a cloud."""

from federation.party.reencryption import Pace
from federation.protocol.index import Location
from keystore.generations import State
from tests.e2e.unserved_cloud import Unserved

PLACE = Location("H:north/cardiology", b"h" * 16, "D:chen")


def states(cloud: Unserved, purpose: str) -> list[State]:
    return [line.state for line in cloud.rotation.status() if line.purpose == purpose]


def walk(cloud: Unserved, purpose: str) -> int:
    return cloud.rotation.reseal(purpose, lambda _: None, Pace(sleep=lambda _: None)).changed
