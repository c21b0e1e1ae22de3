"""The tables of every role, as the newest migration leaves them. A role fills only its own.

Keys are random, digests or HMACs, so that a database of many machines spreads them; none comes from a sequence of the
database. Only the log's have an order.
"""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


class Unsigned64(sa.types.TypeDecorator[int]):
    """A u64 of the wire. Above 2^63 - 1 it is kept as that: a peer's absurd time then means "never", not an overflow."""

    impl = sa.BigInteger
    cache_ok = True
    greatest = 2**63 - 1

    def process_bind_param(self, value: int | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's
        return None if value is None else min(value, self.greatest)


def _table(name: str, *items: sa.schema.SchemaItem, clustered: bool = True) -> sa.Table:
    """Lay a table of small rows in its primary key in SQLite too (no rowid); one of large rows must not lie there."""
    return sa.Table(name, metadata, *items, sqlite_with_rowid=not clustered)


def _key(name: str, kind: type[sa.types.TypeEngine[Any]] = sa.LargeBinary) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=nullable)


def _signed(*names: str) -> list[sa.Column[bytes]]:
    return [_bytes(f"{name}_{part}") for name in names for part in ("statement", "signature")]


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _u64(name: str, *, nullable: bool = False, before: str | None = None) -> sa.Column[int]:
    """Make a u64; `before` is what a row has that was written before there was this column."""
    return sa.Column(name, Unsigned64, nullable=nullable, server_default=before)


def _generation() -> sa.Column[int]:
    return sa.Column("generation", sa.BigInteger, nullable=False, server_default="1")


def _logged() -> sa.Column[bytes]:
    """Make the id of an entry of the log; a row that was written before there were any has none."""
    return sa.Column("logged", sa.LargeBinary, nullable=False, server_default="")


replay = _table("replay", _key("key"), _u64("until"), sa.Index("replay_until", "until"))

# The sequence lies before the value: SQLite reads all that lies before a column, a directory of megabytes too.
settings = _table("settings", _key("name", sa.Text), _u64("sequence", nullable=True), _bytes("value"), clustered=False)

epochs = _table(
    "epochs",
    _key("key_id"),
    _text("token_label"),
    _bytes("sealed_seed"),
    _bytes("statement"),
    _bytes("signature"),
    _u64("not_after"),
    clustered=False,
)

log_waiting = _table(
    "log_waiting",
    _key("at", Unsigned64),
    _key("entry_id"),
    _bytes("leaf"),
    _bytes("sealed"),
    _bytes("patient_key", nullable=True),
    sa.Column("generation", sa.BigInteger, nullable=True),
)

log = _table(
    "log",
    _key("sequence", sa.BigInteger),
    _u64("at"),
    _bytes("entry_id"),
    _bytes("leaf"),
    sa.Index("log_entry_id", "entry_id"),
)

log_entries = _table("log_entries", _key("sequence", sa.BigInteger), _bytes("sealed"))

# Of each full tile of 256 hashes its hash, in the row of tiles above; the lowest row is the log's leaves.
log_nodes = _table("log_nodes", _key("level", sa.BigInteger), _key("position", sa.BigInteger), _bytes("hash"))

log_state = _table("log_state", _key("name", sa.Text), _u64("number"), _u64("size"), _u64("shredded"))

log_heads = _table(
    "log_heads",
    _key("number", Unsigned64),
    _key("size", Unsigned64),
    _bytes("root"),
    _u64("at"),
    _bytes("note"),
)

log_cosignatures = _table(
    "log_cosignatures",
    _key("number", Unsigned64),
    _key("size", Unsigned64),
    _key("witness_id", sa.Text),
    _bytes("line"),
    _u64("at"),
)

log_time_stamps = _table(
    "log_time_stamps",
    _key("number", Unsigned64),
    _key("size", Unsigned64),
    _bytes("note"),
    _bytes("key_statement"),
    _bytes("time_stamp"),
    _u64("at"),
)

budgets = _table(
    "budgets",
    _key("who_key"),
    _key("budget", sa.Text),
    _key("begins_at", Unsigned64),
    sa.Column("spent", sa.BigInteger, nullable=False),
    _u64("ends_at"),
    sa.Index("budgets_ends_at", "ends_at"),
)

