"""Bounds on requests, rates and work."""

import asyncio
import threading
from contextlib import ExitStack, suppress

import grpc
import pytest

from federation.errors import Limit, MalformedMessage, MessageTooLarge
from federation.v1.directory_pb2 import GetDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.registration_pb2 import RegisterRequest
from federation.wire.limits import RateBound, ShareBound, bounded_deserializer, caller_of_peer, require_message
from federation.wire.roles import METHODS
from federation.wire.status import from_rpc_error
from federation.wire.workers import Workers


def test_message_at_its_limit_is_taken_and_one_byte_more_is_refused() -> None:
    request = RegisterRequest()
    request.opening.sealed = bytes(100)
    data = request.SerializeToString()
    assert require_message(bounded_deserializer(RegisterRequest.FromString, len(data))(data)) == request
    with pytest.raises(MessageTooLarge):
        require_message(bounded_deserializer(RegisterRequest.FromString, len(data) - 1)(data))


def test_bytes_that_are_no_message_are_malformed() -> None:
    with pytest.raises(MalformedMessage):
        require_message(bounded_deserializer(RegisterRequest.FromString, 100)(b"\xff\xff"))


def test_oversized_message_is_refused_over_the_wire(bench) -> None:
    with bench.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/federation.v1.DirectoryService/GetDirectory")(bytes(4000))
    assert isinstance(from_rpc_error(raised.value), MessageTooLarge)
    with bench.channel() as channel:
        DirectoryServiceStub(channel).GetDirectory(GetDirectoryRequest())


def test_no_method_takes_more_than_grpc_reads() -> None:
    assert all(0 < rule.most_request_bytes < 2 * 1024 * 1024 for rule in METHODS.values())


def test_rate_bound_refuses_above_the_burst_and_allows_again_later() -> None:
    now = [0.0]
    bound = RateBound(per_second=1, burst=2, clock=lambda: now[0])
    bound.require("a")
    bound.require("a")
    with pytest.raises(Limit):
        bound.require("a")
    bound.require("b")
    now[0] = 1.0
    bound.require("a")
    with pytest.raises(Limit):
        bound.require("a")


def test_rate_bound_does_not_punish_a_caller_for_being_refused() -> None:
    now = [0.0]
    bound = RateBound(per_second=1, burst=1, clock=lambda: now[0])
    bound.require("a")
    for _ in range(10):
        now[0] += 0.09
        with pytest.raises(Limit):
            bound.require("a")
    now[0] += 0.11
    bound.require("a")


@pytest.mark.parametrize(
    ("peer", "caller"),
    [
        ("ipv4:192.0.2.1:1000", "192.0.2.1"),
        ("ipv6:%5B::1%5D:1", "::/64"),
        ("ipv6:%5B2001:db8:0:7:1:2:3:4%5D:1", "2001:db8:0:7::/64"),
        ("ipv6:[2001:db8:0:7::9]:2", "2001:db8:0:7::/64"),
        ("ipv6:%5B2001:db8:0:8::9%5D:2", "2001:db8:0:8::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:3", "fe80::/64"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:1000", "192.0.2.1"),
        ("ipv6:%5B64:ff9b::192.0.2.1%5D:1000", "192.0.2.1"),
        ("unix:", "unix"),
    ],
)
def test_caller_is_an_ipv4_address_or_a_network_of_ipv6(peer: str, caller: str) -> None:
    assert caller_of_peer(peer) == caller


def _take(taken: ExitStack, shares: ShareBound, caller: str, *, lasting: bool = False) -> None:
    taken.enter_context(shares.of(caller, lasting=lasting)).take()


def test_callers_that_take_all_they_can_leave_places_to_others() -> None:
    shares = ShareBound(most=500, most_in_all=2000)
    with ExitStack() as taken:
        for number in range(20):
            with suppress(Limit):
                for _ in range(500):
                    _take(taken, shares, f"idle {number}")
        for _ in range(5):
            _take(taken, shares, "busy")
        _take(taken, shares, "newcomer")


def test_calls_that_last_take_no_place_of_those_that_end() -> None:
    shares = ShareBound(most=100, most_in_all=10)
    with ExitStack() as taken:
        for number in range(5):
            _take(taken, shares, f"follower {number}", lasting=True)
        with pytest.raises(Limit):
            _take(taken, shares, "another", lasting=True)
        _take(taken, shares, "another")


def test_caller_has_its_places_again_when_its_calls_end() -> None:
    """And one that was refused gives back nothing."""
    shares = ShareBound(most=1, most_in_all=10)
    for _ in range(3):
        with shares.of("a") as first:
            first.take()
            for _ in range(2):
                with pytest.raises(Limit), shares.of("a") as second:
                    second.take()


def test_peers_calls_still_wait_when_others_are_turned_away() -> None:
    async def crowd() -> None:
        workers, gate = Workers(threads=1, most_waiting=1), threading.Event()
        taken = [asyncio.ensure_future(workers.run(gate.wait, 5)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Limit):
            await workers.run(gate.wait, 5)
        taken.append(asyncio.ensure_future(workers.for_peers().run(gate.wait, 5)))
        await asyncio.sleep(0)
        with pytest.raises(Limit):
            await workers.for_peers().run(gate.wait, 5)
        gate.set()
        assert await asyncio.gather(*taken) == [True] * 3
        assert workers.load.turned_away == 2
        workers.close()

    asyncio.run(crowd())


def test_workers_refuse_when_too_many_wait() -> None:
    async def crowd() -> None:
        workers, gate = Workers(threads=1, most_waiting=1), threading.Event()
        taken = [asyncio.ensure_future(workers.run(gate.wait, 5)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Limit):
            await workers.run(gate.wait, 5)
        gate.set()
        assert await asyncio.gather(*taken) == [True, True]
        workers.close()

    asyncio.run(crowd())


def test_what_a_worker_raises_reaches_its_caller_and_gives_the_place_back() -> None:
    async def main() -> None:
        workers = Workers(threads=1, most_waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await workers.run(lambda: 1 // 0)
        workers.close()

    asyncio.run(main())


def test_what_waits_when_the_workers_close_is_awaited_by_nobody_for_ever() -> None:
    async def main() -> None:
        workers, gate, begun = Workers(threads=1, most_waiting=1), threading.Event(), threading.Event()

        def runs() -> str:
            begun.set()
            gate.wait(20)
            return "ran"

        running = asyncio.ensure_future(workers.run(runs))
        waiting = asyncio.ensure_future(workers.run(runs))
        await asyncio.sleep(0)
        await asyncio.to_thread(begun.wait, 20)
        asyncio.get_running_loop().run_in_executor(None, gate.set)
        workers.close()
        assert await running == "ran"
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
