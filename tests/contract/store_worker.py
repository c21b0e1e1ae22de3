"""A process that uses a store beside others: `python -m tests.contract.store_worker JOB URL ARGUMENT`.

It says "ready", waits for a line, does the job and prints what came out.
"""

import sys
import time
from pathlib import Path

from federation.store.blobs import CHUNK_BYTES, BlobStore
from federation.store.database import open_database
from federation.store.log import SqlLog
from federation.store.party import SqlReplayMemory
from federation.store.registrations import SqlRegistrations
from federation.store.revocations import SqlRevocationBook
from tests.contract.store_support import NOW


def wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def admit(url: str, _argument: str) -> None:
    with open_database(url) as database:
        wait()
        print(SqlReplayMemory(database).admit(b"k" * 32, now=NOW, until=NOW + 1))


def consume(url: str, _argument: str) -> None:
    with open_database(url) as database:
        wait()
        print(SqlRegistrations(database).consume_challenge(b"c" * 16, now=NOW))


def append(url: str, argument: str) -> None:
    with open_database(url) as database:
        wait()
        for number in range(int(argument)):
            SqlLog(database).append(at=NOW + number, sealed=b"entry")


def revoke(url: str, argument: str) -> None:
    with open_database(url) as database:
        wait()
        for number in range(25):
            digest = f"{argument}-{number}".encode()
            print(SqlRevocationBook(database).revoke("grant", digest, expires_at=NOW, at=NOW))


def migrate(url: str, _argument: str) -> None:
    wait()
    with open_database(url) as database:
        print(SqlLog(database).verify())


def write_blob(directory: str, argument: str) -> None:
    with BlobStore(Path(directory)).writer(b"k" * 32) as writer:
        for _ in range(int(argument)):
            writer.write(bytes(CHUNK_BYTES))
        print("written", flush=True)
        time.sleep(60)


JOBS = {job.__name__: job for job in (admit, append, consume, migrate, revoke, write_blob)}

if __name__ == "__main__":
    JOBS[sys.argv[1]](sys.argv[2], sys.argv[3])
