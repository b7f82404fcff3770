"""Sets Superset up from nothing, or brings it to what git says, in one process. Each step may be repeated.

Starting Superset's code takes five seconds of CPU: hence one process and not a command for each step.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine.url import make_url

from nightledger_superset.assets import read_bundle
from nightledger_superset.settings import ADMIN, FOLDER, PROJECT, Settings

if TYPE_CHECKING:
    from flask import Flask

_READ = {".yml", ".sql", ".json", ".py", ".txt", ".css"}


def prepare(settings: Settings, say: Callable[[str], None], *, force: bool = False) -> bool:
    """Metadata, admin, permissions, assets, roles, rules and reports.

    Args:
        settings: of the installation.
        say: is told what is being done, as it takes a minute the first time.
        force: do it all even if nothing has changed since the last time.

    Returns:
        Whether there was anything to do.

    Raises:
        nightledger_superset.settings.SupersetError: roles.yml or reports.yml is no good.
        nightledger_superset.datasets.DefinitionError: a dashboard or data set is wrong; nothing has changed.
    """
    settings.state.mkdir(parents=True, exist_ok=True)
    bundle = read_bundle()  # before anything is touched
    mark = settings.state / "prepared"
    wanted = fingerprint(settings)
    if not force and mark.exists() and mark.read_text() == wanted and _metadata_exists(settings):
        return False
    say("starting Superset's code")
    with app_context(settings):
        from nightledger_superset import access, assets, reports

        say("preparing the metadata")
        _migrate(settings)
        say("permissions")
        _make_admin(settings)
        say(f"bringing in {len(bundle.dashboards)} dashboards with {len(bundle.charts)} charts")
        assets.bring_in(bundle)
        say("roles and row-level security")
        access.apply(bundle)
        reports.apply(settings, bundle)
    mark.write_text(wanted)
    return True


def fingerprint(settings: Settings) -> str:
    """Changes whenever `prepare` has something to do."""
    files = [
        *(path for path in FOLDER.rglob("*") if path.suffix in _READ),
        *(PROJECT / "dbt_project" / "models").rglob("*.yml"),
        *(PROJECT / "dbt_project" / "models").rglob("*.md"),
        *(PROJECT / "dbt_project" / "seeds").rglob("*.yml"),
        PROJECT / "dbt_project" / "dbt_project.yml",
    ]
    digest = hashlib.sha256(settings.dsn.encode())
    for path in sorted(files):
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    digest.update(" ".join(sorted(path.name for path in settings.clients.glob("*.yml"))).encode())
    return digest.hexdigest()


@cache
def application() -> "Flask":
    """Superset's application; making it takes five seconds of CPU."""
    from superset.app import create_app

    return create_app()


@contextmanager
def app_context(settings: Settings) -> Iterator[None]:
    """An application context, for commands."""
    _quiet()
    _prefer_wal(settings)
    with application().app_context():
        yield


def _quiet() -> None:
    """Superset's start writes some fifty lines of no concern to anybody."""
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


def _metadata_exists(settings: Settings) -> bool:
    url = make_url(settings.dsn)
    return url.get_backend_name() != "sqlite" or Path(str(url.database)).exists()


def _prefer_wal(settings: Settings) -> None:
    """SQLite's write-ahead log, kept in the file: each chart writes a line, which would block all readers."""
    url = make_url(settings.dsn)
    if url.get_backend_name() == "sqlite":
        with sqlite3.connect(str(url.database)) as connection:
            connection.execute("pragma journal_mode = wal")


def _migrate(settings: Settings) -> None:
    import flask_migrate

    import superset

    flask_migrate.upgrade(directory=str(Path(superset.__file__).parent / "migrations"))


def _make_admin(settings: Settings) -> None:
    from superset import appbuilder, security_manager

    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    password = settings.password()
    admin = security_manager.find_user(ADMIN)
    if admin is None:
        role = security_manager.find_role("Admin")
        security_manager.add_user(ADMIN, "Admin", "–", "admin@example.invalid", role, password=password)