budget_patients = _table(
    "budget_patients",
    _key("who_key"),
    _key("budget", sa.Text),
    _key("begins_at", Unsigned64),
    _key("patient_key"),
    _u64("ends_at"),
    sa.Index("budget_patients_ends_at", "ends_at"),
)

accesses = _table(
    "accesses",
    _key("patient_key"),
    _key("sequence", sa.BigInteger),
    _generation(),
    sa.Index("accesses_sequence", "sequence"),
)

evidence = _table(
    "evidence",
    _key("entry_id"),
    _text("kind"),
    _bytes("reference"),
    _bytes("sealed"),
    _u64("at"),
    sa.Index("evidence_at", "at", "entry_id"),
    sa.Index("evidence_kind", "kind", "at", "entry_id"),
    clustered=False,
)

tickets = _table(
    "tickets",
    _key("digest"),
    _text("role"),
    _text("identity"),
    _u64("expires_at"),
    _text("issued_by"),
    sa.Index("tickets_expires_at", "expires_at"),
)

answers = _table(
    "answers",
    _key("request_digest"),
    _bytes("answer"),
    _u64("until"),
    sa.Index("answers_until", "until"),
    clustered=False,
)

issuances = _table(
    "issuances",
    _key("serial"),
    _text("role"),
    _text("identity"),
    _bytes("credential"),
    _u64("at"),
    sa.Index("issuances_at", "at", "serial"),
)

issued_points = _table(
    "issued_points",
    sa.Column("serial", sa.LargeBinary, sa.ForeignKey("issuances.serial"), primary_key=True),
    _bytes("registration_point"),
    _u64("at"),
)

issued_nonces = _table("issued_nonces", _key("registration_point"), _bytes("serial"))

stopped_issuers = _table("stopped_issuers", _key("public_key"), _bytes("serial"), _u64("at"))

registrations = _table(
    "registrations",
    _key("identity", sa.Text),
    _text("role"),
    _bytes("serial"),
    _bytes("credential"),
    _bytes("registration_point"),
    _bytes("verifying_key"),
    *_signed("key", "encryption"),
    _bytes("sealed_shared_key"),
    _u64("not_before", before="0"),
    _u64("not_after"),
    _text("address", nullable=True),
    clustered=False,
)

superseded = _table("superseded", _key("identity", sa.Text), _key("serial"), _u64("not_after"))

reservations = _table("reservations", _key("identity", sa.Text), _bytes("serial"), _u64("until"))

index_rows = _table(
    "index_rows",
    _key("bucket", sa.Integer),
    _key("row_key"),
    _key("row_id"),
    _bytes("hospital_key"),
    _bytes("level"),
    _bytes("sealed"),
    _generation(),
    sa.Index("index_rows_bucket", "bucket", "hospital_key"),
)

revocations = _table(
    "revocations",
    _key("digest"),
    _key("kind", sa.Text),
    _u64("before", nullable=True),
    _u64("expires_at"),
    _u64("at"),
    _u64("revision", before="0"),
    _u64("ended_at", nullable=True),
    sa.Index("revocations_expires_at", "expires_at"),
    sa.Index("revocations_revision", "revision"),
    sa.Index("revocations_ended_at", "ended_at"),
)

revocation_version = _table(
    "revocation_version",
    _key("book", sa.Text),
    _u64("version"),
    _u64("entries", before="0"),
    _u64("forgotten", before="0"),
)

revocation_shards = _table(
    "revocation_shards",
    _key("prefix", sa.Integer),
    _u64("sequence"),
    _bytes("entries"),
    _bytes("sweeps"),
    sa.Index("revocation_shards_sequence", "sequence"),
    clustered=False,
)

authorities = _table(
    "authority_certificates",
    _key("authority_id", sa.Text),
    _key("certificate_digest"),
    _bytes("certificate"),
    _text("doctor_ids"),
    _bytes("crl", nullable=True),
    _text("crl_number"),
    _text("crl_url", nullable=True),
    clustered=False,
)

trust_bundles = _table(
    "trust_bundles", _key("sequence", sa.BigInteger), _bytes("statement"), _bytes("signature"), clustered=False
)

