"""Credentials that systemd hands to a service: files in a directory of its own (systemd.exec(5), LoadCredential).

Their mode may show 0440, for an access list lets the service's user read them. Nowhere else is such a mode taken for a secret's.
"""

import os
import stat
from pathlib import Path

from federation.settings import ConfigError

DIRECTORY = "CREDENTIALS_DIRECTORY"
"""The environment variable that systemd sets for a service that has credentials."""

_OTHERS = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO


def are_handed_over() -> bool:
    """Say whether systemd started this process with credentials."""
    return bool(os.environ.get(DIRECTORY))


def credential_file(name: str, key: str) -> Path:
    """Give the file of the credential that a setting names. Raises ConfigError, which names the setting."""
    directory = Path(os.environ.get(DIRECTORY, ""))
    if not directory.is_absolute():
        raise ConfigError(f"{key}: there is no ${DIRECTORY}: systemd hands credentials to the service alone")
    file = directory / name
    try:
        status = file.lstat()
    except OSError as error:
        raise ConfigError(f"{key}: the credential {name} can't be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS:
        raise ConfigError(f"{key}: the credential {name} has to be a regular file that others can't read")
    return file
