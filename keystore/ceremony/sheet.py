"""The run sheet: the script on paper, with a box for every confirmation and blanks for what is noted by hand."""

from keystore.ceremony.plan import Plan
from keystore.ceremony.steps import Step, script
from keystore.ceremony.words import spoken


def run_sheet(plan: Plan) -> str:
    """Give the sheet as plain text, the same for the same file."""
    return "\n".join(
        [
            *_head(plan),
            *(line for number, step in enumerate(script(plan), 1) for line in _step(number, step, plan)),
            *_EXCEPTIONS,
        ]
    )


def _head(plan: Plan) -> list[str]:
    lines = [plan.title, "=" * len(plan.title), "", f"Kind: {plan.kind.name} ({plan.kind.purpose})"]
    lines += [f"Token: {plan.token}", f"SHA-256 of the file: {plan.digest.hex()}"]
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
    if step.action in {"make-key", "write-output", "open-token", "sign"}:
        lines.append("     noted ____________________________________________")
    lines += [f"     [ ] {name} ({plan.roles.role_of(name)})" for name in step.confirm]
    return [*lines, ""]


_EXCEPTIONS = (
    "Exceptions (step, what was expected, what happened, what was decided, who agreed):",
    "",
    *("    ____________________________________________________________" for _ in range(4)),
    "",
)
