"""Writes the secrets of docker-compose.yml into .env, random ones; `make env-file` runs it.

What .env holds already stays. Needs nothing but Python.
"""

import base64
import os
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

ENV_FILE = Path(__file__).resolve().parents[1] / ".env"

SECRETS: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": lambda: secrets.token_hex(24),
    "AIRFLOW_DB_PASSWORD": lambda: secrets.token_hex(24),
    "OPERATIONS_DB_PASSWORD": lambda: secrets.token_hex(24),
    "REGISTRY_DB_PASSWORD": lambda: secrets.token_hex(24),
    "SUPERSET_DB_PASSWORD": lambda: secrets.token_hex(24),
    "REDIS_PASSWORD": lambda: secrets.token_hex(24),
    "AIRFLOW_FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "AIRFLOW_JWT_SECRET": lambda: secrets.token_hex(48),
    "AIRFLOW_SECRET_KEY": lambda: secrets.token_hex(32),
    "AIRFLOW_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
    "SUPERSET_SECRET_KEY": lambda: secrets.token_hex(32),
    "SUPERSET_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
    "GRAFANA_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
    "METRICS_TOKEN": lambda: secrets.token_hex(24),
    "TOKEN_KEY": lambda: secrets.token_hex(32),
    "NIGHTLEDGER_PULL_TOKENS": lambda: "{}",
}
"""Every secret, and how one is made. Passwords stand in URLs too: they hold nothing that a URL escapes."""


def completed(text: str) -> str:
    """The content of a .env with every secret that it lacks, or has empty, at its end."""
    given = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
    missing = [name for name in SECRETS if not given.get(name)]
    kept = [line for line in text.splitlines() if line.partition("=")[0] not in missing]
    return "\n".join([*kept, *(f"{name}={SECRETS[name]()}" for name in missing)]) + "\n"


def main(path: Path = ENV_FILE) -> None:
    """Write the file, for its owner's eyes only."""
    before = path.read_text() if path.exists() else ""
    after = completed(before)
    if after == before:
        sys.stdout.write(f"{path.name} has every secret already.\n")
        return
    part = path.with_name(f".env.{os.getpid()}")
    part.touch(mode=0o600)
    part.write_text(after)
    part.replace(path)
    sys.stdout.write(
        f"{path.name} has the secrets of docker-compose.yml. Keep a copy where only you can read it.\n"
    )


if __name__ == "__main__":
    main()
