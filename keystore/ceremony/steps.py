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
    """One step. The action comes first and shows what it did; where people compare that, those named say "Yes" to the question.

    `seconds`: how long it takes, by experience.
    """

    id: str
    do: str
    action: Action
    subject: str = ""
    question: str = ""
    confirm: tuple[str, ...] = ()
    seconds: int = 0


_COMPARE: Final = 10
_READ_ALOUD: Final = 90
_CONNECT: Final = 60
_NONCES: Final = 60
_MAKE: Final = 5
_SIGN: Final = 60
_LOOK: Final = 30
_PER_WORD: Final = 8
"""Written down and typed back; half of it to type alone."""
_PIN_WORDS: Final = 20
_SEED_WORDS: Final = 33
"""Estimated seconds: of a person's "Yes", 26 words read aloud, a token connected with its PIN typed, 4,096 signatures, a key, a
signature with the token changed, a list looked through, a word of a share; and how many words shares have."""


def script(plan: Plan) -> list[Step]:
    """Return the steps of a ceremony."""
    return [*_opening(plan), *_work(plan), *_closing(plan)]


def minutes(seconds: int) -> int:
    """Return whole minutes, as an estimate is told: one at least."""
    return max(1, round(seconds / 60))


def _opening(plan: Plan) -> list[Step]:
    roles = plan.roles
    text = (
        f"{roles.administrator} reads the names and roles, one witness the words aloud;"
        " each compares them with the file that they reviewed."
    )
    question = "are your name, your role and the words those of your file?"
    steps = [
        Step("file", text, "show-file", "", question, roles.everyone, _READ_ALOUD + _COMPARE * len(roles.everyone)),
        _connect(plan, OWN, f"{roles.administrator} connects the token; a witness compares its serial number with its label."),
    ]  # fmt: skip
    for name, uri in plan.tokens.items():
        if name != OWN:
            steps.append(_connect(plan, name, f"The token {uri.token!r}, which gets the same keys, is connected."))
    if plan.issuer:
        text = "The medical authority's token is connected; a witness compares serial number and certificate."
        question = "are the serial number and the words those of the authority?"
        steps.append(Step("issuer", text, "open-issuer", "", question, roles.witnesses, _CONNECT + _READ_ALOUD))
    text = "The token's contents have to be what the file needs."
    steps.append(Step("inventory", text, "inventory", seconds=_LOOK))
    if plan.makes_issuer:
        text = "The token signs with a throw-away key, by which its nonces are computed: they have to be chance alone."
        steps.append(Step("nonces", text, "examine-nonces", seconds=_NONCES * len(plan.tokens)))
    return steps


def _connect(plan: Plan, name: str, text: str) -> Step:
    question = "is the serial number that on the token's label, and in the file?"
    seconds = _CONNECT + _COMPARE * len(plan.roles.witnesses)
    if plan.joins_pin:
        seconds += (plan.threshold or 0) * _PIN_WORDS * _PER_WORD // 2
    return Step(name, text, "open-token", name, question, plan.roles.witnesses, seconds)


def _work(plan: Plan) -> list[Step]:
    roles = plan.roles
    steps = []
    if plan.splits_pin:
        text = f"The token gets a new PIN that nobody knows: {plan.threshold} of the officers' shares give it."
        steps.append(Step("pin", text, "split-pin", seconds=_CONNECT + len(roles.officers) * _PIN_WORDS * _PER_WORD))
    if plan.kind.backup == "make":
        text = "Keys are made from a seed; each officer alone writes down their share of it, and types it back."
        seconds = _READ_ALOUD + len(roles.officers) * _SEED_WORDS * _PER_WORD
        question = "are the card's words those that were read aloud and noted?"
        steps.append(Step("seed", text, "make-from-seed", "", question, roles.witnesses, seconds))
    if plan.kind.backup == "restore":
        text = f"{plan.threshold} officers type their shares; the keys of the backup are put into the token."
        seconds = _READ_ALOUD + (plan.threshold or 0) * _SEED_WORDS * _PER_WORD // 2
        question = "are the card's words those of the backup's transcript?"
        steps.append(Step("restore", text, "restore-keys", "", question, roles.witnesses, seconds))
    steps += _twins(plan)
    for spec in plan.new_keys:
        text = f"The token makes the key {spec.label!r} ({spec.purpose})."
        steps.append(Step(f"key-{spec.label}", text, "make-key", spec.label, seconds=_MAKE))
    steps += _destructions(plan)
    for name in plan.outputs:
        text = f"The file {name!r} is written; a witness reads its words aloud, and another notes and compares them."
        question = "are the words those that you noted?"
        steps.append(Step(f"output-{name}", text, "write-output", name, question, roles.witnesses, _READ_ALOUD))
    return steps


