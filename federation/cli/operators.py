"""Who types a command that the log is to remember."""

import os
import pwd

import click

reason_option = click.option("--reason", required=True, help="Why; it goes into the sealed log with your name.")


def operator() -> str:
    """Give the system's name of whoever types; for whom, where sudo says so."""
    user, asked_for = pwd.getpwuid(os.getuid()).pw_name, os.environ.get("SUDO_USER")
    return f"{user}, for {asked_for}" if asked_for else user
