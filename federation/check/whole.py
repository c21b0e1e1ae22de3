"""A whole check of a node: what is looked at, in which order."""

from collections.abc import Callable, Iterator

from federation.check import membership, own, peers, witnessing
from federation.check.findings import KINDS, Examined, Finding, Kind, NodeSettings, Verdict, failed, look
from federation.clock import Clock, system_clock
from federation.party.node_directory import NodeDirectory
from federation.person.device import unlock
from federation.person.profile import PatientSettings, Profile
from federation.settings import ConfigError, TokenSettings
from hsm import PinProvider

_LOOKS = (
    ("files", own.files),
    ("token", own.token),
    ("database", own.database),
    ("keys", own.keys),
    ("log", own.log),
    ("blobs", own.blobs),
    ("emergencies", own.emergencies),
    ("serving", peers.serving),
    ("trust", membership.trust),
    ("witnesses", witnessing.witnesses),
    ("revocations", membership.revocations),
    ("restrictions", membership.restrictions),
    ("registration", membership.registration),
    ("certificates", membership.certificates),
    ("dialling", peers.dialling),
    ("peers", peers.peers),
    ("clock", membership.clock),
)


def check(
    directory: NodeDirectory, pin: Callable[[TokenSettings], PinProvider], clock: Clock = system_clock
) -> Iterator[Finding]:
    """Look at everything that a node depends on. `pin` gives a PIN; a patient's comes from a reading."""
    try:
        kind, settings = settings_of(directory)
    except ConfigError as error:
        yield failed("settings", error)
        return
    yield Finding("settings", Verdict.OK, f"{directory.settings_file} is {settings.identity}'s, a {kind.role}")
    examined = Examined(directory, kind, settings, lambda: _pin_of(directory, settings, pin), clock)
    someone_elses = own.is_someone_elses(examined)
    if someone_elses is not None:
        yield someone_elses
        return
    with examined.opened:
        for what, at in _LOOKS:
            yield from look(what, examined, at)


def settings_of(directory: NodeDirectory) -> tuple[Kind, NodeSettings]:
    """Read a node's settings, of the kind that its identity says. Raises ConfigError."""
    kind = KINDS.get(directory.letter)
    if kind is None:
        says = directory.letter or "it is missing"
        raise ConfigError(f"identity: {says}: a check is for C:, H:, D: and P:... ({directory.settings_file})")
    return kind, directory.settings(kind.settings)


def _pin_of(
    directory: NodeDirectory, settings: NodeSettings, pin: Callable[[TokenSettings], PinProvider]
) -> PinProvider:
    if not isinstance(settings, PatientSettings):
        return pin(settings.token)
    unlocked = unlock(Profile(directory.path), settings.device, directory.trust().anchors.realm)
    return lambda: unlocked.pin
