"""Whether the container that asks is healthy; exit code 0 or 1. Docker asks often, so it imports little.

health.py http URL           answers with 200
health.py airflow PART       the API server says that this part (metadatabase, scheduler, dag_processor,
                             triggerer) is healthy
health.py celery VARIABLE    this host's worker answers over the broker whose URL the variable holds
health.py broker VARIABLE    the broker whose URL the variable holds takes connections
"""

import json
import os
import socket
import sys
import urllib.request
from typing import Any

API = "AIRFLOW_API"
"""Variable with the address of the API server; Airflow's own variables are only set inside its processes."""


def is_healthy(kind: str, *arguments: str) -> bool:
    """Ask; an error counts as no."""
    if kind == "http":
        return _get(arguments[0]).status == 200
    if kind == "airflow":
        url = os.environ.get(API, "http://127.0.0.1:8080")
        health = json.load(_get(f"{url}/api/v2/monitor/health"))
        return health[arguments[0]]["status"] == "healthy"
    if kind == "celery":
        from celery import Celery

        control = Celery(broker=os.environ[arguments[0]]).control
        return bool(control.ping(destination=[f"celery@{socket.gethostname()}"], timeout=8))
    if kind == "broker":
        from kombu import Connection

        with Connection(os.environ[arguments[0]], connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1)
        return True
    raise SystemExit(f"health.py knows no {kind}\n{__doc__}")


def _get(url: str) -> Any:  # an http.client.HTTPResponse
    return urllib.request.urlopen(url, timeout=8)  # noqa: S310 - our own addresses


if __name__ == "__main__":
    try:
        sys.exit(0 if is_healthy(*sys.argv[1:]) else 1)
    except Exception as error:  # noqa: BLE001 - whatever it is, the container is not healthy
        sys.exit(f"{type(error).__name__}: {error}")
