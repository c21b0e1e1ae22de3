"""What each call of the cloud asks its database, statement by statement: who adds a look, or a commit, says so here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from federation.v1.restrictions_pb2 import HeldRestriction
from remembered import TABLE
from tests.asked import ENTRY, REPLAY_KEY, Asked, asked_of, committed

CLOUD = {
    "search": [
        "reads registrations",
        "reads restrictions",
        "reads index_rows",
        "reads registrations",
        *committed(*REPLAY_KEY, *ENTRY),
    ],
    "publish": [
        "reads registrations",
        *committed(*REPLAY_KEY, "adds index_rows", "reads index_rows", *ENTRY),
        "reads restrictions",
    ],
    "put_encryption_key": ["reads registrations", *committed(*REPLAY_KEY, "changes registrations", *ENTRY)],
    "issue_ticket": ["reads registrations", *committed(*REPLAY_KEY, "adds tickets", *ENTRY)],
    "fetch_restrictions": [
        "reads registrations",
        *committed(*REPLAY_KEY),
        *committed("changes restriction_deliveries", "changes restriction_deliveries"),
        *committed("reads restriction_deliveries"),
    ],
    "certify_tls_identity": ["reads registrations", *committed(*REPLAY_KEY, *ENTRY)],
}

TAKEN = [HeldRestriction(reference=bytes([number]) * 32, number=1) for number in range(2)]
"""Of nobody: each is looked for."""


@contextmanager
def rereading_nothing() -> Iterator[None]:
    """Keep what is read again each second for longer than this takes."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("generations", "trust bundle", "epochs"):
            patch.setitem(TABLE, kind, replace(TABLE[kind], seconds=3600))
        yield


@pytest.fixture(scope="module")
def asked(serve_cloud) -> Asked:
    """What a cloud asked for each call, the second time."""
    with rereading_nothing(), serve_cloud() as cloud, asked_of(cloud.node.database) as watched:
        hospital = cloud.hospital("H:north", "127.0.0.1:4711")
        patient, doctor = cloud.patient("P:ann", hospital), cloud.doctor("D:ben")
        for _ in range(2):
            cloud.publish(hospital, "P:ann", "cardiology")
            cloud.client().search(doctor, cloud.question(patient, doctor))
            cloud.client().renew(doctor)
            hospital[1].fetch_restrictions(hospital[0], TAKEN)
        return watched


@pytest.mark.parametrize("call", CLOUD)
def test_call_of_the_cloud_asks_its_database_no_more_than_this(asked: Asked, call: str) -> None:
    assert asked.last(call) == CLOUD[call]
