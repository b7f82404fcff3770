"""Who may do what: `roles.yml` beside this file, read and checked."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

FILE = Path(__file__).with_name("roles.yml")
EVERYBODY = "enter"
"""The action that comes with every role."""

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
            if role.may != "all" and (unknown := sorted(role.may - self.actions.keys())):
                raise ValueError(f"role {name}: there is no action {', '.join(unknown)}")
        return self

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

        Raises:
            RoleError: there is none.
        """
        for known in self.roles:
            if known.casefold() == name.replace("_", " ").replace("-", " ").casefold():
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


def resource(action: str) -> str:
    """The name under which Airflow knows an action of `roles.yml`."""
    return f"Nightledger: {action}"


@cache
def roles() -> Roles:
    """The roles and actions of this installation."""
    return Roles.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))