records = _table(
    "records",
    _key("handle"),
    _key("version", sa.BigInteger),
    _bytes("patient_key"),
    _text("department_id"),
    _text("department_class"),
    _u64("stored_at"),
    _bytes("wrapped_key"),
    _bytes("sealed_parts"),
    _generation(),
    _u64("keep_until", nullable=True),
    sa.Column("sensitivity", sa.Text, nullable=False, server_default="normal"),
    sa.Index("records_patient_key", "patient_key", "handle"),
    sa.Index("records_patient_class", "patient_key", "department_class", "sensitivity"),
    sa.Index("records_keep_until", "keep_until", "handle"),
    clustered=False,
)

standings = _table("standings", _key("handle"), _text("standing"), _u64("changed_at"), _logged())

holds = _table("holds", _key("handle"), _key("hold_id"), _u64("placed_at"), _logged())

record_blobs = _table("record_blobs", _key("name", sa.Text))
"""Which blobs are of a record, and not of which."""

condemned_blobs = _table("condemned_blobs", _key("name", sa.Text), _u64("condemned_at"))

deposit_answers = _table("deposit_answers", _key("deposit_digest"), _bytes("answer"), clustered=False)

outbox = _table(
    "outbox",
    _key("entry_id"),
    _bytes("sealed"),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    _u64("not_before"),
    sa.Index("outbox_not_before", "not_before"),
    clustered=False,
)

rooms = _table(
    "rooms",
    _key("room_id"),
    _text("doctor_id"),
    *_signed("key", "encryption"),
    _bytes("doctor_certificate"),
    _u64("expires_at"),
    sa.Column("held_bytes", sa.BigInteger, nullable=False),
    sa.Index("rooms_expires_at", "expires_at"),
    sa.Index("rooms_doctor_id", "doctor_id"),
    clustered=False,
)

frames = _table(
    "frames",
    sa.Column("room_id", sa.LargeBinary, sa.ForeignKey("rooms.room_id", ondelete="CASCADE"), primary_key=True),
    _key("direction", sa.BigInteger),
    _key("number", Unsigned64),
    _bytes("frame"),
    clustered=False,
)

shifts = _table(
    "shifts",
    _key("shift_id"),
    _text("doctor_id"),
    _text("department_classes"),
    _u64("not_before"),
    _u64("not_after"),
    _u64("ended_at", nullable=True),
    _u64("told_at", nullable=True),
    _bytes("duty_statement", nullable=True),
    _bytes("duty_signature", nullable=True),
    sa.Index("shifts_doctor_id", "doctor_id", "not_after"),
    sa.Index("shifts_not_after", "not_after", "shift_id"),
    clustered=False,
)

guardianships = _table(
    "guardianships",
    _key("guardianship_id"),
    _bytes("sealed"),
    _u64("not_after"),
    _u64("ended_at", nullable=True),
    _u64("told_at", nullable=True),
    sa.Index("guardianships_not_after", "not_after"),
    clustered=False,
)

emergencies = _table(
    "emergencies",
    _key("emergency_digest"),
    _bytes("sealed"),
    _u64("declared_at"),
    _bytes("logged"),
    sa.Column("accesses", sa.BigInteger, nullable=False),
    _u64("reviewed_at", nullable=True),
    _bytes("sealed_review", nullable=True),
    sa.Index("emergencies_reviewed_at", "reviewed_at", "declared_at"),
    clustered=False,
)

restrictions = _table(
    "restrictions", _key("patient_key"), _u64("number"), _bytes("sealed"), _generation(), clustered=False
)

restriction_deliveries = _table(
    "restriction_deliveries",
    _key("patient_key"),
    _key("hospital_id", sa.Text),
    _u64("due", nullable=True),
    _u64("handed_out_at"),
    sa.Index("restriction_deliveries_hospital_id", "hospital_id", "due"),
)

witnessed = _table(
    "witnessed",
    _key("node_id", sa.Text),
    _text("origin"),
    _u64("size"),
    _bytes("root"),
    _bytes("note"),
    _bytes("key_statement"),
    _u64("at"),
    clustered=False,
)

followed_logs = _table(
    "followed_logs", _key("node_id", sa.Text), _text("origin"), _u64("size"), _u64("at"), clustered=False
)

log_findings = _table(
    "log_findings",
    _key("finding_id"),
    _text("node_id"),
    _text("kind"),
    _bytes("held_note"),
    _bytes("held_key_statement"),
    _bytes("shown_note"),
    _bytes("shown_key_statement"),
    _u64("at"),
    _u64("settled_at", nullable=True),
    sa.Index("log_findings_at", "at", "finding_id"),
    clustered=False,
)
