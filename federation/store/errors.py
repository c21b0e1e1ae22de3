"""What goes wrong in a store."""


class StoreError(Exception):
    """Root of the family; never raised itself."""

    reason = "STORE_ERROR"


class AlreadyStored(StoreError):
    """Something else is kept under that name already."""

    reason = "ALREADY_EXISTS"


class NotStored(StoreError):
    """Nothing is kept under that name."""

    reason = "NOT_FOUND"


class NonceRepeated(StoreError):
    """An R_X1 that was issued before: two of one give the issuing key away."""

    reason = "ISSUER_NONCE_REPEATED"


class OutOfSequence(StoreError):
    """A frame that is not the next one of its direction."""

    reason = "OUT_OF_ORDER"


class AlreadyAdmitted(StoreError):
    """A message whose replay key is kept already."""

    reason = "MESSAGE_REPLAYED"


class StoreLimit(StoreError):
    """A bound on what one party may keep here is reached."""

    reason = "LIMIT_REACHED"


class BudgetSpent(StoreError):
    """A budget has no room for another patient; `kind` is what the decision calls it."""

    reason = "BUDGET_EXHAUSTED"

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class StillHeld(StoreError):
    """A hold is on what is to be erased."""

    reason = "RECORD_HELD"


class StillKept(StoreError):
    """The retention of what is to be erased is not over, or nobody said when it is."""

    reason = "RECORD_RETAINED"


class StoreUnavailable(StoreError):
    """The database does not answer or is locked; try again."""

    reason = "STORE_UNAVAILABLE"


class StoreFull(StoreUnavailable):
    """The disk, or what of it one may use, is full."""

    reason = "STORE_FULL"


class StoredRecordCorrupt(StoreError):
    """What was kept is not what comes back."""

    reason = "STORED_RECORD_CORRUPT"


class BackupRejected(StoreError):
    """A backup is not as it was made, is another node's, or can't be restored where it is to be."""

    reason = "BACKUP_REJECTED"
