"""How Superset reads: the newest publication, one for a whole request, and never anybody else's rows.

`superset_config.py` hands these to Superset: `mutate` as DB_CONNECTION_MUTATOR, `SecurityManager` as
CUSTOM_SECURITY_MANAGER, `is_guest_confined` as GUEST_TOKEN_VALIDATOR_HOOK, `CHOICES` as
EXTRA_RELATED_QUERY_FILTERS; and it calls `share_saved_queries` and `name_own_roles` when Superset starts.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from flask import g, has_app_context, has_request_context, request
from sqlalchemy import or_
from sqlalchemy.engine.url import URL
from superset.security import SupersetSecurityManager

from nightledger_superset import roles
from nightledger_superset.settings import ADMIN, Settings

WAREHOUSE = "warehouse.duckdb"
"""Its stem is the catalog that views name, as `nightledger.warehouse` has it."""

CLIENT_CLAUSE = re.compile(r"client_id = '([A-Za-z0-9_]+)'")
"""The one form of a rule that confines somebody to a client. Static: a template would share cached rows."""


class Rule(NamedTuple):
    """A row-level rule as Superset's own queries return it."""

    id: int
    group_key: str | None
    clause: str


DENY = Rule(0, None, "1 = 0")


def publication() -> Path:
    """Directory of the publication that this request reads.

    The pointer is looked at once a request, so that the key of a cached answer and the rows in it are of one
    publication even when the next one is published in between.
    """
    if not has_app_context():
        return Settings.from_environment().publication()
    if "nightledger_publication" not in g:
        g.nightledger_publication = Settings.from_environment().publication()
    path: Path = g.nightledger_publication
    return path


def mutate(
    uri: URL, params: dict[str, Any], _username: str | None, _security_manager: object, _source: object
) -> tuple[URL, dict[str, Any]]:
    """Turn every DuckDB address into that of the newest publication: read-only, no files, no settings.

    One process must open a file with one configuration, so nothing here depends on the user.
    """
    if not uri.drivername.startswith("duckdb"):
        return uri, params
    settings = Settings.from_environment()
    query = {
        "access_mode": "read_only",
        # read_only alone leaves the file system open: read_text('/etc/…') would answer.
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "lock_configuration": "true",
        "threads": str(settings.threads),
        "memory_limit": settings.memory_limit,
    }
    return uri.set(database=str(publication() / WAREHOUSE), query=query), params


class SecurityManager(SupersetSecurityManager):  # type: ignore[misc]
    """Superset's own, that fails closed about rows and keys every cached answer by publication."""

    def get_user_roles(self, user: Any = None) -> list[Any]:
        """Roles of a user that count: with one of a client, Superset knows of no others.

        Otherwise `Analyst` beside `Analyst · demo_bank` would open SQL Lab, where no rule of rows holds.
        """
        held = super().get_user_roles(user)
        names = roles.counting({role.name for role in held})
        return [role for role in held if role.name in names]

    def exist_permission_on_roles(self, view_name: str, permission_name: str, role_ids: list[int]) -> bool:
        """Whether a role has a permission; within a request the metadata is asked once."""
        if not has_request_context():
            return bool(super().exist_permission_on_roles(view_name, permission_name, role_ids))
        known: dict[tuple[str, str, frozenset[int]], bool] = g.setdefault("nightledger_permissions", {})
        asked = (view_name, permission_name, frozenset(role_ids))
        if asked not in known:
            known[asked] = bool(super().exist_permission_on_roles(view_name, permission_name, role_ids))
        return known[asked]

    def raise_for_access(self, *given: Any, **asked: Any) -> None:
        """Refuse a query on a data set that no role of the asker names, whatever dashboard it comes from.

        Superset itself lets a dashboard with roles open every data set that its filters name, and whoever
        makes a dashboard writes both. Guests have nothing but their dashboard.
        """
        query = asked.get("query_context") or asked.get("viz")
        if query is not None and not self.is_guest_user():
            super().raise_for_access(datasource=query.datasource)
        super().raise_for_access(*given, **asked)

    def get_rls_filters(self, table: Any) -> list[Any]:
        """Row-level rules of the user on a data set; no row at all where no rule says otherwise.

        Superset itself shows everything of a data set that no rule names: one made in the browser, say.
        """
        rules = list(super().get_rls_filters(table))
        if rules or self.is_guest_user() or self._sees_all_clients():
            return rules
        return [DENY]

    def get_guest_rls_filters(self, dataset: Any) -> list[Any]:
        """Rules of the guest's token on a data set; no row at all where the token has none for it."""
        rules = list(super().get_guest_rls_filters(dataset))
        if self.is_guest_user() and not any(CLIENT_CLAUSE.fullmatch(rule["clause"]) for rule in rules):
            return [{"clause": DENY.clause}]
        return rules

    def get_rls_cache_key(self, datasource: Any) -> list[str]:
        """What an answer depends on besides its query: the user's rules and the publication."""
        return [*super().get_rls_cache_key(datasource), f"publication {publication().name}"]

    def roles_told(self) -> set[str] | None:
        """Names of the roles that the user may be told of, which have those of clients in them; None: all."""
        return None if self._sees_all_clients() else {role.name for role in self.get_user_roles(g.user)}

    def _sees_all_clients(self) -> bool:
        """Whether `roles.yml` clears the user for all clients; the command line, without a user, is."""
        if getattr(g, "user", None) is None:
            return True
        return roles.clears({role.name for role in self.get_user_roles(g.user)})


