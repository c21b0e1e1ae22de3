"""An `init` that is typed again: what it says of a node that is made already, held against what that node is.

It goes on where it was cut off, and changes nothing that stands. So what is typed and differs is refused and named, with the
way that it is changed; what is left out is as it stands.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from federation.cli.hospital import HospitalPlan
from federation.cloud.node import DEPARTMENT_CLASSES, Founding
from federation.party.node_directory import NodeDirectory
from federation.protocol.bundle import TrustedBundle
from federation.settings import (
    BlobSettings,
    CloudSettings,
    ConfigError,
    DatabaseSettings,
    HospitalSettings,
)

_MOVE = "`medunion public-cloud move` gives the federation another"
_FOUNDED = "the founder decided it once and for all"
_CARRIED = "a backup and `medunion restore` carry what it keeps"


@dataclass(frozen=True)
class Said:
    """Something that is typed, what stands, and how that is changed."""

    name: str
    typed: object
    stands: object
    changed: str


def require_as_founded(
    directory: NodeDirectory, founding: Founding, database: DatabaseSettings, token: str | None, credential: str | None
) -> None:
    """Require a `public-cloud init` to say what stands. Raises ConfigError."""
    settings = directory.settings(CloudSettings)
    require_same_identity(directory, settings.identity, founding.identity)
    content = directory.trust().content
    classes = None if founding.department_classes == DEPARTMENT_CLASSES else _listed(founding.department_classes)
    _require_same(
        directory,
        (
            Said("--realm", founding.realm, content.realm, _FOUNDED),
            Said("--address", founding.address, content.cloud_address, _MOVE),
            Said("--peer-address", founding.peer_address, content.cloud_peer_address, _MOVE),
            Said("--department-class", classes, _listed(content.department_classes), _FOUNDED),
            _setting("--listen", founding.public_listen, settings.public_listen, "public_listen"),
            _setting("--peer-listen", founding.peer_listen, settings.peer_listen, "peer_listen"),
            *_stored(database, settings.database),
            _setting("--token", token, settings.token.uri, "token.uri"),
            _setting("--pin-credential", credential, settings.token.pin_credential, "token.pin_credential"),
        ),
    )


def require_as_made(
    directory: NodeDirectory,
    plan: HospitalPlan,
    database: DatabaseSettings,
    blobs: BlobSettings,
    token: str | None,
    credential: str | None,
) -> None:
    """Require a `hospital init` to say what stands. Raises ConfigError, BundleUnpinned."""
    settings = directory.settings(HospitalSettings)
    require_same_identity(directory, settings.identity, plan.identity)
    _require_same(
        directory,
        (
            Said(
                "--trust",
                _federation(plan.bundle()),
                _federation(directory.trust()),
                "a member of another has a directory of its own",
            ),
            _setting("--listen", plan.listen, settings.listen, "listen"),
            _setting("--address", plan.address, settings.address, "address"),
            _setting("--department", _listed(plan.departments), _listed(settings.departments), "departments"),
            *_stored(database, settings.database),
            Said("--blobs", blobs.url, settings.blobs.url, _CARRIED),
            _setting("--token", token, settings.token.uri, "token.uri"),
            _setting("--pin-credential", credential, settings.token.pin_credential, "token.pin_credential"),
        ),
    )


def require_same_identity(directory: NodeDirectory, kept: str, identity: str) -> None:
    """Require that the node of a directory is the one that is named. Raises ConfigError."""
    if kept != identity:
        raise ConfigError(f"{directory.settings_file} is {kept}'s: {identity} needs a directory of its own")


def _require_same(directory: NodeDirectory, said: Iterable[Said]) -> None:
    others = [it for it in said if it.typed and it.typed != it.stands]
    if others:
        told = "; ".join(f"{it.name} is {it.stands or 'not set'}, not {it.typed} ({it.changed})" for it in others)
        raise ConfigError(f"the node in {directory.path} is made already, and init changes nothing of it: {told}")


def _setting(name: str, typed: object, stands: object, setting: str) -> Said:
    return Said(name, typed, stands, f"change {setting} in medunion.toml, and restart")


def _stored(typed: DatabaseSettings, stands: DatabaseSettings) -> Iterator[Said]:
    yield Said("--database", typed.url, stands.url, _CARRIED)
    for option, name in (
        ("--database-password-file", "password_file"),
        ("--database-password-credential", "password_credential"),
    ):
        yield _setting(option, getattr(typed, name), getattr(stands, name), f"database.{name}")


def _listed(names: Iterable[str]) -> str:
    return " ".join(sorted(names))


def _federation(bundle: TrustedBundle) -> str:
    return f"{bundle.content.realm} by {bundle.content.cloud_id}"