def _destructions(plan: Plan) -> list[Step]:
    labels = plan.keys.destroy
    if not labels:
        return []
    named = ", ".join(map(repr, labels))
    text = f"A witness reads aloud what is about to be destroyed, for ever: {named}."
    question = f"is {named} what the file says, and destroyed for ever?"
    seconds = _LOOK + _COMPARE * len(plan.roles.everyone)
    agree = Step("agree", text, "nothing", "", question, plan.roles.everyone, seconds)
    steps = [
        Step(f"destroy-{it}", f"The token destroys {it!r}.", "destroy-key", it, seconds=_MAKE) for it in labels
    ]  # fmt: skip
    return [agree, *steps]


def _twins(plan: Plan) -> list[Step]:
    if plan.kind.backup != "twin":
        return []
    text = "Each token makes a key that opens what is wrapped for it; a witness compares its words with those of the first."
    question = "are both tokens' words the same, each time?"
    seconds = 2 * _READ_ALOUD * len(plan.tokens)
    steps = [Step("transport", text, "make-transports", "", question, plan.roles.witnesses, seconds)]
    for key in plan.recoverable:
        spec = known_key(key.label)
        text = (
            f"The first token makes {key.label!r} ({spec.purpose if spec else ''}) and wraps it; every token takes it."
        )
        steps.append(Step(f"twin-{key.label}", text, "make-twin", key.label, seconds=_MAKE * len(plan.tokens)))
    text = "The keys that opened what was wrapped are destroyed: what was sent opens nowhere any more."
    return [*steps, Step("transport-end", text, "destroy-transports", seconds=_MAKE)]


def _closing(plan: Plan) -> list[Step]:
    text = "The token holds what it held, changed as the file says and in nothing else; a witness compares the list."
    question = "is the list what the file says?"
    everybody = len(plan.participants)
    return [
        Step("final-inventory", text, "final-inventory", "", question, plan.roles.witnesses, _LOOK),
        Step(SIGN, "Everybody present signs the transcript with the key of their own token.", "sign",
             seconds=_READ_ALOUD + _SIGN * everybody),
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
        f"Date ______________  Place {plan.place or '______________________'}",
        f"Estimated: {minutes(sum(step.seconds for step in script(plan)))} min",
        "",
        "Present (initial; or write why you do not agree):",
    ]
    lines += [_present(name, plan) for name in plan.roles.everyone]
    return [*lines, ""]


def _present(name: str, plan: Plan) -> str:
    line = f"    [ ] {plan.roles.role_of(name):<14} {name:<24} ________"
    affiliation = plan.participants[name].affiliation
    return f"{line}  {affiliation}" if affiliation else line


def _step(number: int, step: Step, plan: Plan) -> list[str]:
    lines = [f"{number:>3}. [{step.id}] {step.do}", f"     time ________  (estimated {minutes(step.seconds)} min)"]
    if step.action in {"make-key", "make-transports", "make-twin", "write-output", "open-token", "sign"}:
        lines.append("     noted ____________________________________________")
    if step.question:
        lines.append(f"     {step.question[:1].upper()}{step.question[1:]}")
    lines += [f"     [ ] {name} ({plan.roles.role_of(name)})" for name in step.confirm]
    return [*lines, ""]


_EXCEPTIONS = (
    "Exceptions (step, what was expected, what happened, what was decided, who agreed):",
    "",
    *("    ____________________________________________________________" for _ in range(4)),
    "",
)
