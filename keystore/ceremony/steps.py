"""The script of a ceremony, as data and on paper: what its people do, in which order, and who says that it was done.

The run sheet has a box for every confirmation and blanks for what is noted by hand.
"""

from dataclasses import dataclass
from typing import Final, Literal

from keystore.ceremony.kinds import known_key
from keystore.ceremony.plan import OWN, Plan
from keystore.ceremony.transcript import spoken

SIGN: Final = "sign"
Action = Literal[
    "nothing",
    "show-file",
    "open-token",
    "open-issuer",
    "inventory",
    "examine-nonces",
    "split-pin",
    "make-key",
    "make-from-seed",
    "restore-keys",
    "make-transports",
    "make-twin",
    "destroy-transports",
    "write-output",
    "destroy-key",
    "final-inventory",
    "sign",
]


@dataclass(frozen=True)
class Step:
    """One step. The action comes first and shows what it did, then everybody named confirms it by typing "Yes"."""

    id: str
    do: str
    action: Action
    confirm: tuple[str, ...] = ()
    subject: str = ""


def script(plan: Plan) -> list[Step]:
    """Return the steps of a ceremony."""
    return [*_opening(plan), *_work(plan), *_closing(plan)]


def _opening(plan: Plan) -> list[Step]:
    roles = plan.roles
    leading = (roles.administrator, *roles.witnesses)
    steps = [
        Step("roll-call", f"{roles.administrator} reads the names and roles; each confirms their own.", "nothing",
             roles.everyone),
        Step("file", "One witness reads the words aloud; each compares them with the file that they reviewed.",
             "show-file", roles.everyone),
        Step("token", f"{roles.administrator} connects the token; a witness compares its serial number with its label.",
             "open-token", leading, OWN),
    ]  # fmt: skip
    for name, uri in plan.tokens.items():
        if name != OWN:
            text = (
                f"The token {uri.token!r}, which gets the same keys, is connected; its serial number is compared too."
            )
            steps.append(Step(name, text, "open-token", leading, name))
    if plan.issuer:
        steps.append(Step("issuer", "The medical authority's token is connected.", "open-issuer", leading))
    steps.append(Step("inventory", "The token's contents are compared with what they should be.", "inventory", leading))
    if plan.makes_issuer:
        text = "The token signs with a throw-away key, by which its nonces are computed: they have to be chance alone."
        steps.append(Step("nonces", text, "examine-nonces", leading))
    return steps


def _work(plan: Plan) -> list[Step]:
    roles = plan.roles
    leading = (roles.administrator, *roles.witnesses)
    steps = []
    if plan.splits_pin:
        text = f"The token gets a new PIN that nobody knows: {plan.threshold} of the officers' shares give it."
        steps.append(Step("pin", text, "split-pin", roles.officers))
    if plan.kind.backup == "make":
        text = "Keys are made from a seed; each officer alone writes down their share of it, and types it back."
        steps.append(Step("seed", text, "make-from-seed", (*roles.officers, *leading)))
    if plan.kind.backup == "restore":
        text = f"{plan.threshold} officers type their shares; the keys of the backup are put into the token."
        steps.append(Step("restore", text, "restore-keys", leading))
    steps += _twins(plan)
    for spec in plan.new_keys:
        text = f"The token makes the key {spec.label!r} ({spec.purpose})."
        steps.append(Step(f"key-{spec.label}", text, "make-key", leading, spec.label))
    for label in plan.keys.destroy:
        text = f"The key {label!r} is about to be destroyed, for ever. A witness reads its label aloud."
        steps.append(Step(f"agree-{label}", text, "nothing", roles.everyone))
        steps.append(Step(f"destroy-{label}", f"The token destroys {label!r}.", "destroy-key", leading, label))
    for name in plan.outputs:
        text = f"The file {name!r} is written; a witness reads its words aloud and notes them."
        steps.append(Step(f"output-{name}", text, "write-output", leading, name))
    return steps


def _twins(plan: Plan) -> list[Step]:
    if plan.kind.backup != "twin":
        return []
    leading = (plan.roles.administrator, *plan.roles.witnesses)
    text = "Each token makes a key that opens what is wrapped for it; a witness compares its words with those of the first."
    steps = [Step("transport", text, "make-transports", leading)]
    for key in plan.recoverable:
        spec = known_key(key.label)
        text = (
            f"The first token makes {key.label!r} ({spec.purpose if spec else ''}) and wraps it; every token takes it."
        )
        steps.append(Step(f"twin-{key.label}", text, "make-twin", leading, key.label))
    text = "The keys that opened what was wrapped are destroyed: what was sent opens nowhere any more."
    return [*steps, Step("transport-end", text, "destroy-transports", leading)]


def _closing(plan: Plan) -> list[Step]:
    leading = (plan.roles.administrator, *plan.roles.witnesses)
    return [
        Step("final-inventory", "The token holds what it held, changed as the file says and in nothing else.",
             "final-inventory", leading),
        Step(SIGN, "Everybody present signs the transcript with the key of their own token.", "sign"),
    ]  # fmt: skip


def run_sheet(plan: Plan) -> str:
    """Return the sheet as plain text, the same for the same file."""
    return "\n".join(
        [
            *_head(plan),
            *(line for number, step in enumerate(script(plan), 1) for line in _step(number, step, plan)),
            *_EXCEPTIONS,
        ]
    )


def _head(plan: Plan) -> list[str]:
    lines = [plan.title, "=" * len(plan.title), "", f"Kind: {plan.kind.name} ({plan.kind.purpose})"]
    lines += [*(f"Token: {uri}" for uri in plan.tokens.values()), f"SHA-256 of the file: {plan.digest.hex()}"]
    lines += [f"    {words}" for words in spoken(plan.digest)]
    lines += [
        "",
        "Date ______________  Place ______________________",
        "",
        "Present (initial; or write why you do not agree):",
    ]
    lines += [f"    [ ] {plan.roles.role_of(name):<14} {name:<24} ________" for name in plan.roles.everyone]
    return [*lines, ""]


def _step(number: int, step: Step, plan: Plan) -> list[str]:
    lines = [f"{number:>3}. [{step.id}] {step.do}", "     time ________"]
    if step.action in {"make-key", "make-transports", "make-twin", "write-output", "open-token", "sign"}:
        lines.append("     noted ____________________________________________")
    lines += [f"     [ ] {name} ({plan.roles.role_of(name)})" for name in step.confirm]
    return [*lines, ""]


_EXCEPTIONS = (
    "Exceptions (step, what was expected, what happened, what was decided, who agreed):",
    "",
    *("    ____________________________________________________________" for _ in range(4)),
    "",
)
