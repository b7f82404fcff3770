"""Airflow's own notifiers for mail and webhooks, given addresses instead of Airflow's connections."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any
from urllib.parse import unquote, urlsplit

PATIENCE = 20
"""Seconds to wait for a server."""
_CONNECTION = "nightledger_alerts"


def mail(server: str, sender: str, to: Sequence[str], subject: str, text: str) -> None:
    """Send a mail.

    Args:
        server: smtp://user:password@host:port, or smtps:// for TLS from the first byte.
        sender: its address.
        to: addresses.
        subject: one line.
        text: plain text.

    Raises:
        Exception: whatever the notifier meets, when the server does not take it.
    """
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    url = urlsplit(server)
    is_tls = url.scheme == "smtps"
    connection = {
        "conn_type": "smtp",
        "host": url.hostname,
        "port": url.port or (465 if is_tls else 25),
        "login": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        # As for the dashboards' reports: a name and password never travel in the clear.
        "extra": {
            "disable_ssl": not is_tls,
            "disable_tls": is_tls or not url.username,
            "timeout": PATIENCE,
            "retry_limit": 1,
        },
    }
    with _known_to_airflow(connection):
        SmtpNotifier(
            to=to,
            from_email=sender,
            subject=subject,
            html_content=f"<pre>{escape(text)}</pre>",
            smtp_conn_id=_CONNECTION,
        ).notify({})


def post(address: str, content: Mapping[str, str]) -> None:
    """Post JSON to a URL, which may hold a secret.

    Raises:
        Exception: whatever the notifier meets, when the server does not take it.
    """
    from airflow.providers.http.notifications.http import HttpNotifier

    url = urlsplit(address)
    connection = {
        "conn_type": "http",
        "host": url.hostname,
        "port": url.port,
        "schema": url.scheme,
        "login": unquote(url.username or "") or None,
        "password": unquote(url.password or "") or None,
    }
    with _known_to_airflow(connection):
        HttpNotifier(
            http_conn_id=_CONNECTION,
            endpoint=f"{url.path}?{url.query}" if url.query else url.path,
            json=dict(content),
            extra_options={"timeout": PATIENCE, "allow_redirects": False},
        ).notify({})


@contextmanager
def _known_to_airflow(connection: Mapping[str, Any]) -> Iterator[None]:
    """Give Airflow's hooks a connection of ours, in this process only."""
    name = f"AIRFLOW_CONN_{_CONNECTION.upper()}"
    os.environ[name] = json.dumps(connection)
    try:
        yield
    finally:
        del os.environ[name]
