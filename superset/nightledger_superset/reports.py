"""Alerts and scheduled reports as `reports.yml` states them.

A worker and a clock send them (`python -m nightledger_superset worker` and `… beat`). Both need Postgres for
the metadata, as Superset's own schedule fails on SQLite, and Redis to talk over.
"""

import json
import re
from email.message import Message
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from nightledger_superset.build import Bundle
from nightledger_superset.refreshing import FILTER
from nightledger_superset.settings import ADMIN, FOLDER, Settings, SupersetError

MARK = "reports.yml"
"""Kept in a field that Superset has no use for: tells our schedules from those made in the browser."""

FORMATS = ("PDF", "PNG", "CSV")
KINDS = {"pdf": "application/pdf", "csv": "text/csv"}
KEYS = {"description", "at", "send", "client", "format", "to", "sql", "when", "active"}
COMPARED = ("<", "<=", ">", ">=", "==")
WARM_MINUTES = 5
PATIENCE = 180
"""Seconds that a report's browser waits for a page: a cold one on a busy machine took more than Superset's
60. Well under `working_timeout`, after which Superset gives a report up.
"""


def are_sent(settings: Settings) -> bool:
    """Whether this installation has what a worker needs."""
    return bool(settings.redis_url) and settings.dsn.startswith("postgresql")


def config(settings: Settings) -> dict[str, Any]:
    """What Superset's configuration says about reports; nothing where none are sent."""
    if not are_sent(settings):
        return {}
    from celery.schedules import crontab
    from superset.config import CELERY_BEAT_SCHEDULER_EXPIRES
    from superset.tasks.types import FixedExecutor

    class CeleryConfig:
        broker_url = settings.redis_url
        result_backend = settings.redis_url
        broker_connection_retry_on_startup = True
        imports = ("superset.tasks.scheduler", "superset.tasks.cache", "nightledger_superset.tasks")
        worker_prefetch_multiplier = 1
        task_acks_late = False
        beat_schedule = {  # noqa: RUF012 - Celery's own form
            "reports.scheduler": {
                "task": "reports.scheduler",
                "schedule": crontab(minute="*", hour="*"),
                # Superset computes the times to be sent from it: it must be this value.
                "options": {"expires": int(CELERY_BEAT_SCHEDULER_EXPIRES.total_seconds())},
            },
            "reports.prune_log": {"task": "reports.prune_log", "schedule": crontab(minute=0, hour=0)},
            "nightledger.refresh": {
                "task": "nightledger.refresh",
                "schedule": crontab(minute=f"*/{WARM_MINUTES}"),
                "options": {"expires": 60 * WARM_MINUTES},
            },
        }

    return {
        "CELERY_CONFIG": CeleryConfig,
        "ALERT_REPORTS_EXECUTORS": [FixedExecutor(ADMIN)],
        "WEBDRIVER_OPTION_ARGS": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        "WEBDRIVER_WINDOW": {"dashboard": (1440, 2000), "slice": (1440, 900), "pixel_density": 1},
        "SCREENSHOT_PLAYWRIGHT_DEFAULT_TIMEOUT": PATIENCE * 1000,
        # Drawn in tiles, a page is as tall as its charts and not as the window.
        "SCREENSHOT_TILED_CHART_THRESHOLD": 1,
        "SCREENSHOT_TILED_VIEWPORT_HEIGHT": 600,
        "EMAIL_REPORTS_SUBJECT_PREFIX": "",
        "EMAIL_REPORTS_CTA": "Open it",
        "EMAIL_HEADER_MUTATOR": readable,
        **_mail(settings),
    }


def _mail(settings: Settings) -> dict[str, Any]:
    """Superset's form of `smtp://user:password@host:port`; without one the worker only logs what it has."""
    if not settings.smtp_url:
        return {"ALERT_REPORTS_NOTIFICATION_DRY_RUN": True}
    url = urlsplit(settings.smtp_url)
    return {
        "SMTP_HOST": url.hostname,
        "SMTP_PORT": url.port or (465 if url.scheme == "smtps" else 25),
        "SMTP_SSL": url.scheme == "smtps",
        "SMTP_STARTTLS": bool(url.username) and url.scheme == "smtp",
        "SMTP_SSL_SERVER_AUTH": True,
        "SMTP_USER": unquote(url.username or ""),
        "SMTP_PASSWORD": unquote(url.password or ""),
        "SMTP_MAIL_FROM": settings.report_sender,
    }


def readable(message: Message, **_about: Any) -> Message:
    """The mail with its files as mail programs know them; Superset's have no kind, and a name for no disk."""
    message.replace_header("Subject", str(message["Subject"]).strip())
    for part in message.walk():
        stem, _, ending = str(part.get_param("Name")).rpartition(".")
        if kind := KINDS.get(ending):  # a picture in the text has a name too, and is no attachment
            stem = re.sub(r"[^\w-]+", "-", stem).strip("-")
            part.replace_header("Content-Type", kind)
            part.add_header("Content-Disposition", "attachment", filename=f"{stem}.{ending}")
    return message


