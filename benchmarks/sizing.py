"""A nation, reckoned from measured rows: cores, processes, HSMs and disks. Every assumption stands here and on the page."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.results import Result, number

SECONDS_A_YEAR = 365.25 * 86_400


@dataclass(frozen=True)
class Nation:
    """Who is to be served, and how full machines may be."""

    patients: int = 83_000_000
    visits_each: int = 12
    peak: float = 10.0
    used: float = 0.6
    hospitals: int = 1_900
    largest_share: float = 0.01
    hsm_calls_a_second: int = 10_000
    """What one network HSM answers of PKCS#11 calls on P-256 and HMAC, many sessions at once: its maker's figure goes here."""

    @property
    def visits_a_year(self) -> float:
        """Return all visits."""
        return float(self.patients * self.visits_each)

    @property
    def mean(self) -> float:
        """Return visits a second on average."""
        return self.visits_a_year / SECONDS_A_YEAR

    @property
    def busiest(self) -> float:
        """Return visits a second at the busiest moment."""
        return self.mean * self.peak


@dataclass(frozen=True)
class Need:
    """What one kind of server needs, at the busiest moment."""

    cores: float
    token_calls: float
    bytes_a_year: float
    blob_bytes_a_year: float = 0.0


CLOUD_CALLS: Mapping[str, int] = {"Search, 1 row": 1, "Publish": 1}
HOSPITAL_CALLS: Mapping[str, int] = {"Open, 0.7 MB": 1, "Deposit, 427 kB": 1, "OpenRoom": 1}
"""What of a visit asks a token."""

REGISTERED = ("registrations", "issuances", "issued_points", "issued_nonces")

LATENCIES_MS = (0.2, 1, 5, 20)
"""Of an HSM in the same rack, in the same house, in another city, and of a smart card."""


def needs(result: Result, nation: Nation) -> Mapping[str, Need]:
    """Return what the cloud needs, all hospitals together, and the largest alone. Raises LookupError for a row that lacks."""
    cloud = Need(
        cores=_middle(result, "visit: a visit: cloud") * nation.busiest / 1000 / nation.used,
        token_calls=_token_calls(result, CLOUD_CALLS) * nation.busiest,
        bytes_a_year=_middle(result, "storage: cloud: rows of a visit") * nation.visits_a_year,
    )
    hospitals = Need(
        cores=_middle(result, "visit: a visit: hospital") * nation.busiest / 1000 / nation.used,
        token_calls=_token_calls(result, HOSPITAL_CALLS) * nation.busiest,
        bytes_a_year=_middle(result, "storage: hospital: rows of a visit") * nation.visits_a_year,
        blob_bytes_a_year=_middle(result, "storage: hospital: blobs of a visit") * 1000 * nation.visits_a_year,
    )
    share = nation.largest_share
    largest = Need(*(each * share for each in vars(hospitals).values()))
    return {
        "the public cloud": cloud,
        "all hospitals": hospitals,
        f"one hospital with {share:.0%} of the visits": largest,
    }


def tables(result: Result, nation: Nation | None = None) -> Iterator[str]:
    """Yield Markdown: the assumptions, then what each needs."""
    nation = nation or Nation()
    try:
        found = needs(result, nation)
    except LookupError as error:
        yield f"Not reckoned: the run has no row {error}."
        return
    yield (
        f"{nation.patients / 1e6:.0f} million patients with {nation.visits_each} visits each are "
        f"{nation.visits_a_year / 1e6:,.0f} million visits a year: {nation.mean:.0f} a second on average, "
        f"{nation.busiest:.0f} at the busiest moment, {nation.peak:g} times that. Cores are of the machine that was "
        f"measured, used to {nation.used:.0%}; a process takes one. An HSM is reckoned with {nation.hsm_calls_a_second:,} "
        "PKCS#11 calls a second."
    )
    yield ""
    yield "| | cores, processes | PKCS#11 calls a second | sessions in use at 1 ms | HSMs | rows a year | blobs a year |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, need in found.items():
        hsms = math.ceil(need.token_calls / nation.hsm_calls_a_second)
        blobs = _bytes(need.blob_bytes_a_year) if need.blob_bytes_a_year else ""
        yield (
            f"| {name} | {math.ceil(need.cores):,} | {need.token_calls:,.0f} | {math.ceil(need.token_calls / 1000):,} | "
            f"{hsms:,} | {_bytes(need.bytes_a_year)} | {blobs} |"
        )
    yield ""
    weights = [result.get(f"storage: cloud: {table}") for table in REGISTERED]
    each = sum(row.spread.median for row in weights if row is not None and row.spread)
    yield (
        f"Beside what visits leave, the cloud keeps {number(each)} bytes of each who is registered, "
        f"{_bytes(each * nation.patients)} of all patients: a registration, and what was issued for it in a year. "
        f"{nation.hospitals:,} hospitals share what all of them need: {number(found['all hospitals'].cores / nation.hospitals)} "
        f"cores each on average, and {_bytes(found['all hospitals'].blob_bytes_a_year / nation.hospitals)} of blobs a year. "
        "Whoever is to serve without a gap has each twice, in two places."
    )


def latencies(result: Result) -> Iterator[str]:
    """Yield Markdown: what a call waits for its HSM, by how long each PKCS#11 call takes."""
    found = [(name, result.get(f"network_hsm: {name}: PKCS#11 calls")) for name in (*CLOUD_CALLS, *HOSPITAL_CALLS)]
    asked = [(name, row.spread.median) for name, row in found if row is not None and row.spread]
    if not asked:
        yield "Not counted in this run."
        return
    yield f"| | PKCS#11 calls | {' | '.join(f'at {each:g} ms' for each in LATENCIES_MS)} |"
    yield f"| --- | --- |{' --- |' * len(LATENCIES_MS)}"
    for name, calls in asked:
        waits = " | ".join(f"{number(calls * each)} ms" for each in LATENCIES_MS)
        yield f"| {name} | {calls:g} | {waits} |"


def _token_calls(result: Result, calls: Mapping[str, int]) -> float:
    return sum(_middle(result, f"network_hsm: {name}: PKCS#11 calls") * number for name, number in calls.items())


def _middle(result: Result, key: str) -> float:
    row = result.get(key)
    if row is None or row.spread is None:
        raise LookupError(key)
    return row.spread.median


def _bytes(value: float) -> str:
    for size, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB")):
        if value >= size:
            return f"{number(value / size)} {name}"
    return f"{number(value / 1e6)} MB"
