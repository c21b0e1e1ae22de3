"""Refusals in the audit log: some one by one, the many counted by minute and source."""

import asyncio
from datetime import timedelta

import grpc
import pytest

from federation.errors import StaleMessage
from federation.party.audit import AuditEvent
from federation.v1.directory_pb2 import GetDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.wire.call_reports import CALLERS_WRITTEN, ELSEWHERE, MOST_SOURCES, WRITTEN_OF_EACH, RefusalTally


class _Log:
    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.told = asyncio.Event()

    async def write(self, event: AuditEvent) -> None:
        self.events.append(event)
        self.told.set()


def test_refusals_beyond_the_first_of_a_caller_are_one_entry_with_counts_by_reason() -> None:
    async def flood() -> list[AuditEvent]:
        log = _Log()
        tally = RefusalTally(log.write)
        written = sum(tally.is_written("192.0.2.1", "STALE") for _ in range(1000))
        written += sum(tally.is_written("192.0.2.1", "SEAL_INVALID") for _ in range(30))
        assert written == WRITTEN_OF_EACH
        await tally.settle()
        return log.events

    (entry,) = asyncio.run(flood())
    assert (entry.kind, entry.reason) == ("REFUSALS", "STALE")
    assert entry.detail == "990 more from 192.0.2.1 in a minute: STALE 960, SEAL_INVALID 30"


def test_another_caller_is_written_one_by_one_beside_a_flood() -> None:
    async def flood() -> None:
        tally = RefusalTally(_Log().write)
        for _ in range(1000):
            tally.is_written("192.0.2.1", "STALE")
        assert tally.is_written("192.0.2.2", "STALE")
        await tally.settle()

    asyncio.run(flood())


def test_entries_of_a_minute_have_a_bound_however_many_call() -> None:
    async def flood() -> tuple[int, list[AuditEvent]]:
        log = _Log()
        tally = RefusalTally(log.write)
        written = sum(tally.is_written(f"caller {number % 5000}", "STALE") for number in range(20_000))
        await tally.settle()
        return written, log.events

    written, events = asyncio.run(flood())
    assert written == CALLERS_WRITTEN * WRITTEN_OF_EACH
    assert len(events) == MOST_SOURCES + 1
    assert any(f"more from {ELSEWHERE} in a minute" in event.detail for event in events)


def test_minute_ends_by_itself_and_a_new_one_begins() -> None:
    async def minutes() -> None:
        log = _Log()
        tally = RefusalTally(log.write, timedelta(seconds=0.01))
        for _ in range(2):
            assert tally.is_written("a", "STALE")
            for _ in range(WRITTEN_OF_EACH):
                tally.is_written("a", "STALE")
            async with asyncio.timeout(60):
                await log.told.wait()
            log.told.clear()
        assert [event.detail for event in log.events] == ["1 more from a in a minute: STALE 1"] * 2

    asyncio.run(minutes())


def test_flood_of_refusals_fills_no_log_and_is_counted_when_the_server_stops(bench_with) -> None:
    def refuse() -> None:
        raise StaleMessage("long ago")

    bench = bench_with(behave=refuse)
    calls = 3 * WRITTEN_OF_EACH
    with bench.channel() as channel:
        for _ in range(calls):
            with pytest.raises(grpc.RpcError):
                DirectoryServiceStub(channel).GetDirectory(GetDirectoryRequest())
    bench.stop()
    assert [event.kind for event in bench.audited[:-1]] == ["REFUSAL"] * WRITTEN_OF_EACH
    last = bench.audited[-1]
    assert (last.kind, last.reason) == ("REFUSALS", "STALE")
    assert last.detail == f"{calls - WRITTEN_OF_EACH} more from 127.0.0.1 in a minute: STALE {calls - WRITTEN_OF_EACH}"
