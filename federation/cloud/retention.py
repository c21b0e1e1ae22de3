"""What the public cloud does not keep: rows of a hospital that has left the federation (docs/retention.md)."""

from collections.abc import Iterator

from federation.cloud.cloud import Cloud
from federation.cloud.index_rows import owners
from federation.store.rows import SealedRow


def rows_of(cloud: Cloud, hospital_id: str) -> Iterator[SealedRow]:
    """Give the rows of the index that name a hospital. Every row is opened: nothing else says whose it is. Raises Corrupt."""
    index = cloud.blind_index
    for row in cloud.stores.index.walk():
        if index.reveal(row.row_key, row.row_id, row.sealed).hospital_id == hospital_id:
            yield row


def forget_rows_of(cloud: Cloud, hospital_id: str) -> int:
    """Take a hospital's rows out of the index; give how many it were. Raises Corrupt."""
    gone = 0
    for row in rows_of(cloud, hospital_id):
        cloud.stores.index.withdraw(row.name)
        gone += 1
    return gone


def count_rows_of(cloud: Cloud, hospital_id: str, patient_id: str | None) -> int:
    """Count a hospital's rows, of one patient or of all. Raises Corrupt."""
    if patient_id is None:
        return sum(1 for _ in rows_of(cloud, hospital_id))
    return cloud.stores.index.count_of(owners(cloud, patient_id, hospital_id))


def purge_rows_of(cloud: Cloud, hospital_id: str, patient_id: str | None) -> int:
    """Take a hospital's rows out, of one patient or of all; give how many it were. Raises Corrupt."""
    if patient_id is None:
        return forget_rows_of(cloud, hospital_id)
    return cloud.stores.index.purge(owners(cloud, patient_id, hospital_id))