def use_browser(settings: Settings) -> None:
    """Let Playwright start the system's Chromium: Superset has no setting for it."""
    from playwright.sync_api import BrowserType

    launch = BrowserType.launch

    def with_path(self: Any, **words: Any) -> Any:
        return launch(self, **{"executable_path": settings.browser, **words})

    BrowserType.launch = with_path  # type: ignore[method-assign]


def apply(settings: Settings, bundle: Bundle) -> int:
    """Bring schedules to what `reports.yml` says, inside an app context; returns how many there are.

    Raises:
        SupersetError: names the report and what is wrong with it.
    """
    from superset.reports.models import ReportSchedule

    from superset import db

    stated = read_reports(bundle)
    if not are_sent(settings):
        return 0
    for row in db.session.query(ReportSchedule).filter_by(context_markdown=MARK):
        if row.name not in stated:
            db.session.delete(row)
    for name, report in stated.items():
        _write(name, report, bundle)
    db.session.commit()
    return len(stated)


def read_reports(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """The reports by name, each checked.

    Raises:
        SupersetError: names the report and what is wrong with it.
    """
    found: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "reports.yml").read_text())["reports"] or {}
    for name, report in found.items():
        wrong = _wrong(report, bundle)
        if wrong:
            raise SupersetError(f"reports.yml: {name}: {wrong}")
    return found


def _wrong(report: dict[str, Any], bundle: Bundle) -> str:
    if unknown := {*report} - KEYS:
        return f"unknown key {', '.join(sorted(unknown))}"
    if missing := {"at", "send", "format", "to"} - {*report}:
        return f"{', '.join(sorted(missing))} is missing"
    if report["format"] not in FORMATS:
        return f"format must be one of {', '.join(FORMATS)}"
    if report["send"] not in bundle.dashboards and report["send"] not in bundle.charts:
        return f"there is no dashboard or chart {report['send']}"
    if report["format"] == "CSV" and report["send"] in bundle.dashboards:
        return "a dashboard cannot be sent as CSV; name a chart"
    if "client" in report and not _client_filter(report["send"], bundle):
        return f"client: {report['send']} is no dashboard with a filter of clients"
    if ("sql" in report) != ("when" in report):
        return "an alert has both sql and when"
    if "when" in report and not re.fullmatch(r"(<|<=|>|>=|==) *-?[0-9.]+", report["when"]):
        return f"when must be one of {', '.join(COMPARED)} and a number"
    return ""


def _client_filter(slug: str, bundle: Bundle) -> str:
    """The id of a dashboard's filter of clients; empty where there is no such filter."""
    if slug not in bundle.dashboards:
        return ""
    page = yaml.safe_load(bundle.files[f"dashboards/{slug}.yaml"])
    for one in page["metadata"]["native_filter_configuration"]:
        if one["targets"][0]["column"]["name"] == FILTER:
            return str(one["id"])
    return ""


def _extra(report: dict[str, Any], bundle: Bundle) -> str:
    """What Superset keeps of a report beside its columns: the client that its page is to be of."""
    if "client" not in report:
        return "{}"
    chosen = {
        "nativeFilterId": _client_filter(report["send"], bundle),
        "filterType": "filter_select",
        "columnName": FILTER,
        "filterValues": [report["client"]],
    }
    return json.dumps({"dashboard": {"nativeFilters": [chosen]}})


def _write(name: str, report: dict[str, Any], bundle: Bundle) -> None:
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice
    from superset.reports.models import ReportRecipients, ReportSchedule

    from superset import db, security_manager

    kind = "Alert" if "sql" in report else "Report"
    row = db.session.query(ReportSchedule).filter_by(name=name, type=kind).one_or_none()
    if row is None:
        row = ReportSchedule(name=name, type=kind, context_markdown=MARK)
        db.session.add(row)
    row.description = report.get("description", "")
    row.crontab, row.timezone = report["at"], "UTC"
    row.report_format = report["format"]
    row.active = report.get("active", True)
    row.grace_period, row.working_timeout = 60, 900
    row.owners = [security_manager.find_user(ADMIN)]
    row.extra_json = _extra(report, bundle)
    info = bundle.dashboards.get(report["send"])
    row.dashboard = db.session.query(Dashboard).filter_by(uuid=info.uuid).one() if info else None
    chart = None if info else bundle.charts[report["send"]]
    row.chart = db.session.query(Slice).filter_by(uuid=chart).one() if chart else None
    if kind == "Alert":
        sign, number = re.findall(r"[<>=]+|-?[0-9.]+", report["when"])
        row.database = db.session.query(Database).filter_by(uuid=bundle.database).one()
        row.sql = report["sql"]
        row.validator_type = "operator"
        row.validator_config_json = json.dumps({"op": sign, "threshold": float(number)})
    wanted = json.dumps({"target": ", ".join(report["to"])})
    if [recipient.recipient_config_json for recipient in row.recipients] != [wanted]:
        row.recipients = [ReportRecipients(type="Email", recipient_config_json=wanted)]
