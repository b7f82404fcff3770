"""Gives the roles of `roles.yml` their permissions, pages and rows. Must run inside an app context.

Permissions are listed one by one: what a new Superset adds is nobody's before somebody puts it here.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from nightledger_superset import roles
from nightledger_superset.build import Bundle
from nightledger_superset.roles import GUEST, Role
from nightledger_superset.settings import Settings, SupersetError

READ = {
    "Dashboard": "can_read can_drill can_view_chart_as_table",
    "Chart": "can_read",
    "Dataset": "can_read can_get_drill_info",
    "Datasource": "can_get can_samples",
    "Database": "can_read",
    "Theme": "can_read",
    "Tag": "can_read",
    "CssTemplate": "can_read",
    "AdvancedDataType": "can_read",
    "AvailableDomains": "can_read",
    "EmbeddedDashboard": "can_read",
    "SecurityRestApi": "can_read",
    "security": "can_read",
    "user": "can_read",
    "CurrentUserRestApi": "can_read can_write",
    "DashboardFilterStateRestApi": "can_read can_write",
    "DashboardPermalinkRestApi": "can_read can_write",
    "AsyncEventsRestApi": "can_list",
    "MenuApi": "can_get",
    "Api": "can_query can_query_form_data can_time_range",
    "Log": "can_recent_activity",
    "Superset": "can_dashboard can_dashboard_permalink can_explore_json can_fetch_datasource_metadata "
    "can_language_pack can_log can_share_chart can_share_dashboard can_slice",
    "UserDBModelView": "can_userinfo resetmypassword",
    "ResetMyPasswordView": "can_this_form_get can_this_form_post",
    "Home": "menu_access",
    "Dashboards": "menu_access",
}
MORE = {
    "export": {"Superset": "can_csv"},
    "explore": {
        "Superset": "can_explore",
        "Explore": "can_read",
        "Datasource": "can_get_column_values",
        "ExploreFormDataRestApi": "can_read can_write",
        "ExplorePermalinkRestApi": "can_read can_write",
        "Chart": "can_write",
        "Dashboard": "can_write can_put_chart_customizations can_view_query",
        "Charts": "menu_access",
        "Data": "menu_access",
        "Datasets": "menu_access",
    },
    "sql_lab": {
        "Superset": "can_sqllab can_sqllab_history",
        "SQLLab": "can_execute_sql_query can_export_csv can_export_streaming_csv can_format_sql "
        "can_get_results can_read",
        "SavedQuery": "can_list can_read can_write",
        "Query": "can_read",
        "SqlLabPermalinkRestApi": "can_read can_write",
        "TabStateView": "can_activate can_delete can_delete_query can_get can_migrate_query can_post can_put",
        "TableSchemaView": "can_delete can_expanded can_post",
        "SQL Lab": "menu_access",
        "SQL Editor": "menu_access",
        "Saved Queries": "menu_access",
        "Query Search": "menu_access",
    },
    "audit": {
        "Log": "can_read",
        "Action Log": "menu_access",
        "Security": "menu_access",
        "RowLevelSecurity": "can_read",
    },
}
EMBEDDED = {
    "Dashboard": "can_read can_drill",
    "Chart": "can_read",
    "Dataset": "can_read",
    "EmbeddedDashboard": "can_read",
    "CurrentUserRestApi": "can_read",
    "Theme": "can_read",
    "DashboardFilterStateRestApi": "can_read can_write",
    "DashboardPermalinkRestApi": "can_read can_write",
    "SecurityRestApi": "can_read",
    "Api": "can_time_range",
    "Superset": "can_dashboard can_explore_json can_language_pack can_log",
}
"""Of a guest. No data set is among it: without a dashboard of the token in the query there is no answer."""

GROUP = "client"
DENIED = "No client without a rule"


def apply(bundle: Bundle) -> dict[str, int]:
    """Bring roles, rows and people to what `roles.yml` and the dashboards say; other roles stay as they are.

    Returns:
        Number of roles, rules and people that this stands for.

    Raises:
        SupersetError: a dashboard or a person names a role that `roles.yml` has not.
    """
    from superset import db

    wanted = roles.read_roles()
    _check(bundle, wanted)
    _remove_gone(wanted)
    behind, shared, known = datasets_behind(bundle), _shared(bundle), _permissions()
    for role in wanted:
        _grant(role, bundle, behind, shared, known)
    _set_permissions(GUEST, _pairs(EMBEDDED), known)
    _open_dashboards(bundle, wanted, behind, shared)
    rules = _rule_rows(bundle, wanted)
    people = _make_people()
    db.session.commit()
    return {"roles": len(wanted), "rules": rules, "people": people}


def _check(bundle: Bundle, wanted: Iterable[Role]) -> None:
    kinds = {role.kind for role in wanted}
    for slug, dashboard in bundle.dashboards.items():
        if unknown := {*dashboard.roles} - kinds:
            raise SupersetError(f"dashboard {slug}: roles.yml has no role {', '.join(sorted(unknown))}")
    for user, stated in roles.read_users().items():
        if unknown := {*stated["roles"]} - {role.name for role in wanted}:
            raise SupersetError(f"roles.yml: {user}: there is no role {', '.join(sorted(unknown))}")


def _remove_gone(wanted: Iterable[Role]) -> None:
    """Delete roles that we once made: the rule that denies names all of them."""
    from superset.connectors.sqla.models import RowLevelSecurityFilter

    from superset import db

    denied = db.session.query(RowLevelSecurityFilter).filter_by(name=DENIED).one_or_none()
    names = {role.name for role in wanted} | {"Admin", GUEST}
    for role in list(denied.roles) if denied else []:
        if role.name not in names:
            db.session.delete(role)
    db.session.flush()


def _grant(
    role: Role,
    bundle: Bundle,
    behind: Mapping[str, set[int]],
    shared: set[int],
    known: Mapping[tuple[str, str], Any],
) -> None:
    """Permissions of one role, and the data sets of its dashboards."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database

    from superset import db

    permissions = _pairs(READ)
    for more in sorted(role.can):
        permissions |= _pairs(MORE[more])
    if "sql_lab" in role.can:
        database = db.session.query(Database).filter_by(uuid=bundle.database).one()
        permissions.add(("database_access", database.perm))
    mine = set().union(
        *(behind[slug] for slug in bundle.dashboards if may_open(role, slug, bundle, behind, shared))
    )
    for (permission,) in db.session.query(SqlaTable.perm).filter(SqlaTable.id.in_(mine)):
        permissions.add(("datasource_access", permission))
    _set_permissions(role.name, permissions, known)


