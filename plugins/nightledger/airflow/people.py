"""Gives people a log-in and roles in Airflow, and takes them away; `make airflow-user` and `airflow-users`.

People live in Airflow's database, passwords as hashes: its page of users shows and changes the same. Where a
directory (LDAP, OIDC) knows people, that gives the roles instead; docs/how-to/manage-access.md tells how.
"""

import argparse
import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from nightledger.airflow.environment import ADMIN, COMMANDS, base_url, environment, passwords_file
from nightledger.airflow.roles import RoleError, Roles, roles_of
from nightledger.settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride

NOBODY = "none"
"""Instead of a role: the person may no longer log in."""

console = Console(highlight=False, soft_wrap=True)


class PersonError(ValueError):
    """What was asked cannot be done; the message says why."""


@contextmanager
def manager(settings: Settings) -> Iterator["FabAirflowSecurityManagerOverride"]:
    """Airflow's people and roles; brings those of `roles.yml` in first.

    Airflow must not have been imported before: it reads its configuration once.
    """
    os.environ.update(environment(settings, {"AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR", **os.environ}))
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        yield builder.sm


def give(
    people: "FabAirflowSecurityManagerOverride", roles: Roles, name: str, wanted: Sequence[str]
) -> str | None:
    """Let a person have these roles and no other, or bar them.

    Args:
        people: Airflow's.
        roles: those that there are.
        name: that they log in with.
        wanted: names of roles; `none` alone bars the person; nothing leaves the roles as they are and
            makes a new password.

    Returns:
        The new password, if there is one: of somebody new, or of somebody who needs another.

    Raises:
        PersonError: the account is that of our commands, or somebody new is given no role.
        RoleError: there is no such role.
    """
    from nightledger.airflow.auth import add_person

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", name):
        raise PersonError(f"{name!r} is no name to log in with: letters, digits and . _ @ - are.")
    if name == COMMANDS:
        raise PersonError(f"{COMMANDS} is the account of the commands; it stays as it is.")
    barred = list(wanted) == [NOBODY]
    has = [] if barred else [people.find_role(roles.named(role)) for role in wanted]
    person = people.find_user(name)
    if person is None:
        if not has:
            raise PersonError(f"There is no {name} yet. Say which role: {', '.join(roles.roles)}.")
        password = secrets.token_urlsafe(12)
        add_person(people, name, has, password)
        return password
    if not wanted:
        password = secrets.token_urlsafe(12)
        people.reset_password(person.id, password)
        return password
    person.roles = [role for role in has if role is not None]
    person.active = not barred
    people.update_user(person)
    return None


def _print_all(people: "FabAirflowSecurityManagerOverride") -> None:
    table = Table("name", "may log in", "roles", "last log-in (UTC)", box=None)
    for person in sorted(people.get_all_users(), key=lambda one: one.username):
        last = f"{person.last_login:%Y-%m-%d %H:%M}" if person.last_login else "–"
        held = ", ".join(sorted(role.name for role in person.roles)) or "–"
        table.add_row(person.username, "yes" if person.active else "no", held, last)
    console.print(table)


def main() -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.airflow.people", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="who there is")
    one = commands.add_parser("give", help="make somebody, or change their roles or password")
    one.add_argument("name")
    one.add_argument("--roles", default="", help=f"names, joined by commas; `{NOBODY}` bars the person")
    arguments = parser.parse_args()
    try:
        settings = read_settings()
        with manager(settings) as people:
            if arguments.command == "list":
                _print_all(people)
                return 0
            wanted = [role.strip() for role in arguments.roles.split(",") if role.strip()]
            roles = roles_of(settings)
            password = give(people, roles, arguments.name, wanted)
    except (PersonError, RoleError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if password:
        console.print(f"The password of {arguments.name}, shown this once: [bold]{password}[/]")
        address = settings.alert_address.rstrip("/") or base_url(settings)
        console.print(f"They can change it at {address}/auth/resetmypassword/form")
        if arguments.name == ADMIN:
            console.print(f"The first one, in {passwords_file(settings)}, counts no longer.")
    elif wanted == [NOBODY]:
        console.print(f"{arguments.name} may no longer log in.")
    else:
        console.print(f"{arguments.name} is now: {', '.join(roles.named(role) for role in wanted)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
