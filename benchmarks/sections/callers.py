"""Searches by many callers at once: how many a second one process answers, and how long each waits."""

import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import grpc
import grpc.aio

from benchmarks.meters import MILLI, cpu_seconds
from benchmarks.rows import Bench, Row, Section
from benchmarks.world import World, rows_published, world
from federation.clock import system_clock, system_entropy
from federation.protocol import search
from federation.v1.search_pb2 import SearchRequest
from federation.wire.channel import channel_options

METHOD = "/federation.v1.SearchService/Search"
SHARE = 0.7
CONNECTIONS = 8


class Asking:
    """Makes searches that may be sent once each, and sends them."""

    def __init__(self, here: World) -> None:
        """Take a patient with one record."""
        self._here, self._client = here, here.lab.client()
        patient = here.lab.patient("P:asked", here.guest)
        rows_published(here.lab, here.guest, patient.identity, 1)
        self._question = replace(here.lab.question(patient, here.doctor), department_class="cardiology")

    def made(self, number: int) -> list[bytes]:
        """Return so many requests."""
        doctor, now = self._here.doctor, system_clock()
        key, verifier, party = self._client.cloud_key(doctor), doctor.verifier(), doctor.party(now)
        return [
            SearchRequest(
                opening=search.ask(party, self._question, key, verifier, now=system_clock(), entropy=system_entropy)[1]
            ).SerializeToString()
            for _ in range(number)
        ]

    async def channels(self) -> list[grpc.aio.Channel]:
        """Return connections."""
        bundle = self._here.lab.node.trust()
        options = [*channel_options(bundle.content.cloud_id), ("grpc.use_local_subchannel_pool", 1)]
        credentials = grpc.ssl_channel_credentials(bundle.tls_roots)
        made = [
            grpc.aio.secure_channel(bundle.content.cloud_address, credentials, options=options)
            for _ in range(CONNECTIONS)
        ]
        for channel in made:
            await channel.channel_ready()
        return made

    async def at_once(self, callers: int, requests: Sequence[bytes]) -> tuple[float, list[float]]:
        """Send requests by so many callers, each waiting for its answer; return how many a second, and latencies."""
        channels, left, latencies = await self.channels(), iter(requests), []

        async def caller(number: int) -> None:
            call = channels[number % CONNECTIONS].unary_unary(METHOD)
            for request in left:
                began = time.perf_counter()
                await call(request, timeout=120)
                latencies.append((time.perf_counter() - began) * MILLI)

        began = time.perf_counter()
        await asyncio.gather(*(caller(number) for number in range(callers)))
        rate = len(requests) / (time.perf_counter() - began)
        await asyncio.gather(*(channel.close() for channel in channels))
        return rate, latencies

    async def at_rate(self, rate: float, requests: Sequence[bytes]) -> list[float]:
        """Send requests as they would come by themselves, so many a second on average; return latencies."""
        channels, chance, latencies = await self.channels(), random.Random(1), []

        async def one(number: int, request: bytes) -> None:
            began = time.perf_counter()
            await channels[number % CONNECTIONS].unary_unary(METHOD)(request, timeout=120)
            latencies.append((time.perf_counter() - began) * MILLI)

        under_way = []
        for number, request in enumerate(requests):
            under_way.append(asyncio.create_task(one(number, request)))
            await asyncio.sleep(chance.expovariate(rate))
        await asyncio.gather(*under_way)
        await asyncio.gather(*(channel.close() for channel in channels))
        return latencies


def rows(bench: Bench) -> Iterator[Row]:
    """Yield throughput and latency by how many call, then what is to be held."""
    here = bench.shared(world)
    asking, pids, rates, alone = Asking(here), here.stage.pids("cloud"), {}, 0.0
    for callers in bench.pick((1, 4, 64), (1, 4, 16, 64, 150), (1, 4, 16, 64, 150, 300)):
        rounds, rates[callers], latencies, spent = bench.pick(1, 3), [], [], []
        for _ in range(rounds):
            requests = asking.made(max(bench.pick(60, 150), 2 * callers))
            before = cpu_seconds(pids)
            rate, waited = asyncio.run(asking.at_once(callers, requests))
            spent.append((cpu_seconds(pids) - before) * MILLI / len(requests))
            rates[callers].append(rate)
            latencies += waited
        if callers == 1:
            alone = statistics.median(latencies)
        named, at = f"Search, {callers} caller{'s' if callers > 1 else ''}", callers
        yield Row(
            f"{named}: throughput", "a second", rates[callers], more_is_better=True, series="searches a second", at=at
        )
        yield Row(f"{named}: latency", "ms", latencies, series="latency, median, ms", at=at)
        yield Row(f"{named}: latency, p99", "ms", [_p99(latencies)], series="latency, p99, ms", at=at)
        yield Row(f"{named}: server", "ms CPU", spent)
    most = max(rates)
    yield Row(
        f"throughput with {most} callers over that with 4", "a second", rates[most], rates[4], 1.0, more_is_better=True
    )
    rate = SHARE * max(map(statistics.median, rates.values()))
    latencies = asyncio.run(asking.at_rate(rate, asking.made(bench.pick(80, 300))))
    note = f"{rate:.0f} a second, as they come by themselves; over the median of one caller"
    yield Row(f"p99 at {SHARE:.0%} of the throughput", "ms", [_p99(latencies)], [alone], 10.0, note=note)


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]


SECTION = Section(
    "callers",
    "Callers at once",
    "Searches made beforehand and sent by so many callers at a time to one process of the cloud. Throughput may not fall when "
    "more call than it can answer, and whoever comes at seven tenths of it doesn't wait long.",
    rows,
)
