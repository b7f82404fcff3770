"""What Superset is told, by the same variables as the rest (`.env.example`), and its secrets.

Superset has an environment of its own, without the main one's packages: hence a second, small reader.
"""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self

FOLDER = Path(__file__).resolve().parents[1]
"""The folder `superset/` of the checkout."""

PROJECT = FOLDER.parent
ADMIN = "admin"


class SupersetError(RuntimeError):
    """Superset cannot be set up or told something; the message says why and what to do."""


@dataclass(frozen=True)
class Settings:
    """Settings of this process; `NIGHTLEDGER_HOME` holds all state."""

    home: Path
    clients: Path
    host: str
    port: int
    dsn: str
    redis_url: str
    address: str
    embedded_in: tuple[str, ...]
    internal_address: str
    threads: int
    memory_limit: str
    smtp_url: str
    report_sender: str
    browser: str

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment; relative paths are taken from the project's root."""

        def given(name: str, default: str) -> str:
            return os.environ.get(f"NIGHTLEDGER_{name}", "") or default

        home = PROJECT / given("HOME", "var")
        port = int(given("SUPERSET_PORT", "8088"))
        return cls(
            home=home,
            clients=PROJECT / given("CLIENTS", "clients"),
            host=given("SUPERSET_HOST", "127.0.0.1"),
            port=port,
            dsn=given("SUPERSET_DSN", f"sqlite:///{home / 'superset' / 'superset.db'}"),
            redis_url=given("SUPERSET_REDIS", ""),
            address=(address := given("SUPERSET_ADDRESS", f"http://127.0.0.1:{port}")),
            embedded_in=tuple(given("SUPERSET_EMBEDDED_IN", "").split()),
            internal_address=given("SUPERSET_INTERNAL_ADDRESS", address),
            threads=int(given("THREADS", "2")),
            memory_limit=given("SUPERSET_MEMORY_LIMIT", "1GB"),
            smtp_url=given("SMTP_URL", ""),
            report_sender=given("REPORT_SENDER", "nightledger@localhost"),
            browser=given("BROWSER", "/usr/bin/chromium"),
        )

    @property
    def state(self) -> Path:
        """Superset's own directory: metadata, caches, log."""
        return self.home / "superset"

    def publication(self) -> Path:
        """Directory of the newest publication, with the pointer resolved.

        Raises:
            SupersetError: nothing has been published yet.
        """
        pointer = self.home / "builds" / "current"
        if not pointer.is_symlink():
            raise SupersetError(
                f"Nothing has been published in {self.home} yet, so there is nothing to show. "
                "`make demo` makes a first night; then `make superset` again."
            )
        return pointer.resolve(strict=True)

    def keys(self) -> dict[str, str]:
        """`secret_key` signs sessions and `guest_key` the tokens of embedded pages; made once."""
        given = os.environ.get("NIGHTLEDGER_SUPERSET_SECRET_KEY", "")
        if given:  # several machines share it; the second key must not be the first
            return {"secret_key": given, "guest_key": hashlib.sha256(f"guest {given}".encode()).hexdigest()}
        return _kept(
            self.home / "secrets" / "superset.json",
            {"secret_key": secrets.token_hex(32), "guest_key": secrets.token_hex(32)},
        )

    @property
    def passwords_file(self) -> Path:
        """File that holds the password of each user that we made, `{"admin": "…"}`."""
        return self.home / "secrets" / "superset-passwords.json"

    def people_made(self) -> set[str]:
        """Users besides the admin that we made."""
        if not self.passwords_file.exists():
            return set()
        return set(json.loads(self.passwords_file.read_text())) - {ADMIN}

    def password(self, user: str = ADMIN) -> str:
        """Password of a user that we made; a random one the first time."""
        given = os.environ.get("NIGHTLEDGER_SUPERSET_ADMIN_PASSWORD", "")
        if user == ADMIN and given:
            return given
        known = _kept(self.passwords_file, {ADMIN: secrets.token_urlsafe(12)})
        if user not in known:
            known[user] = secrets.token_urlsafe(12)
            temporary = self.passwords_file.with_suffix(f".{os.getpid()}")
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(known) + "\n")
            temporary.replace(self.passwords_file)
        return known[user]


def _kept(path: Path, fresh: dict[str, str]) -> dict[str, str]:
    """The content of a file that only its owner may read; `fresh` is written if there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(fresh) + "\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process was first; its secrets are the ones that count
        finally:
            temporary.unlink()
    content: dict[str, str] = json.loads(path.read_text())
    return content
