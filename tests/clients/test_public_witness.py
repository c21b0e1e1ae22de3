"""A witness of the public, transparency-dev's in Go, cosigns the heads of a log of ours, and no fork of it."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from federation.errors import HeadNotCosigned, NoteMalformed, SignatureInvalid
from federation.party.public_witnesses import PublicWitnesses
from federation.protocol.public_witness import ED25519, ML_DSA_44, PublicWitness, log_vkey, read_kept_size
from federation.settings import ConfigError, public_witness_of
from federation.wire.channel import ANYWHERE
from federation.wire.fetching import AnsweredOtherwise, Fetcher
from tests.clients.foreign import BUILD_SECONDS
from tests.log_lab import LogNode
from tests.simulator import Federation

SOURCE = Path(__file__).parents[1] / "public_witness"
NAME = "witness.example/w1"


@pytest.fixture(scope="module", params=["go"])
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the witness."""
    built = tmp_path_factory.mktemp("witness") / "public_witness"
    subprocess.run(["go", "build", "-o", built, "."], cwd=SOURCE, check=True, timeout=BUILD_SECONDS)
    return built


@dataclass
class Served:
    """Where a witness serves, and its keys, of Ed25519 and ML-DSA-44."""

    url: str
    vkeys: dict[int, str]

    def asked(self, node: LogNode, algorithm: int = ED25519, own: Any = None) -> PublicWitnesses:
        """What asks it for a log, and goes by one of its keys."""
        witness = PublicWitness.read(self.vkeys[algorithm])
        fetcher = Fetcher(16_384, ANYWHERE, plain=True)
        return PublicWitnesses(own or node.own, [(self.url, witness)], fetcher)


@pytest.fixture
def alpha(federation: Federation) -> LogNode:
    node = LogNode("H:alpha", federation, federation.hospital_a, cast("Any", None))
    node.write("one", "two", "three")
    return node


@pytest.fixture
def serve(program: Path) -> Callable[..., Any]:
    @contextmanager
    def serve(*vkeys: str) -> Iterator[Served]:
        with subprocess.Popen([program, NAME, *vkeys], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url, plain, lattice = (process.stdout.readline().strip() for _ in range(3))
                yield Served(url, {ED25519: plain, ML_DSA_44: lattice})
            finally:
                process.kill()

    return serve


def known(node: LogNode) -> str:
    """The key by which a witness knows a node's log."""
    origin = node.own.sign_newest().note.decode().partition("\n")[0]
    return log_vkey(origin, node.own.signing_key(0).verifying_key)


@pytest.mark.parametrize("algorithm", [ED25519, ML_DSA_44], ids=["ed25519", "ml-dsa-44"])
def test_public_witness_cosigns_a_log_as_it_grows(serve, alpha: LogNode, algorithm: int) -> None:
    with serve(known(alpha)) as served:
        asked = served.asked(alpha, algorithm)
        asked.push()
        for round_ in range(2):
            alpha.write(f"more {round_}", "and more")
            head = alpha.own.sign_newest()
            asked.push()
            assert alpha.own.public_cosigners(head) == {NAME}
            assert alpha.own.cosigners(head) == frozenset()
    assert NAME.encode() in alpha.own.shown().note


def test_public_witness_that_is_ahead_of_what_is_known_here_says_from_where(serve, alpha: LogNode) -> None:
    """A line was lost on its way, or this node's lines were: it is asked again from the size that it keeps."""
    elsewhere = alpha.another("one", "two", "three")
    with serve(known(alpha)) as served:
        elsewhere.sign_newest()
        served.asked(alpha, own=elsewhere).push()
        alpha.write("more")
        head = alpha.own.sign_newest()
        served.asked(alpha).push()
        assert alpha.own.public_cosigners(head) == {NAME}


def test_public_witness_cosigns_no_fork(serve, alpha: LogNode) -> None:
    with serve(known(alpha)) as served:
        alpha.own.sign_newest()
        served.asked(alpha).push()
        fork = alpha.another("one", "nothing", "three", "four")
        head = fork.sign_newest()
        served.asked(alpha, own=fork).push()
        assert fork.public_cosigners(head) == frozenset()


def test_public_witness_cosigns_no_log_that_it_does_not_know(serve, alpha: LogNode) -> None:
    head = alpha.own.sign_newest()
    with serve() as served:
        asked = served.asked(alpha)
        with pytest.raises(AnsweredOtherwise) as raised:
            asked._asked(served.url, asked.witnesses[0][1], head)
    assert raised.value.status == 404


def test_line_that_is_not_the_witnesss_is_refused(serve, alpha: LogNode) -> None:
    head = alpha.own.sign_newest()
    with serve(known(alpha)) as served:
        asked = served.asked(alpha)
        witness = asked.witnesses[0][1]
        answer = asked._asked(served.url, witness, head)
    assert witness.line_of(head.note, answer) in answer
    alpha.write("more")
    with pytest.raises(SignatureInvalid):
        witness.line_of(alpha.own.sign_newest().note, answer)
    with pytest.raises(HeadNotCosigned):
        replace(witness, name="witness.example/w2").line_of(head.note, answer)
    with pytest.raises(NoteMalformed):
        witness.line_of(head.note, b"no line\n")
    lattice = PublicWitness.read(served.vkeys[ML_DSA_44])
    assert lattice.line_of(head.note, answer) in answer
    with pytest.raises(SignatureInvalid):
        lattice.line_of(alpha.own.sign_newest().note, answer)


@pytest.mark.parametrize("answer", [b"", b"3", b"03\n", b"-1\n", b"9223372036854775808\n", b"3\n4\n"])
def test_note_malformed_for_a_conflict_that_says_no_size(answer: bytes) -> None:
    assert read_kept_size(b"3\n") == 3
    with pytest.raises(NoteMalformed):
        read_kept_size(answer)


VKEY = "witness.example/w1+833a2b59+BEQpkwZQBKoeTEj03QFYGUwCNJvMZkzZbkAOommRio1R"


@pytest.mark.parametrize(
    "words",
    [
        VKEY,
        f"ftp://witness.example {VKEY}",
        f"https://witness.example {VKEY.replace('833a', '833b')}",
        f"https://witness.example {VKEY.replace('+BEQ', '+AUQ')}",
        f"https://witness.example {VKEY[:-4]}",
        "https://witness.example",
    ],
)
def test_setting_that_names_no_public_witness_is_refused(words: str) -> None:
    assert public_witness_of(f"https://witness.example {VKEY}")[1].name == NAME
    with pytest.raises(ConfigError):
        public_witness_of(words)
