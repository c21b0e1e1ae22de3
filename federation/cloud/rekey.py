"""What a rotation leaves to do in the cloud's store, piece by piece while the cloud serves, and how much of it is left.

A piece that does not open, or whose signature does not hold, stays as it is and is told to the operator: its generation can't be
revoked while it is there, and a walk goes on behind it.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from federation.cloud.registration import shared_key_context
from federation.cloud.services import Cloud
from federation.errors import FederationError
from federation.party.epochs import as_signed, as_stored
from federation.party.reencryption import Steps, reseal_epochs, sealed_under
from federation.protocol import registration as protocol
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant
from federation.store.errors import NotStored
from federation.store.party import Epochs
from federation.store.rows import Registration, SealedRow
from federation.v1.statement_pb2 import KeyStatement
from federation.wire import operations
from keystore.errors import SealBroken
from keystore.keyring import Together
from keystore.party import IDENTITY, ISSUING


def reseal(cloud: Cloud, epochs: Epochs) -> Steps:
    """Seal anew the epochs' seeds, each K_X, the rows of the index and what patients hide. The log's entries stay."""
    yield from _surviving(reseal_epochs(epochs, cloud.keys))
    for registration in cloud.stores.registrations.walk():
        yield _passing("shared-key-not-sealed-anew", partial(_reseal_shared_key, cloud, registration))
    for row in cloud.stores.index.walk():
        yield _passing("index-row-not-sealed-anew", partial(_reseal_row, cloud, row))
    yield from cloud.restrictions.reseal()


def name_anew(cloud: Cloud) -> Steps:
    """Name anew whom accesses are about and what patients hide. The rows of the index wait for who names their patient."""
    yield from cloud.audit.name_anew()
    yield from cloud.restrictions.name_anew()


def restate_all(cloud: Cloud) -> Steps:
    """Sign anew by the active PRK_C the KS of every live registration."""
    for registration in cloud.stores.registrations.walk():
        now = cloud.clock()
        if now <= registration.not_after:
            yield _passing("key-statement-not-signed-anew", partial(restate, cloud, registration, now=now))


def restate(cloud: Cloud, registration: Registration, *, now: Instant) -> bool:
    """Sign one KS anew if another PRK_C than the active one signed it, and return whether that was kept.

    It is verified before: nothing that was put into the store gets a signature. Raises Authentication, MalformedMessage.
    """
    if not is_restatement_due(cloud, registration, now=now):
        return False
    kept = as_signed(registration.key_statement)
    anchors = cloud.verifier.anchors
    verified = anchors.open("ks", KeyStatement, kept)
    anew = protocol.restate(verified, cloud.keys_by_time.signing_key(now), now=now)
    return cloud.stores.registrations.restate(registration.identity, registration.key_statement, as_stored(anew))


def is_restatement_due(cloud: Cloud, registration: Registration, *, now: Instant) -> bool:
    """Return whether another PRK_C than the active one signed a KS."""
    return _stated_under(cloud, registration) != cloud.book.read().active(IDENTITY, now).number


def count_stated(cloud: Cloud, generation: int) -> int:
    """Count the live registrations whose KS a generation of PRK_C signed."""
    now = cloud.clock()
    live = (it for it in cloud.stores.registrations.walk() if now <= it.not_after)
    return sum(_stated_under(cloud, it) == generation for it in live)


def count_issued(cloud: Cloud, generation: int) -> int:
    """Count the live registrations whose credential a generation of s issued."""
    since, until = _term(cloud, generation)
    return cloud.stores.registrations.count_issued(since=since, until=until, now=cloud.clock())


def count_shared_keys(cloud: Cloud, generation: int) -> int:
    """Count the K_X that a sealing generation sealed."""
    sealed = (it.sealed_shared_key for it in cloud.stores.registrations.walk())
    return sealed_under(sealed, cloud.keys.sealing, generation)


def count_sealed_rows(cloud: Cloud, generation: int) -> int:
    """Count the index rows that a sealing generation sealed."""
    return sealed_under((row.sealed for row in cloud.stores.index.walk()), cloud.keys.sealing, generation)


def forget_registrations(cloud: Cloud, generation: int) -> int:
    """End the registrations under a revoked generation of s, so that their identities may register again; return how many."""
    since, until = _term(cloud, generation)
    gone = 0
    for it in cloud.stores.registrations.walk():
        if since <= it.not_before < until:
            detail = f"{it.identity} serial {it.serial.hex()}"
            act = cloud.act("REGISTRATION-FORGOTTEN", detail, now=cloud.clock())
            # Its member may have registered again meanwhile, or another process been here.
            with suppress(NotStored):
                cloud.stores.registrations.authorize_reissue(it.identity, it.serial, act=act)
                gone += 1
    return gone


def forget_rows(cloud: Cloud, generation: int) -> int:
    """Take out the rows that nobody can find any more, and return how many: their hospitals publish them again."""
    gone = 0
    for row in cloud.stores.index.walk():
        if row.generation == generation:
            cloud.stores.index.withdraw(row.name)
            gone += 1
    return gone


def _reseal_shared_key(cloud: Cloud, it: Registration) -> bool:
    context = shared_key_context(it.identity, it.serial)
    anew = cloud.keys.sealing.reseal(it.sealed_shared_key, context, Together(context))
    if anew == it.sealed_shared_key:
        return False
    return cloud.stores.registrations.reseal(it.identity, it.sealed_shared_key, anew)


def _reseal_row(cloud: Cloud, row: SealedRow) -> bool:
    anew = cloud.blind_index.reseal(row.row_key, row.row_id, row.sealed)
    return anew != row.sealed and cloud.stores.index.reseal(row, anew)


def _passing(event: str, step: Callable[[], bool]) -> bool:
    try:
        return step()
    except (FederationError, SealBroken) as error:
        operations.failure(event, error)
        return False


def _surviving(steps: Steps) -> Steps:
    try:
        yield from steps
    except SealBroken as error:
        operations.failure("epoch-not-sealed-anew", error)


def _stated_under(cloud: Cloud, registration: Registration) -> int:
    stated_at = peek_statement(KeyStatement, as_signed(registration.key_statement)).stated_at
    signer = cloud.book.read().active_at(IDENTITY, stated_at)
    return 0 if signer is None else signer.number


def _term(cloud: Cloud, generation: int) -> tuple[Instant, Instant]:
    """Return from when until when a generation of s issued; the active one has no end yet."""
    book = cloud.book.read()
    until = book.retired_at(ISSUING, generation)
    return book.get(ISSUING, generation).active_from or 0, _FOREVER if until is None else until


_FOREVER = 2**62
