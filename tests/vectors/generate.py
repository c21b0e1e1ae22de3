"""Makes tests/vectors/*.json: `python -m tests.vectors.generate [--check] [--reseal]`.

Deterministic but for HPKE's encapsulation, whose randomness the library does not let us fix: a ciphertext that was made
once is kept as long as it still says the same to the same receiver.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from federation.protocol.registration import LiveRegistration, Registered
from keystore.errors import SealBroken
from tests.vectors import (
    broken,
    bundles,
    certificates,
    collected,
    curve,
    forms,
    graces,
    granted,
    layers,
    logs,
    logs_replayed,
    one_sided,
    placed,
    revocations,
    said,
    scenario,
    seals,
    signed,
    told,
    typed,
)
from tests.vectors.describe import describe, padded_plaintext, payload_of, plaintext_of
from tests.vectors.draws import Json, Stream
from tests.vectors.kept import DIRECTORY, read
from tests.vectors.refusals import Refusals
from tests.vectors.replay import outcome
from tests.vectors.software import Cast, create_cast
from tests.vectors.software import signed as statement_of
from tests.vectors.world import Step, register

ROLES = ("patient", "doctor", "hospital")
PHASES = {
    "registration": ("reg1", "reg2"),
    "consultation": ("duty-ask", "room", "P1", "D1", "P2"),
    "search": ("D2", "C"),
    "record": ("D3", "H1", "D4", "H2", "STO", "OWN"),
    "diagnosis": ("D5", "P6"),
    "calls": ("pub", "ekput", "tlsca", "tkt", "rev", "rst"),
}


@dataclass
class Recorder:
    """Carries messages, and writes down what goes by."""

    kept: dict[str, Json]
    now: int
    vectors: list[Json] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)

    def entropy(self, name: str) -> Stream:
        return self.streams.setdefault(name, Stream(name))

    def carry(self, step: Step) -> Any:
        step = self._with_kept_ciphertext(step)
        vector = describe(step, self.now)
        assert vector.get("signed", {"signature": ""})["signature"] in vector["plaintext"], step.name
        self.vectors.append(vector)
        self.steps[step.name] = step
        return step.receive(step.message, now=self.now)

    def _with_kept_ciphertext(self, step: Step) -> Step:
        if not step.sealed or step.name not in self.kept:
            return step
        old = type(step.message).FromString(bytes.fromhex(self.kept[step.name]["message"]))
        key, context = step.sealed
        try:
            same = padded_plaintext(key, context, old.sealed) == padded_plaintext(key, context, step.message.sealed)
        except SealBroken:
            return step
        return replace(step, message=old) if same else step


def create(kept: dict[str, Any]) -> dict[str, Json]:
    """Make every file's content, with the ciphertexts of the files that are there."""
    data = create_cast()
    data["trust_bundles"] = bundles.chain(data["cloud"], [data["authority"], data["narrow_authority"]])
    cast = Cast(data)
    old = {vector["name"]: vector for phase in PHASES for vector in kept.get(phase, {}).get("vectors", [])}
    recorder = Recorder(old, cast.now)
    registered: dict[str, Registered] = {}
    for role in ROLES:
        applicant = cast.applicant(role)
        registered[role] = register(
            cast.cloud(), cast.verifier(), applicant, recorder.entropy, recorder.carry, cast.now, cast.begin(role)
        )
    live = LiveRegistration(registered["hospital"].party.key_statement)
    renew = cast.cloud(), cast.verifier(), cast.renewing(), recorder.entropy, recorder.carry, cast.now, cast.now, live
    register(*renew)
    parties = {role: cast.party(role, registered[role]) for role in ROLES}
    world = cast.world(parties, recorder.entropy)
    scenario.run(world, recorder.carry)
    steps = recorder.steps
    shown = granted.shown(world, steps)  # once: each of them draws
    answers = {role: payload_of(steps[f"reg2-{role}"]) for role in ROLES}
    issued = layers.issuing(data, answers, {role: cast.issuer_of(role) for role in ROLES})
    files: dict[str, Any] = {
        "parties": data,
        "entropy": {name: stream.consumed.hex() for name, stream in sorted(recorder.streams.items())},
        "transcript": {"vectors": layers.transcripts()},
        "padding": {"vectors": layers.paddings()},
        "forms": {"vectors": forms.vectors()},
        "typed": {"vectors": typed.vectors()},
        "points": {"vectors": curve.points()},
        "verifying_keys": {"vectors": curve.verifying_keys()},
        "signatures": {"vectors": curve.signatures()},
        "agreement": {"vectors": curve.agreements()},
        "hash_to_curve": {"vectors": curve.hashed_to_curve()},
        "sealing": {"vectors": seals.at_rest()},
        "issuing": {"vectors": issued},
        "schedule": {"vectors": _schedules(recorder, {entry["name"]: entry for entry in issued})},
        "hpke": {"vectors": seals.hpke(_receiver(data), kept.get("hpke", {}).get("vectors", []))},
        "log": {"vectors": logs.vectors()},
        "log_archive": logs.archive(),
        "bundles": {"vectors": bundles.vectors(cast)},
        "certificates": {"vectors": certificates.vectors(cast)},
        "revocations": {"vectors": revocations.create()},
        "statements": {"vectors": collected.statements(world, steps, shown, statement_of(data["trust_bundles"][-1]))},
        "derived": {"vectors": collected.derived(world, steps, shown)},
        "told": {"vectors": told.vectors(world)},
        "one_sided": {"vectors": one_sided.vectors(world.now)},
        "grace": {"vectors": graces.vectors()},
        "broken": {"vectors": broken.vectors(world)},
        "places": {"vectors": placed.vectors(data["cloud"])},
        "plain": {"vectors": said.vectors()},
    }
    for phase, prefixes in PHASES.items():
        files[phase] = {"vectors": [v for v in recorder.vectors if v["name"].startswith(prefixes)]}
    before = {vector["name"]: vector for vector in kept.get("refusals", {}).get("vectors", [])}
    before |= {f"shared key of {name}": {"value": key.hex()} for name, key in world.shared_keys.items()}
    refusals = Refusals(steps, before, cast.now, {entry["name"]: entry for entry in issued}["U_X = O"]).all()
    files["refusals"] = {"vectors": refusals}
    _require_refused(refusals, steps)
    _require_followed(files["bundles"]["vectors"])
    _require_judged(files["certificates"]["vectors"], certificates.outcome)
    _require_judged(files["log"]["vectors"], logs_replayed.outcome)
    _require_judged(files["revocations"]["vectors"], revocations.outcome)
    _require_judged(files["grace"]["vectors"], graces.outcome)
    _require_judged(files["places"]["vectors"], lambda vector: placed.outcome(vector, world.verifier))
    return files


