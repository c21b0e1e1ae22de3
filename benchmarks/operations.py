"""What a visit asks of each server's token: `python -m benchmarks.operations`. Real servers, counted by the token's own meter."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.steps import PIN
from federation.party.registration import register
from federation.v1.statement_pb2 import ROLE_PATIENT
from hsm import Pin, Token, TokenUri, pin_from_value
from hsm.softhsm import SoftHsm
from tests.e2e.cloud_lab import cloud_lab
from tests.hospital_lab import JOHNNIE, HospitalLab, ecg, encounter_of, report
from tests.simulator import simulated

REPEATS = 10
Maker = Callable[..., TokenUri]
Row = tuple[str, Counter[str]]


def maker(directory: Path) -> Maker:
    """Return a maker of fresh SoftHSM tokens in that directory."""
    softhsm = SoftHsm(directory)
    softhsm.activate()
    numbers = iter(range(1000))
    return lambda prefix="t": softhsm.create_token(f"{prefix}-{next(numbers)}", pin=Pin(PIN), so_pin=Pin(PIN))


def counts(token: Token) -> Counter[str]:
    """Return the operations so far by mechanism."""
    return Counter({mechanism: seen.count for mechanism, seen in token.metrics().operations.items()})


def each(token: Token, step: Callable[[], object]) -> Counter[str]:
    """Return what a step asks of a token, on average."""
    step()
    before = counts(token)
    for _ in range(REPEATS):
        step()
    return Counter({name: round(count / REPEATS) for name, count in (counts(token) - before).items()})


def of_the_cloud(directory: Path, make: Maker) -> Iterator[Row]:
    """Yield what the public cloud's token does in a registration, a search, a publication."""
    with cloud_lab(directory, make, pin_from_value(PIN)) as lab:
        hospital, doctor = lab.hospital("H:a"), lab.doctor("D:a")
        patient, client, token = lab.patient("P:a", hospital), lab.client(), lab.node.cloud.keys.token
        question, numbers = lab.question(patient, doctor), iter(range(1000))
        lab.publish(hospital, "P:a", "cardiology")

        def registration() -> None:
            identity = f"P:{next(numbers)}"
            ticket = hospital[1].issue_ticket(hospital[0], identity).ticket
            register(lab.member(identity), client, ROLE_PATIENT, bytes(32), ticket)

        yield "cloud: registration with its ticket", each(token, registration)
        yield (
            "cloud: search, one row (D2, C)",
            each(token, lambda: client.search(doctor, question)),
        )
        yield "cloud: publication (PUB, PUBACK)", each(token, lambda: lab.publish(hospital, "P:a", "cardiology"))
        yield "cloud: directory", each(token, client.directory)


def of_a_hospital(directory: Path, make: Maker) -> Iterator[Row]:
    """Yield what a hospital's token does when it releases a record, takes a deposit, publishes it."""
    with simulated(make, PIN) as federation, HospitalLab(federation, directory) as lab, lab.serving() as client:
        lab.import_files(JOHNNIE)
        token = lab.keys.token
        yield (
            "hospital: release of one record (D3 to H2)",
            each(token, lambda: client.read(federation.intent(federation.grant()))),
        )
        biosignal, diagnosis = ecg(), report(federation)
        yield (
            "hospital: deposit (D3 to STOACK)",
            each(token, lambda: client.deposit(encounter_of(federation, biosignal, diagnosis, federation.grant()))),
        )
        before, entries = counts(token), len(list(lab.hospital.stores.outbox.all()))
        lab.outbox.publish_due()
        publishing = Counter({name: round(count / entries) for name, count in (counts(token) - before).items()})
        yield "hospital: publication by the outbox", publishing


def main() -> None:
    """Print a Markdown table."""
    print("| step | operations | signatures | key agreements | HMAC | others |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        make = maker(Path(temporary) / "tokens")
        for name in ("cloud-lab", "hospital"):
            (Path(temporary) / name).mkdir()
        for step in (
            of_the_cloud(Path(temporary) / "cloud-lab", make),
            of_a_hospital(Path(temporary) / "hospital", make),
        ):
            for name, asked in step:
                named = [asked.pop(mechanism, 0) for mechanism in ("ECDSA", "ECDH1_DERIVE", "SHA256_HMAC")]
                others = ", ".join(f"{count} {mechanism}" for mechanism, count in asked.items() if count)
                print(
                    f"| {name} | {sum(named) + asked.total()} | {' | '.join(map(str, named))} | {others} |", flush=True
                )


if __name__ == "__main__":
    main()
