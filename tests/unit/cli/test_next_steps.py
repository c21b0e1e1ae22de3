"""The commands that `init` prints as next steps: typed as they are printed, they find the node and its PIN."""

from pathlib import Path

import pytest

from federation.cli.next_steps import SERVICES, Typing
from federation.settings import TokenSettings

FILE = Path("/root/the pin")
URI = "pkcs11:token=t"


@pytest.mark.parametrize(
    ("settings", "directory", "command", "serve"),
    [
        (
            TokenSettings(URI, pin_file=FILE),
            SERVICES / "union",
            "medunion check --directory /var/lib/medunion/union",
            "medunion public-cloud serve --directory /var/lib/medunion/union",
        ),
        (
            TokenSettings(URI, pin_credential="pin"),
            SERVICES / "union",
            "medunion-node union check",
            "systemctl enable --now medunion-public-cloud@union",
        ),
        (
            TokenSettings(URI, pin_credential="pin"),
            Path("/srv/union"),
            "medunion check --directory /srv/union --pin-file '/root/the pin'",
            "medunion public-cloud serve --directory /srv/union --pin-file '/root/the pin'",
        ),
        (
            TokenSettings(URI, pin_credential="another"),
            SERVICES / "union",
            "medunion check --directory /var/lib/medunion/union --pin-file '/root/the pin'",
            "medunion public-cloud serve --directory /var/lib/medunion/union --pin-file '/root/the pin'",
        ),
    ],
    ids=["file", "service", "elsewhere", "another credential"],
)
def test_command_says_where_the_pin_is_unless_the_settings_do(
    settings: TokenSettings, directory: Path, command: str, serve: str
) -> None:
    typing = Typing.of(directory, settings, FILE)
    assert typing.command("check") == command
    assert typing.serve("public-cloud") == serve


def test_pin_becomes_the_credential_of_the_service_first() -> None:
    settings = TokenSettings(URI, pin_credential="pin")
    (task,) = Typing.of(SERVICES / "union", settings, FILE).seal_pin()
    target = "/etc/credstore.encrypted/medunion-union.pin"
    assert task.command == f"systemd-creds encrypt --name=pin '/root/the pin' {target}"
    (task,) = Typing.of(SERVICES / "union", settings, None).seal_pin()
    assert task.command == f"systemd-ask-password PIN | systemd-creds encrypt --name=pin - {target}"
    assert list(Typing.of(Path("/srv/union"), settings, FILE).seal_pin()) == []
