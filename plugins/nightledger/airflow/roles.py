"""Who may do what: `roles.yml` beside this file, read and checked."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from nightledger.settings import Settings

FILE = Path(__file__).with_name("roles.yml")
EVERYBODY = "enter"
"""The action that comes with every role."""
BETWEEN = " · "
"""Between a role and the client that it is confined to, as in Superset."""

Permission = tuple[str, str]
"""As Airflow has it: an action (`can_read`, `can_edit`, …) and the resource that it is done to."""


class RoleError(ValueError):
    """roles.yml does not know what is asked of it; the message says what it knows."""


class Action(BaseModel):
    """Something that can be done, and the permissions of Airflow that it takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    means: str
    airflow: dict[Literal["can_create", "can_read", "can_edit", "can_delete", "menu_access"], list[str]] = {}


class Role(BaseModel):
    """What the people of one kind may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    may: frozenset[str] | Literal["all"]
    per_client: frozenset[str] = frozenset()
    """What the role of one client may; there is one for each client if this names anything."""

    def allows(self, action: str) -> bool:
        """Whether the role may do the action."""
        return self.may == "all" or action in self.may or action == EVERYBODY


class Roles(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    actions: dict[str, Action]
    roles: dict[str, Role]

    @model_validator(mode="after")
    def _only_known_actions(self) -> Self:
        for name, role in self.roles.items():
            stated = role.per_client if role.may == "all" else role.may | role.per_client
            if unknown := sorted(stated - self.actions.keys()):
                raise ValueError(f"role {name}: there is no action {', '.join(unknown)}")
        return self

    def with_clients(self, clients: Iterable[str]) -> "Roles":
        """These and one more for each client of those that are made per client: "Fraud desk · demo_bank"."""
        more = {
            f"{name}{BETWEEN}{client}": Role(description=role.description, may=role.per_client)
            for name, role in self.roles.items()
            if role.per_client
            for client in clients
        }
        return Roles(actions=self.actions, roles=self.roles | more)

    def who_may(self, action: str) -> list[str]:
        """Names of the roles that may do an action.

        Raises:
            RoleError: there is no such action.
        """
        if action not in self.actions:
            raise RoleError(f"roles.yml knows no action {action!r}; it has {', '.join(sorted(self.actions))}")
        return [name for name, role in self.roles.items() if role.allows(action)]

    def named(self, name: str) -> str:
        """The role of that name, however it is written: "fraud_desk" is "Fraud desk".

        Only letters and digits count, so that nobody has to find the dot of "Fraud desk · demo_bank".

        Raises:
            RoleError: there is none.
        """
        for known in self.roles:
            if _plain(known) == _plain(name):
                return known
        raise RoleError(f"there is no role {name!r}; there are: {', '.join(self.roles)}")

    def permissions(self, role: str) -> set[Permission]:
        """All that a role has in Airflow: for the actions that it may do, and the actions of our pages."""
        return {
            pair for action in self.actions if self.roles[role].allows(action) for pair in self._of(action)
        }

    def _of(self, action: str) -> Iterator[Permission]:
        yield "can_read", resource(action)
        for verb, resources in self.actions[action].airflow.items():
            yield from ((verb, name) for name in resources)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def clients_of(held: Iterable[str]) -> frozenset[str] | None:
    """The clients that somebody with these roles is confined to; None: not confined.

    A role of a client outweighs all that are not, and counts when there is no such client any more.
    """
    return frozenset(name.partition(BETWEEN)[2] for name in held if BETWEEN in name) or None


def resource(action: str) -> str:
    """The name under which Airflow knows an action of `roles.yml`."""
    return f"Nightledger: {action}"


@cache
def roles() -> Roles:
    """The roles and actions that the file states."""
    return Roles.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def roles_of(settings: Settings) -> Roles:
    """Those of this installation: with the roles of its clients."""
    return roles().with_clients(sorted(path.stem for path in settings.clients.glob("*.yml")))
