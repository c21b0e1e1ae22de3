"""Performs a Containerfile's steps in plain directories, by chroot, where no container engine runs.

It knows what deploy/container/Containerfile uses and refuses everything else: a step that it did not perform proves nothing.
As root, on a machine that may be trusted with what the steps run.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT: Final = ("HEALTHCHECK", "STOPSIGNAL", "VOLUME", "EXPOSE", "LABEL")
_LENT: Final = ("PIP_CERT", "PIP_CONFIG_FILE", "PIP_INDEX_URL", "http_proxy", "https_proxy", "no_proxy")
"""How this machine reaches package registries: a step is given copies of the files, so that it can't change this machine's."""


class Unknown(Exception):
    """The Containerfile has something that isn't performed here."""


class Failed(Exception):
    """A command in a container's place ended with another exit code than 0."""


@dataclass
class Stage:
    """A stage as it has been built: its files, and what a container of it starts with."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    user: str = "0"
    directory: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def command(self, words: list[str]) -> list[str]:
        """Return the command that runs words as a container of this stage would, within a mount namespace of its own."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        inside = ["env", "--ignore-environment", f"--chdir={self.directory}", *variables, *words]
        chroot = shlex.join(["chroot", f"--userspec={self.user}:{self.user}", str(self.root), *inside])
        # Nothing of this machine is mounted in there but its processes, to be looked at: a step writes to its own files alone.
        proc = shlex.quote(str(self.root / "proc"))
        mounts = f"mount -t proc proc {proc} && mount -o remount,bind,ro {proc}"
        return ["unshare", "--mount", "sh", "-euc", f"{mounts} && exec {chroot}"]

    def run(self, *words: str) -> str:
        """Run and give what is said. Raises Failed with it."""
        done = subprocess.run(
            self.command(list(words)), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode:
            raise Failed(f"{shlex.join(words)}: exit code {done.returncode}\n{done.stdout[-4000:]}")
        return done.stdout

    @property
    def healthcheck(self) -> list[str]:
        """Return the words of HEALTHCHECK."""
        words: list[str] = json.loads(self.kept["HEALTHCHECK"].partition("CMD ")[2])
        return words


class Builder:
    """Builds stages of a Containerfile under a directory, from archives of base images."""

    def __init__(self, bases: Mapping[str, Path], context: Path, work: Path) -> None:
        """Know the archive of each base image by its name, and where COPY copies from."""
        self._bases, self._context, self._work = bases, context, work
        self.stages: dict[str, Stage] = {}
        self._arguments: dict[str, str] = {}
        self._current: Stage | None = None

    def build(self, containerfile: Path) -> dict[str, Stage]:
        """Perform every step; give the stages by name. Raises Unknown, Failed."""
        text = re.sub(r"^\s*#.*\n", "", containerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        for line in filter(str.strip, text.splitlines()):
            word, _, rest = line.strip().partition(" ")
            begun = time.monotonic()
            self._step(word.upper(), rest.strip())
            print(f"{time.monotonic() - begun:5.1f} s  {line.strip()}", flush=True)
        return self.stages

    def _step(self, word: str, rest: str) -> None:
        if word == "ARG":
            name, _, value = rest.partition("=")
            self._arguments.setdefault(name, value)
        elif word == "FROM":
            self._current = self._from(self._filled(rest))
        elif self._current is None:
            raise Unknown(f"{word} before FROM")
        elif word == "RUN":
            with lent(self._current.root) as given:
                arguments = [f"{name}={value}" for name, value in (self._arguments | given).items()]
                self._current.run("env", *arguments, "/bin/sh", "-c", rest)
        elif word == "COPY":
            self._copy(self._current, self._filled(rest).split())
        else:
            self._configure(self._current, word, rest)

    def _configure(self, stage: Stage, word: str, rest: str) -> None:
        if word == "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(self._filled(rest)))
        elif word == "USER":
            stage.user = rest
        elif word == "WORKDIR":
            stage.directory = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        elif word in _KEPT:
            stage.kept[word] = rest
        else:
            raise Unknown(f"{word} is not performed here")

    def _from(self, rest: str) -> Stage:
        match = re.fullmatch(r"(\S+) AS (\w+)", rest)
        if match is None:
            raise Unknown(f"FROM {rest}: every stage has a name here")
        base, name = match.groups()
        root = self._work / name
        root.mkdir()
        stage = Stage(root)
        if base in self.stages:
            before = self.stages[base]
            subprocess.run(["cp", "-a", "--reflink=auto", f"{before.root}/.", str(root)], check=True)
            stage = Stage(
                root,
                dict(before.environment),
                before.user,
                before.directory,
                list(before.entrypoint),
                dict(before.kept),
            )
        else:
            subprocess.run(["tar", "-xf", str(self._bases[base]), "-C", str(root)], check=True)
        self.stages[name] = stage
        return stage

    def _copy(self, stage: Stage, words: list[str]) -> None:
        source_root = self._context
        if words[0].startswith("--from="):
            source_root = self.stages[words.pop(0).removeprefix("--from=")].root
        if len(words) != 2 or not all(word.endswith("/") for word in words):
            raise Unknown("COPY takes one directory to another here, both with a slash at the end")
        source, target = source_root / words[0].strip("/"), stage.root / words[1].strip("/")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        for path in (target, *target.rglob("*")):
            os.chown(path, 0, 0, follow_symlinks=False)

    def _filled(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: self._arguments[match[1]], text)


@contextmanager
def lent(root: Path) -> Iterator[dict[str, str]]:
    """Yield what is run in a root the means to reach package registries as this machine does, for the block: variables, files."""
    environment = dict(os.environ)
    if "PIP_CONFIG_FILE" not in environment and Path("/etc/pip.conf").exists():
        environment["PIP_CONFIG_FILE"] = "/etc/pip.conf"
    given: dict[str, str] = {name: environment[name] for name in _LENT if name in environment}
    directory = root / "lent"
    directory.mkdir()
    for name, value in given.items():
        if value.startswith("/"):
            shutil.copyfile(value, directory / name)
            given[name] = f"/lent/{name}"
    shutil.copyfile("/etc/resolv.conf", root / "etc" / "resolv.conf")
    try:
        yield given
    finally:
        shutil.rmtree(directory)
