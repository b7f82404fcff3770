"""`python -m nightledger_superset prepare | web | refresh | worker | beat`; `make superset` runs two of them.

Settings come from the environment, `NIGHTLEDGER_HOME` before all; `.env.example` lists them.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

# Before anything imports Superset.
os.environ.setdefault("SUPERSET_CONFIG_PATH", str(Path(__file__).resolve().parents[1] / "superset_config.py"))
os.environ["TZ"] = "UTC"

from nightledger_superset.datasets import DefinitionError
from nightledger_superset.settings import Settings, SupersetError


def _say(text: str) -> None:
    sys.stdout.write(f"  Superset: {text} …\n")
    sys.stdout.flush()


def prepare(settings: Settings, arguments: argparse.Namespace) -> None:
    """Bring metadata, dashboards and roles to what git says."""
    from nightledger_superset import preparing

    if not preparing.prepare(settings, _say, force=arguments.force):
        sys.stdout.write("  Superset: everything is as it should be\n")


def web(settings: Settings, _arguments: argparse.Namespace) -> None:
    """Serve the pages, in the foreground; does not return."""
    gunicorn = Path(sys.executable).with_name("gunicorn")
    words = [
        *("--worker-class", "gthread", "--threads", "8", "--timeout", "120", "--graceful-timeout", "10"),
        *("--bind", f"{settings.host}:{settings.port}", "--access-logfile", os.devnull),
        "superset.app:create_app()",
    ]
    # DuckDB would block an event loop, so threads; WEB_CONCURRENCY sets the number of processes.
    os.execv(gunicorn, [str(gunicorn), *words])  # noqa: S606 - our own environment and fixed arguments


def refresh(settings: Settings, arguments: argparse.Namespace) -> None:
    """Compute the answers of all dashboards on the newest publication; nobody has to wait for them then."""
    from nightledger_superset import preparing, refreshing

    with preparing.app_context(settings):
        warmed = refreshing.warm(settings, force=arguments.force)
    sys.stdout.write(f"  Superset: {warmed}\n")


def charts(_settings: Settings, _arguments: argparse.Namespace) -> None:
    """Tell every chart and dashboard that git has, as JSON; the browser's commands read it."""
    from nightledger_superset.assets import read_bundle
    from nightledger_superset.build import listing

    sys.stdout.write(json.dumps(listing(read_bundle())) + "\n")


def worker(settings: Settings, _arguments: argparse.Namespace) -> None:
    """Send reports and alerts, and warm the cache, in the foreground; does not return."""
    os.environ["NIGHTLEDGER_SUPERSET_DRAWS"] = "yes"
    _celery(settings, "worker", "--pool=prefork", "--concurrency=2", "-O", "fair", "--loglevel=INFO")


def beat(settings: Settings, _arguments: argparse.Namespace) -> None:
    """Tell the worker when to do what, in the foreground; one for each installation; does not return."""
    _celery(settings, "beat", "--loglevel=INFO", "--schedule", str(settings.state / "celerybeat-schedule"))


def _celery(settings: Settings, *words: str) -> None:
    from nightledger_superset import reports

    if not reports.are_sent(settings):
        raise SupersetError(
            "Reports need Postgres for the metadata (NIGHTLEDGER_SUPERSET_DSN) "
            "and Redis (NIGHTLEDGER_SUPERSET_REDIS)."
        )
    settings.state.mkdir(parents=True, exist_ok=True)
    celery = Path(sys.executable).with_name("celery")
    os.execv(celery, [str(celery), "--app=superset.tasks.celery_app:app", *words])  # noqa: S606 - fixed arguments


COMMANDS: dict[str, Callable[[Settings, argparse.Namespace], None]] = {
    "prepare": prepare,
    "web": web,
    "refresh": refresh,
    "worker": worker,
    "beat": beat,
    "charts": charts,
}


def main() -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger_superset", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in COMMANDS.items():
        command = commands.add_parser(name, help=(run.__doc__ or "").partition(";")[0])
        if name in ("prepare", "refresh"):
            command.add_argument("--force", action="store_true", help="even if nothing has changed")
    arguments = parser.parse_args()
    try:
        COMMANDS[arguments.command](Settings.from_environment(), arguments)
    except (SupersetError, DefinitionError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
