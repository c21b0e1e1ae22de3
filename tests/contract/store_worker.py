"""A process that uses a store beside others.

It says "ready", waits for a line, does the job and prints what came out.
"""

import sys
import time

from federation.party.generations import StoredGenerations
from federation.store.blobs import CHUNK_BYTES, BlobStore
from federation.store.database import open_database
from federation.store.errors import AlreadyStored, BudgetSpent, StoreLimit
from federation.store.log import Log
from federation.store.party import ReplayMemory, Settings
from federation.store.records import OutboxEntries
from federation.store.registrations import Registrations
from federation.store.revocations import RevocationBook
from federation.store.rooms import Rooms
from federation.store.rows import Admission, Beside
from federation.store.shelves import open_shelf
from tests.contract.store_support import MINUTE, NOW, claim, register, registration, room, sealed_entry


def wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def admit(url: str, _argument: str) -> None:
    with open_database(url) as database:
        wait()
        print(ReplayMemory(database).admit(b"k" * 32, now=NOW, until=NOW + 1))


def take(url: str, _argument: str) -> None:
    """Take one message with its entry of the log, as a search is taken."""
    with open_database(url) as database:
        wait()
        print(Log(database).append_once(sealed_entry(at=NOW, sealed=b"entry"), Admission(b"k" * 32, NOW, NOW + 1)))


def append(url: str, argument: str) -> None:
    with open_database(url) as database:
        wait()
        for number in range(int(argument)):
            Log(database).append(sealed_entry(at=NOW + number, sealed=b"entry"))


def grow(url: str, _argument: str) -> None:
    """Append to the log, say which entry that was, and let its tree grow, some entries at a time, until it is killed."""
    with open_database(url) as database:
        log = Log(database, at_once=3)
        wait()
        while True:
            for _ in range(7):
                made = sealed_entry()
                log.append(made)
                print(made.entry_id.hex(), flush=True)
            log.sequence()


def spend(url: str, argument: str) -> None:
    """Have ten patients of one's own each on a budget of 25, with an entry of the log."""
    with open_database(url) as database:
        wait()
        for number in range(10):
            beside = Beside((claim(f"{argument}-{number}", most=25),))
            try:
                Log(database).append(sealed_entry(at=NOW + number, sealed=b"entry", beside=beside))
            except BudgetSpent:
                print("spent")
            else:
                print("given")


def revoke(url: str, argument: str) -> None:
    with open_database(url) as database:
        wait()
        for number in range(25):
            digest = f"{argument}-{number}".encode()
            print(RevocationBook(database).revoke("serial", digest, expires_at=NOW, at=NOW))


def take_back(url: str, argument: str) -> None:
    """Take back two statements at a time, as long as there is room for 21 in all."""
    with open_database(url) as database:
        wait()
        for number in range(10):
            digests = {f"{argument}-{number}-{side}".encode(): NOW for side in "ab"}
            try:
                RevocationBook(database).take_back(digests, at=NOW, most=21)
            except StoreLimit:
                print("full")
            else:
                print("taken")


def complete(url: str, argument: str) -> None:
    """Make the registration of the serial that was reserved live, each with a request of its own."""
    with open_database(url) as database:
        wait()
        request = argument.encode().ljust(32)
        try:
            Registrations(database).complete(
                registration(), request_digest=request, answer=request, answer_until=NOW, ticket_digest=None, now=NOW
            )
        except AlreadyStored:
            print("refused")
        else:
            print("live")


def renew(url: str, argument: str) -> None:
    """Renew the live registration, each with a serial of its own."""
    with open_database(url) as database:
        wait()
        renewal = registration(serial=argument.encode().ljust(16))
        try:
            register(Registrations(database), renewal, supersedes=registration().serial, until=NOW)
        except AlreadyStored:
            print("refused")
        else:
            print("live")


def publish(url: str, _argument: str) -> None:
    """Take and settle whatever is due; print what was taken."""
    with open_database(url) as database:
        outbox = OutboxEntries(database)
        wait()
        while due := outbox.due(now=NOW, limit=5):
            for entry in due:
                if outbox.take(entry, until=NOW + MINUTE):
                    print(entry.entry_id.hex())


def rotate(url: str, argument: str) -> None:
    """Prepare a generation of ten purposes, each in a change of its own."""
    with open_database(url) as database:
        book = StoredGenerations(Settings(database))
        wait()
        for number in range(10):
            purpose = f"{argument}-{number}"
            book.change(lambda generations, purpose=purpose: generations.prepare(purpose, NOW))


def put_frames(url: str, argument: str) -> None:
    """Fill a room from one side."""
    with open_database(url) as database:
        rooms = Rooms(database)
        wait()
        for number in range(20):
            rooms.put_frame(room().room_id, int(argument), number, b"frame", now=NOW, most_bytes=100_000)


def migrate(url: str, _argument: str) -> None:
    wait()
    with open_database(url) as database:
        print(Log(database).verify())


def write_blob(url: str, argument: str) -> None:
    with BlobStore(open_shelf(url)).writer(b"k" * 32) as writer:
        for _ in range(int(argument)):
            writer.write(bytes(CHUNK_BYTES))
        print("written", flush=True)
        time.sleep(60)


JOBS = {
    job.__name__: job
    for job in (
        admit,
        append,
        complete,
        grow,
        migrate,
        publish,
        put_frames,
        renew,
        revoke,
        rotate,
        spend,
        take,
        take_back,
        write_blob,
    )
}


def main(job: str, url: str, argument: str) -> None:
    JOBS[job](url, argument)
