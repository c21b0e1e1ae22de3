"""deploy/container, as far as it shows without root and a network; ci/container-proof performs it."""

import re
import subprocess
from pathlib import Path

import pytest

from ci.containerfile import Builder, Unknown

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "container" / "Containerfile"


def stages() -> dict[str, str]:
    """Give each stage's steps by its name."""
    parts = re.split(r"^FROM \S+ AS (\w+)\n", FILE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_what_is_built_by_default_has_no_build_tools_and_no_software_token() -> None:
    named = stages()
    assert [*named][-1] == "node"
    shipped = named["runtime"] + named["node"]
    assert not re.search(r"pip|gcc|softhsm|venv", shipped.replace("/opt/medunion", ""))
    assert "USER 10001" in shipped
    assert '"medunion", "health"' in shipped


def test_every_package_comes_with_its_digest() -> None:
    installs = [
        line for line in FILE.read_text().splitlines() if " install " in line and "pip" in line and "RUN" in line
    ]
    from_registries = [line for line in installs if "apt-get" not in line and "--no-index" not in line]
    assert len(from_registries) == 1
    assert "--require-hashes" in from_registries[0]


@pytest.mark.parametrize("step", ["SHELL bash", "ADD a b", "ONBUILD RUN true", "COPY a b", "FROM debian"])
def test_step_that_the_proof_does_not_perform_is_refused(step: str, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    archive = tmp_path / "base.tar"
    subprocess.run(["tar", "-cf", archive, "-C", tmp_path / "base", "."], check=True)
    file = tmp_path / "Containerfile"
    file.write_text(f"FROM debian AS base\n{step}\n")
    (tmp_path / "work").mkdir()
    with pytest.raises(Unknown):
        Builder({"debian": archive}, tmp_path, tmp_path / "work").build(file)


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "ci").iterdir() if not path.suffix))
def test_script_is_right_to_shellcheck(script: str) -> None:
    path = ROOT / "ci" / script
    if not path.is_file() or not path.read_text().startswith(("#!/bin/sh", "#!/usr/bin/env bash")):
        return
    done = subprocess.run(["shellcheck", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
