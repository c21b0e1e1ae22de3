"""What a rotation does to what a hospital keeps, while it serves (docs/adr/0018-rotation.md)."""

from federation.hospital.hospital import Hospital
from federation.hospital.outbox_entries import repeated_entry, resealed
from federation.hospital.vault import Vault
from federation.party.reencryption import Steps
from federation.store.records import OutboxEntries, Records
from keystore.keyring import Sealing


def rewrap_records(records: Records, vault: Vault) -> Steps:
    """Bring every record under the active wrapping and index keys; blobs stay as they are. Raises Corrupt."""
    for record in records.all():
        anew = vault.renewed(record)
        yield anew != record and records.rewrap(record, anew)


def reseal_outbox(outbox: OutboxEntries, sealing: Sealing) -> Steps:
    """Seal the outbox entries anew. Raises SealBroken."""
    for entry in outbox.all():
        anew = resealed(entry, sealing)
        yield anew != entry.sealed and outbox.reseal(entry.entry_id, entry.sealed, anew)


def wrapped_under(records: Records, vault: Vault, generation: int) -> int:
    """Count the versions of records that need a generation of the wrapping key."""
    return sum(vault.wrapped_under(record, generation) for record in records.all())


def publish_again(hospital: Hospital) -> Steps:
    """Queue every record to be published again, for a public cloud that lost rows of its index, or gave them up in a rotation.

    Raises Corrupt.
    """
    for record in hospital.stores.records.all():
        place = hospital.vault.place_of(record)
        entry = repeated_entry(hospital.identity, place, hospital.sealing, now=hospital.clock())
        yield hospital.stores.outbox.add(entry)