def is_guest_confined(token: dict[str, Any]) -> bool:
    """Whether a guest token asked for confines its bearer to one client, on all data sets.

    A rule that names a data set leaves the others open, and any other clause may be one that is always true.
    """
    rules = token.get("rls") or []
    clauses = {rule.get("clause", "") for rule in rules if not rule.get("dataset")}
    return len(rules) == 1 and len(clauses) == 1 and all(CLIENT_CLAUSE.fullmatch(c) for c in clauses)


def share_saved_queries(_app: object) -> None:
    """Show the saved queries of git to everybody who has SQL Lab: Superset shows each reader its own only.

    To read; whoever wants another one saves it under a name of their own.
    """
    from superset.models.sql_lab import SavedQuery
    from superset.queries.saved_queries.filters import SavedQueryFilter

    def apply(_self: object, query: Any, _value: object) -> Any:
        own = SavedQuery.created_by == g.user
        if request.method != "GET":
            return query.filter(own)
        return query.filter(or_(own, SavedQuery.created_by.has(username=ADMIN)))

    SavedQueryFilter.apply = apply


def name_own_roles(_app: object) -> None:
    """Tell whoever is confined to a client which of their own roles a dashboard names, and of no others."""
    from marshmallow import post_dump
    from superset.dashboards.api import DashboardRestApi
    from superset.dashboards.schemas import DashboardGetResponseSchema
    from superset.extensions import security_manager

    def leave_own(dashboard: dict[str, Any]) -> dict[str, Any]:
        if (told := security_manager.roles_told()) is not None and "roles" in dashboard:
            dashboard["roles"] = [role for role in dashboard["roles"] if role["name"] in told]
        return dashboard

    whole = DashboardGetResponseSchema.post_dump

    @post_dump
    def of_one(schema: object, dashboard: dict[str, Any], **more: Any) -> dict[str, Any]:
        return leave_own(whole(schema, dashboard, **more))

    def of_list(_api: object, answer: dict[str, Any]) -> None:
        answer["result"] = [leave_own(dashboard) for dashboard in answer["result"]]

    DashboardGetResponseSchema.post_dump = of_one
    DashboardRestApi.pre_get_list = of_list


def _own_roles(query: Any) -> Any:
    from superset.extensions import security_manager

    told = security_manager.roles_told()
    return query if told is None else query.filter(security_manager.role_model.name.in_(told))


def _colleagues(query: Any) -> Any:
    from superset.extensions import security_manager

    told = security_manager.roles_told()
    if told is None:
        return query
    return query.filter(security_manager.user_model.roles.any(security_manager.role_model.name.in_(told)))


CHOICES = {"role": _own_roles, "user": _colleagues}
"""Whom somebody may give an own dashboard to: who is confined to a client, to people with the same roles."""