def may_open(role: Role, slug: str, bundle: Bundle, behind: Mapping[str, set[int]], shared: set[int]) -> bool:
    """Whether a dashboard is for a role.

    One that shows facts of the whole platform (a `shared` data set: runs, models) is not for the roles of one
    client, whoever its YAML names: its charts could only be empty for them.
    """
    if role.kind not in bundle.dashboards[slug].roles:
        return False
    return role.client is None or not behind[slug] & shared


def datasets_behind(bundle: Bundle) -> dict[str, set[int]]:
    """Ids of the data sets that charts and filters of each dashboard read, by slug."""
    from superset.models.dashboard import Dashboard, dashboard_slices
    from superset.models.slice import Slice

    from superset import db

    found: dict[str, set[int]] = {slug: set() for slug in bundle.dashboards}
    pairs = (
        db.session.query(Dashboard.slug, Slice.datasource_id)
        .join(dashboard_slices, dashboard_slices.c.dashboard_id == Dashboard.id)
        .join(Slice, Slice.id == dashboard_slices.c.slice_id)
        .filter(Dashboard.slug.in_(list(found)))
    )
    for slug, dataset in pairs:
        found[slug].add(dataset)
    for slug, text in db.session.query(Dashboard.slug, Dashboard.json_metadata):
        for filter_ in (
            json.loads(text or "{}").get("native_filter_configuration", []) if slug in found else ()
        ):
            found[slug] |= {target["datasetId"] for target in filter_["targets"] if "datasetId" in target}
    return found


def _shared(bundle: Bundle) -> set[int]:
    """Ids of the data sets whose rows belong to no client."""
    from superset.connectors.sqla.models import SqlaTable

    from superset import db

    uuids = [info.uuid for info in bundle.datasets.values() if info.shared]
    return {number for (number,) in db.session.query(SqlaTable.id).filter(SqlaTable.uuid.in_(uuids))}


def _pairs(listed: dict[str, str]) -> set[tuple[str, str]]:
    return {(name, view) for view, names in listed.items() for name in names.split()}


def _permissions() -> dict[tuple[str, str], Any]:
    """Every permission that there is, by its name and what it is on: asked once, as there are thousands."""
    from superset import db, security_manager

    kind = security_manager.permissionview_model
    query = (
        db.session.query(kind, security_manager.permission_model.name, security_manager.viewmenu_model.name)
        .join(kind.permission)
        .join(kind.view_menu)
    )
    return {(name, view): permission for permission, name, view in query}


