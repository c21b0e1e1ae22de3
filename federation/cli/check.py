"""`medunion check`: is everything there that a node needs?"""

import json
from dataclasses import asdict

import click

from federation.check.findings import Finding, Verdict
from federation.check.whole import check as check_node
from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Command
from federation.cli.options import PinChoice, directory_option, json_option, pin_options
from federation.party.node_directory import NodeDirectory


@click.command(cls=Command)
@directory_option
@pin_options
@json_option
def check(directory: NodeDirectory, pin: PinChoice, as_json: bool) -> None:
    """Try everything that a node needs, once, and say of each how it is and what to do. Exit code 1 if anything is wrong.

    Settings, files, token and keys, database, log, records' shelf, trust bundle, registration, certificates and lists, the way
    it dials, peers, clock. For a public cloud, a hospital, a doctor or a patient, whether the node serves or not. It changes
    nothing, but lets the public cloud confirm the present encryption key, whose receipt shows the time.
    """
    findings = []
    for finding in check_node(directory, pin.provider):
        findings.append(finding)
        if not as_json:
            _show(finding)
    wrong = sum(finding.verdict is Verdict.WRONG for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": not wrong, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        click.echo(f"\n{wrong} wrong." if wrong else "\nNothing is wrong.")
    if wrong:
        click.get_current_context().exit(ExitCode.REFUSED)


def _show(finding: Finding) -> None:
    click.echo(f"{finding.verdict:7}{finding.what:14}{finding.says}")
    if finding.do:
        click.echo(f"{'':21}-> {finding.do}")
