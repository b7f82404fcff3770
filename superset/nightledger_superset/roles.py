"""The roles that `roles.yml` states, with one more of each for every client. Needs no Superset."""

from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from nightledger_superset.settings import FOLDER, Settings, SupersetError

CAN = ("export", "explore", "sql_lab", "audit")
ALL_CLIENTS = {"sql_lab", "audit"}
"""What knows no rows of a client: row-level security holds neither in SQL Lab nor in the log."""

BETWEEN = " · "
GUEST = "Embedded guest"
"""Role of whoever shows a token of an embedded dashboard; its rows are those of the token."""


@dataclass(frozen=True)
class Role:
    """A role; `client` confines it to that client's rows, `kind` is its name in `roles.yml`."""

    name: str
    kind: str
    description: str
    can: frozenset[str]
    client: str | None = None


@cache
def read_roles(folder: Path = FOLDER, clients: Path | None = None) -> tuple[Role, ...]:
    """Every role, those of the clients after their kind.

    Raises:
        SupersetError: names the role and the key that is no good.
    """
    names = sorted(path.stem for path in (clients or Settings.from_environment().clients).glob("*.yml"))
    found: list[Role] = []
    for kind, stated in _read(folder)["roles"].items():
        unknown = {*stated} - {"description", "per_client", "can"}
        can = frozenset(stated.get("can", []))
        if unknown or can - {*CAN} or not stated.get("description"):
            wrong = ", ".join(sorted({*unknown, *(can - {*CAN})})) or "no description"
            raise SupersetError(f"roles.yml: {kind}: {wrong}. A role has description, per_client, can {CAN}")
        found.append(Role(kind, kind, stated["description"], can))
        found += [
            Role(f"{kind}{BETWEEN}{client}", kind, stated["description"], can - ALL_CLIENTS, client)
            for client in (names if stated.get("per_client") else ())
        ]
    return tuple(found)


def read_users(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """People that `roles.yml` names: `{user: {roles: [...], mail: ...}}`."""
    return dict(_read(folder).get("users") or {})


def counting(names: Set[str]) -> set[str]:
    """Those of somebody's roles that count: one of a client outweighs all that are not."""
    return {role.name for role in read_roles() if role.client and role.name in names} or {*names}


def clears(names: Set[str]) -> bool:
    """Whether somebody with these roles may see every client."""
    cleared = {role.name for role in read_roles() if not role.client} | {"Admin"}
    return bool(counting(names) & cleared) and GUEST not in names


def _read(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "roles.yml").read_text())
    return content
