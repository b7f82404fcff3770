"""Tells people of incidents, by mail and webhook, with Airflow's own notifiers: each event once a channel.

A message names kinds, clients, features, models, files and dates, and never a value of a customer. What could
not be sent is sent with the next night; a message is kept as sent when the server has taken it.
"""

import fcntl
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from nightledger import incidents, operations
from nightledger.incidents import causes, ledger
from nightledger.monitoring import alerts
from nightledger.operations.schema import notifications
from nightledger.settings import Settings

log = logging.getLogger(__name__)

MAIL, WEBHOOK = "mail", "webhook"
FORGET = timedelta(days=3)
"""Age from which an event is no news any more: whoever switches alerts on is not flooded."""
_ALL_CLEAR = ("night failed", "publish late")
"""Kinds whose end people are told of too: somebody was woken."""
_RUNBOOK = {
    "drift": "drift", "performance": "performance", "champion demoted": "champion_lost",
    "publish late": "late",
    "missing file": "source_late", "late file": "source_late", "refused file": "file_refused",
    "layout": "file_refused", "corrected file": "drift", "audit": "audit", "dbt": "test",
    "machine": "machine",
}  # fmt: skip
"""Kind of alert (`alerts.yml`) of an incident, by its kind or, where that says little, by its cause."""


def channels(settings: Settings) -> list[str]:
    """Ways of telling people that are set up."""
    by_mail = [MAIL] if settings.alert_to and settings.smtp_url else []
    return by_mail + ([WEBHOOK] if settings.alert_webhook else [])


def announce(settings: Settings) -> int:
    """Send what has happened to incidents and was not sent yet; returns the number of messages sent."""
    since = operations.clock() - FORGET
    rows = {row["id"]: row for row in incidents.listed(settings, limit=1000)}
    sent, failing = 0, set[str]()
    for event in incidents.events(settings):
        row = rows.get(event["incident_id"])
        if row is None or not _is_news(row, event["event"]) or event["recorded_at"] < since:
            continue
        subject, text = message(settings, row, event["event"])
        event_id = f"{event['event']} {event['id']}"
        about = {"subject_id": row["id"], "event": event_id, "subject": subject, "text": text}
        sent += len(notify(settings, **about, failing=failing))
    return sent


def _is_news(row: Mapping[str, Any], event: str) -> bool:
    """Whether people are told of an event of an incident."""
    return (
        event == ledger.OPENED
        or (event == ledger.CLOSED and row["kind"] in _ALL_CLEAR)
        or (event == ledger.GREW and row["kind"] == "night failed")
    )


def message(settings: Settings, row: Mapping[str, Any], event: str) -> tuple[str, str]:
    """Subject and text about an incident.

    Args:
        settings: of the installation.
        row: of `incidents.listed`.
        event: what has happened to it.
    """
    whose = row["client_id"] or "all clients"
    over = "Over: " if event == ledger.CLOSED else ""
    lines = [row["title"], ""]
    # What a person wrote about a demotion may say more than a message should.
    if row["cause"] and row["kind"] != "champion demoted":
        of_ours = "" if row["cause_kind"] == causes.CUSTOMERS else "First change upstream: "
        lines.append(f"{of_ours}{row['cause']}")
    lines += [
        f"Kind: {row['kind']}, severity {row['severity']}, {whose}",
        f"As-of dates: {row['first_date']} to {row['last_date']}",
        f"What to do: {_address(settings)}{runbook(row).link}",
        f"Acknowledge: {_address(settings)}/nightledger/incidents/{row['id']}",
    ]
    return f"Nightledger: {over}{row['title']}"[:180], "\n".join(lines)


def runbook(row: Mapping[str, Any]) -> alerts.Alert:
    """What to do about an incident."""
    kind = row["kind"] if row["kind"] in _RUNBOOK else row["cause_kind"]
    if row["kind"] == "data" and "." in row["about"]:  # a column that emptied: its file was taken
        kind = "drift"
    if row["kind"] == "night failed" and kind == "missing file":
        return alerts.alerts()["source"]
    return alerts.alerts()[_RUNBOOK.get(kind, "other")]


def notify(
    settings: Settings,
    *,
    subject_id: str,
    event: str,
    subject: str,
    text: str,
    failing: set[str] | None = None,
) -> list[str]:
    """Send a message on every channel that has not had it yet; trouble with one is logged, no more.

    Args:
        settings: of the installation.
        subject_id: what it is about.
        event: which of its events; with `subject_id` it says whether the message was sent before.
        subject: one line.
        text: plain text.
        failing: channels that are left out, since they have failed in this pass; one that fails now joins
            them. A server that does not answer takes 20 s, and there may be many messages.

    Returns:
        The channels that took it now.
    """
    took: list[str] = []
    failing = set() if failing is None else failing
    for channel in channels(settings):
        key = {"subject_id": subject_id, "event": event, "channel": channel}
        with _alone(settings):
            if channel in failing or _was_sent(settings, key):
                continue
            try:
                _SENDERS[channel](settings, subject, text)
            except Exception as error:  # noqa: BLE001 - whatever a server does, the night goes on
                log.warning("%s could not be told of %r: %s", channel, subject, type(error).__name__)
                failing.add(channel)
                continue
            with operations.engine(settings).begin() as connection:
                connection.execute(notifications.insert(), key | {"sent_at": operations.clock()})
            took.append(channel)
    return took


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One process at a time looks whether a message was sent, and sends it: a night and a training may both.

    No lock of the database, which the night needs while a mail server takes its time.
    """
    with (settings.home / ".notifying").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _was_sent(settings: Settings, key: Mapping[str, str]) -> bool:
    query = sa.select(notifications).where(*(notifications.c[name] == value for name, value in key.items()))
    with operations.engine(settings).connect() as connection:
        return connection.execute(query).first() is not None


def _address(settings: Settings) -> str:
    return settings.alert_address.rstrip("/") or f"http://127.0.0.1:{settings.airflow_port}"


def _mail(settings: Settings, subject: str, text: str) -> None:
    from nightledger.airflow import notifiers

    addresses = [address.strip() for address in settings.alert_to.split(",") if address.strip()]
    url = _secret(settings.smtp_url)
    notifiers.mail(url, settings.report_sender, addresses, subject, text)


def _webhook(settings: Settings, subject: str, text: str) -> None:
    from nightledger.airflow import notifiers

    notifiers.post(_secret(settings.alert_webhook), {"subject": subject, "text": f"{subject}\n{text}"})


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value else ""


_SENDERS: Mapping[str, Callable[[Settings, str, str], None]] = {MAIL: _mail, WEBHOOK: _webhook}
