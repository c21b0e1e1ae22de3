"""What `medunion check` says of what patients hide and hospitals have yet to take."""

from federation.check.findings import KINDS, Examined, Finding, Verdict
from federation.check.membership import restrictions
from federation.clock import system_clock
from federation.cloud.node import PublicCloudNode
from federation.store.rows import StoredRestriction


def checked(node: PublicCloudNode) -> list[Finding]:
    examined = Examined(node.directory, KINDS["C"], node.settings, lambda: None, system_clock, database=node.database)
    return list(restrictions(examined))


def test_check_notes_a_hospital_that_lacks_what_patients_hide_until_it_has_it(node: PublicCloudNode) -> None:
    store = node.cloud.restrictions.store
    assert [it.verdict for it in checked(node)] == [Verdict.OK]
    store.put(StoredRestriction(bytes(32), 5, b"sealed", 1))
    store.is_due_at(["H:north"], [bytes(32)])
    (finding,) = checked(node)
    assert finding.verdict is Verdict.NOTE
    assert "H:north has yet to take 1 of what patients hide" in finding.says
    store.delivered("H:north", [(bytes(32), 5)])
    assert [it.verdict for it in checked(node)] == [Verdict.OK]