def _set_permissions(name: str, wanted: set[tuple[str, str]], known: Mapping[tuple[str, str], Any]) -> None:
    """Make a role that may exactly this.

    Raises:
        SupersetError: Superset has no such permission, after an upgrade perhaps.
    """
    from superset import db, security_manager

    role = security_manager.find_role(name) or security_manager.add_role(name)
    if missing := sorted(wanted - known.keys()):
        raise SupersetError(
            f"this Superset knows no permission {missing}; mend nightledger_superset/access.py"
        )
    if {permission.id for permission in role.permissions} != {known[pair].id for pair in wanted}:
        role.permissions = [known[pair] for pair in sorted(wanted)]
        db.session.flush()


def _open_dashboards(
    bundle: Bundle, wanted: Iterable[Role], behind: Mapping[str, set[int]], shared: set[int]
) -> None:
    from superset.models.dashboard import Dashboard

    from superset import db, security_manager

    for slug, info in bundle.dashboards.items():
        dashboard = db.session.query(Dashboard).filter_by(uuid=info.uuid).one()
        names = [role.name for role in wanted if may_open(role, slug, bundle, behind, shared)]
        if {role.name for role in dashboard.roles} != {*names}:
            dashboard.roles = [security_manager.find_role(name) for name in names]


def _rule_rows(bundle: Bundle, wanted: tuple[Role, ...]) -> int:
    """One rule for each client on every data set, and one that denies whoever no rule names.

    The clauses are static: an answer's place in the cache is keyed by them.
    """
    from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable

    from superset import db

    tables = db.session.query(SqlaTable).filter_by(is_managed_externally=True).all()
    of_clients = [table for table in tables if not _is_shared(table, bundle)]
    clients = sorted({role.client for role in wanted if role.client})
    rules: dict[str, dict[str, Any]] = {
        f"Client {client}": {
            "filter_type": "Regular",
            "group_key": GROUP,
            "clause": f"client_id = '{client}'",
            "tables": of_clients,
            "roles": [role.name for role in wanted if role.client == client],
        }
        for client in clients
    }
    rules[DENIED] = {
        "filter_type": "Base",
        "group_key": None,
        "clause": "1 = 0",
        "tables": tables,
        # All but these: Superset's own roles see nothing. A guest's rows are those of the token.
        "roles": ["Admin", GUEST, *(role.name for role in wanted)],
    }
    for row in db.session.query(RowLevelSecurityFilter):
        if row.name not in rules and (row.group_key == GROUP or row.name == DENIED):
            db.session.delete(row)
    for name, rule in rules.items():
        _write_rule(name, rule)
    return len(rules)


def _is_shared(table: Any, bundle: Bundle) -> bool:
    return any(info.uuid == table.uuid and info.shared for info in bundle.datasets.values())


def _write_rule(name: str, rule: dict[str, Any]) -> None:
    from superset.connectors.sqla.models import RowLevelSecurityFilter

    from superset import db, security_manager

    row = db.session.query(RowLevelSecurityFilter).filter_by(name=name).one_or_none()
    if row is None:
        row = RowLevelSecurityFilter(name=name)
        db.session.add(row)
    for key in ("filter_type", "group_key", "clause"):
        if getattr(row, key) != rule[key]:
            setattr(row, key, rule[key])
    if {table.id for table in row.tables} != {table.id for table in rule["tables"]}:
        row.tables = rule["tables"]
    if {role.name for role in row.roles} != {*rule["roles"]}:
        row.roles = [security_manager.find_role(role) for role in rule["roles"]]


def _make_people() -> int:
    """Make the people of `roles.yml` that are missing; of those that are there, only the roles change.

    Whoever we made and `roles.yml` no longer names keeps an account (Superset's log refers to it), without
    roles and closed; named again, it opens.
    """
    from superset import security_manager

    people, settings = roles.read_users(), Settings.from_environment()
    for user, stated in people.items():
        held = [security_manager.find_role(name) for name in stated["roles"]]
        known = security_manager.find_user(user)
        if known is None:
            password = settings.password(user)
            mail = stated.get("mail", f"{user}@example.invalid")
            if not security_manager.add_user(user, user, "–", mail, held, password=password):
                raise SupersetError(
                    f"roles.yml: {user} could not be made; is the mail address another one's?"
                )
        elif {role.id for role in known.roles} != {role.id for role in held}:
            known.active = known.active or not known.roles
            known.roles = held
            security_manager.update_user(known)
    for user in sorted(settings.people_made() - people.keys()):
        gone = security_manager.find_user(user)
        if gone is not None and (gone.active or gone.roles):
            gone.active, gone.roles = False, []
            security_manager.update_user(gone)
    return len(people)
