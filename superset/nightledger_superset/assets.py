"""Brings what git says into Superset: imports the bundle, and removes what git no longer has.

Both must run inside an app context.
"""

import logging
from typing import Any

import yaml

from nightledger_superset.build import Bundle, build
from nightledger_superset.settings import ADMIN, FOLDER, PROJECT, SupersetError

log = logging.getLogger(__name__)

DATABASE_URI = "duckdb:///warehouse.duckdb"
"""`reading.mutate` puts path and options of the newest publication in its place."""


def read_bundle() -> Bundle:
    """The bundle of this checkout.

    Raises:
        nightledger_superset.datasets.DefinitionError: names file and key of what is no good.
    """
    return build(FOLDER, PROJECT / "dbt_project", DATABASE_URI)


def bring_in(bundle: Bundle) -> dict[str, int]:
    """Make Superset hold exactly the bundle, beside what people made in the browser.

    Returns:
        Number of assets of each kind, and of those removed.
    """
    from superset.commands.exceptions import CommandInvalidError
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.utils.core import override_user

    from superset import security_manager

    contents = {path: _managed(path, text) for path, text in bundle.files.items()}
    with override_user(security_manager.find_user(ADMIN)):
        command = ImportAssetsCommand(contents)
        try:
            command.validate()
        except CommandInvalidError as error:  # its own text names nothing
            raise SupersetError(f"Superset refuses what is in git: {error.normalized_messages()}") from error
        command.run()
    removed = _prune(bundle)
    return {
        "dashboards": len(bundle.dashboards),
        "charts": len(bundle.charts),
        "datasets": len(bundle.datasets),
        "queries": len(bundle.queries),
        "removed": removed,
    }


def _managed(path: str, text: str) -> str:
    """Mark an asset as git's: the browser offers no editing of it, and `_prune` knows it again."""
    if path.split("/")[0] not in ("databases", "datasets", "charts", "dashboards"):
        return text
    content: dict[str, Any] = yaml.safe_load(text)
    return yaml.safe_dump({**content, "is_managed_externally": True}, sort_keys=False, allow_unicode=True)


def _prune(bundle: Bundle) -> int:
    """Delete what was once imported and is in the bundle no longer; returns how many."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice
    from superset.models.sql_lab import SavedQuery

    from superset import db

    kept = {
        *(info.uuid for info in bundle.dashboards.values()),
        *(info.uuid for info in bundle.datasets.values()),
        *bundle.charts.values(),
        *bundle.queries.values(),
        bundle.database,
    }
    removed = 0
    for kind in (Dashboard, Slice, SqlaTable, Database):
        for asset in db.session.query(kind).filter_by(is_managed_externally=True):
            if asset.uuid not in kept:
                log.info("removing %s %s, which git no longer has", kind.__name__, asset)
                if kind is Dashboard:
                    asset.embedded = []
                db.session.delete(asset)
                removed += 1
    database = db.session.query(Database).filter_by(uuid=bundle.database).one()
    for query in db.session.query(SavedQuery).filter_by(db_id=database.id):
        # Saved queries bear no mark of git; those of the import are the admin's.
        if query.uuid not in kept and query.user is not None and query.user.username == ADMIN:
            db.session.delete(query)
            removed += 1
    db.session.commit()
    return removed
