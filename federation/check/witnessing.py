"""Whether as many stand by a node's log as the witness policy of the trust bundle asks for."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from federation.check.findings import Examined, Finding, Verdict
from federation.clinical.text import counted
from federation.hospital.witnessing import witnesses_of
from federation.protocol.time import Instant, milliseconds
from federation.protocol.witness_policy import WitnessPolicy
from federation.settings import CloudSettings, HospitalSettings
from federation.store.log_heads import LogHeads
from federation.store.registrations import Registrations
from keystore.identities import CLOUD

COSIGNED_WITHIN = timedelta(minutes=10)
"""As long as the alarm waits (docs/operations.md)."""

_PAGE = "docs/operations.md, Medunion log not cosigned"


def witnesses(examined: Examined) -> Iterator[Finding]:
    """Hold whom the node asks for cosignatures, and the heads of its log, to the policy of now. A person's log has no head."""
    settings = examined.settings
    if not isinstance(settings, CloudSettings | HospitalSettings):
        return
    anchors = examined.need_trust().anchors
    if isinstance(settings, HospitalSettings):
        asked = witnesses_of(anchors, settings.log, examined.identity)
    else:
        registered = Registrations(examined.need_database()).hospitals(now=examined.clock())
        asked = [hospital_id for hospital_id, _ in registered]
    heads = LogHeads(examined.need_database())
    yield held_to(anchors.witnesses.newest, examined.identity, asked, heads, now=examined.clock())


def held_to(policy: WitnessPolicy, author_id: str, asked: Iterable[str], heads: LogHeads, *, now: Instant) -> Finding:
    """Return what is to be said of a log whose node can ask these."""
    can, wanted = policy.counted(asked, author_id), policy.cosignatures
    if len(can) < wanted:
        is_cloud = author_id.startswith(CLOUD)
        says = f"the policy asks for {counted(wanted, 'cosignature')} of this log, and can get {len(can)}"
        do = (
            "register hospitals, or state another policy: medunion public-cloud witness-policy"
            if is_cloud
            else "name more hospitals in [log] witnesses, and restart: medunion trust show says who counts"
        )
        return Finding("witnesses", Verdict.NOTE if is_cloud and not can else Verdict.WRONG, says, do)
    newest = heads.newest()
    believed = heads.newest_cosigned(wanted, policy.hospitals, policy.cloud_id)
    if newest is not None and believed == newest:
        lines = heads.cosignatures(newest.number, newest.size)
        who = ", ".join(policy.counted((it.witness_id for it in lines), author_id))
        says = f"the newest head of the log is cosigned by {who}; the policy asks for {wanted}"
        return Finding("witnesses", Verdict.OK, says)
    waiting = heads.first_after(believed)
    if waiting is None:
        return Finding("witnesses", Verdict.NOTE, "no head of the log is signed yet", "serve: it signs one")
    minutes = (now - waiting.at) // 60_000
    says = f"for {counted(minutes, 'minute')} fewer than {wanted} have cosigned the newest heads of the log"
    if now - waiting.at > milliseconds(COSIGNED_WITHIN):
        return Finding("witnesses", Verdict.WRONG, says, f"see {_PAGE}")
    return Finding("witnesses", Verdict.NOTE, says, "look again in a minute, while it serves")
