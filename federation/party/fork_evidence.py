"""What a server found of others' logs, as exhibits for a judge."""

from collections.abc import Iterator, Sequence

from federation.party.witness import FORK
from federation.protocol.exhibit import KeptExhibit
from federation.protocol.judged_logs import fork_exhibit
from federation.store.witnessed import LogFinding
from federation.v1.statement_pb2 import SignedStatement


def forks(findings: Sequence[LogFinding]) -> Iterator[KeptExhibit]:
    """Yield the forks among findings: what else was found is not proved by two heads alone."""
    for it in findings:
        if it.kind == FORK:
            shown, held = _statement(it.shown_key_statement), _statement(it.held_key_statement)
            exhibit = fork_exhibit(it.node_id, it.held_note, it.shown_note, shown, held)
            yield KeptExhibit(exhibit, it.finding_id, it.at, 0)


def _statement(data: bytes) -> SignedStatement | None:
    return SignedStatement.FromString(data) if data else None
