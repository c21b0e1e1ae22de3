"""Runs what a token can change under each profile of profiles.toml, and writes down for docs/tokens.md what came out.

    ci/token-profiles           run all and print the table
    ci/token-profiles --write   and put it into the page
    ci/token-profiles --check   and fail unless it stands there

Each profile has a process of its own: a module's list of functions is limited for life.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.contract.limited import PROFILE, PROFILES
from tests.contract.token_backends import ENVIRONMENT, SoftHsmToken

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tokens.md"
BEGIN, END = "<!-- written by ci/token-profiles -->", "<!-- end of what ci/token-profiles wrote -->"
SUITE = [
    f"tests/contract/test_token_{part}.py"
    for part in ("keys", "signing", "agreement", "import", "mac", "nonces", "roles")
]
HEAD = """\
| token | way | how S_X gets in | ECDSA's nonces | documented | profiled | run |
| --- | --- | --- | --- | --- | --- | --- |
"""
_ROLES = ("authority", "doctor", "patient", "hospital", "public-cloud")
_WAYS_IN = {"create": "C_CreateObject", "unwrap": "C_UnwrapKey", "tool": "the maker's tool"}
ON_ITSELF: Mapping[str, Iterable[str]] = {
    "softhsm-2": SoftHsmToken.roles or (),
    "nss": (),  # has every ability, and says of no key that it was made inside: every party's policy refuses it
    "tpm-2": ("authority",),  # by hand: docs/tokens.md, TPM
    "tpm-2-debian-12": ("authority",),  # other_tokens/test_check_on_a_tpm.py
}
"""The roles for which a test finds the thing itself to do, where it is here."""


@dataclass(frozen=True)
class Outcome:
    """What a run under a profile gave: for whom the token will do, and for whom it will if the maker's tool puts S_X in."""

    name: str
    roles: frozenset[str] = frozenset()
    by_tool: frozenset[str] = frozenset()
    way: str = ""

    @property
    def row(self) -> str:
        """Return the profile's row of the table."""
        profile = PROFILES[self.name]
        profiled = _named(self.roles)
        if self.by_tool:
            profiled += f"; with S_X by the tool: {_named(self.by_tool)}"
        cells = (
            profile["product"],
            f"`{self.way}`" if self.way else "none",
            _WAYS_IN[profile["import"]],
            "?" if profile["nonces"] == "unknown" else profile["nonces"],
            _named(profile["roles"]),
            profiled,
            _named(ON_ITSELF[self.name]) if self.name in ON_ITSELF else "not run",
        )
        return f"| {' | '.join(cells)} |\n"


def _named(roles: Iterable[str]) -> str:
    given = [role.replace("-", " ") for role in _ROLES if role in set(roles)]
    return "every" if len(given) == len(_ROLES) else ", ".join(given) or "none"


def run(name: str) -> Outcome:
    """Run the suite under a profile; raises RuntimeError with what it said unless all of it passes."""
    environment = os.environ | {ENVIRONMENT: "tests.contract.limited:LimitedToken", PROFILE: name}
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        done = subprocess.run(
            [*command, f"--junitxml={report}", *SUITE],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name}\n{done.stdout}{done.stderr}")
        found = ET.parse(report).iter("property")
        told = {entry.get("name", ""): entry.get("value", "") for entry in found}
    roles, by_tool = (frozenset(told.get(what, "").split()) for what in ("roles", "by_tool"))
    if frozenset(told.get("visit", "").split()) != roles | by_tool:
        raise RuntimeError(f"{name}: a visit had other roles on the token than `token check` allows.")
    return Outcome(name, roles, by_tool, told.get("ECDH_P256", ""))


def main() -> None:
    """Run every profile, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        table = HEAD + "".join(outcome.row for outcome in pool.map(run, PROFILES))
    print(table, end="")
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}\n\n{table}\n{END}{after}"
    if "--write" in sys.argv:
        PAGE.write_text(wanted)
    elif "--check" in sys.argv and wanted != text:
        sys.exit(f"{PAGE.relative_to(ROOT)} has another table: run ci/token-profiles --write")


if __name__ == "__main__":
    main()