def _schedules(recorder: Recorder, issued: dict[str, Json]) -> list[Json]:
    first, second = ("P1", "D1"), ("D3-read", "H1-read")
    return [
        _schedule(recorder, "SEK_1", "PD", first, (issued["patient"], issued["doctor"]), signed.th1),
        _schedule(recorder, "SEK_2", "DH", second, (issued["doctor"], issued["hospital"]), signed.th2),
    ]


def _schedule(
    recorder: Recorder, name: str, roles: str, messages: tuple[str, str], issued: tuple[Json, Json], th: Any
) -> Json:
    opening, reply = (recorder.steps[message] for message in messages)
    draws = recorder.streams[messages[0]].consumed, recorder.streams[messages[1]].consumed
    credential = bytes.fromhex(issued[1]["credential"])
    assert opening.sealed is not None
    transcript = th(plaintext_of(opening), payload_of(reply), credential, opening.sealed[1].session_id)
    contributions = payload_of(opening).contribution, payload_of(reply).contribution
    return layers.session(name, roles, draws, issued, contributions, transcript)


def _receiver(data: Json) -> seals.Receiver:
    doctor = data["parties"]["doctor"]
    return seals.Receiver(bytes.fromhex(doctor["mlkem_seed"]), bytes.fromhex(doctor["p256_private_key"]))


def _require_refused(refusals: list[Json], steps: dict[str, Step]) -> None:
    for vector in refusals:
        said = outcome(steps[vector["base"]], vector)
        if said != (vector["expect"], vector["wire"]):
            sys.exit(f"{vector['name']}: the code says {said}, the vector {vector['expect'], vector['wire']}")


def _require_followed(found: list[Json]) -> None:
    for vector in found:
        said = bundles.outcome(found, vector)
        if said != vector["expect"]:
            sys.exit(f"{vector['name']}: the code says {said}, the vector {vector['expect']}")


def _require_judged(found: list[Json], outcome_of: Callable[[Json], str]) -> None:
    for vector in found:
        said = outcome_of(vector)
        if said != vector["expect"]:
            sys.exit(f"{vector['name']}: the code says {said}, the vector {vector['expect']}")


def encode(content: Json) -> str:
    """Give a file's exact text."""
    return json.dumps(content, indent=1) + "\n"


def main() -> int:
    """Write the files, or say which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    parser.add_argument("--reseal", action="store_true", help="make every ciphertext anew")
    arguments = parser.parse_args()
    files = {name: encode(content) for name, content in create({} if arguments.reseal else read()).items()}
    if arguments.check:
        return _check(files)
    for name, content in files.items():
        (DIRECTORY / f"{name}.json").write_text(content)
    return 0


def _check(files: dict[str, str]) -> int:
    there = {path.stem: path.read_text() for path in DIRECTORY.glob("*.json")}
    differing = sorted(name for name in files | there if files.get(name) != there.get(name))
    for name in differing:
        sys.stderr.write(f"{name}.json is not what generate.py makes\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
