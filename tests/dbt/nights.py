"""Real nights of a small bank: files with manifests, a clock that tests set, and every step but scoring."""

import json
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import yaml

from nightledger import operations, publications, warehouse
from nightledger.night import steps as night
from nightledger.settings import Settings
from tests.helpers.steps import without_data_tests

CARDS: dict[str, Any] = {
    "client": "bank",
    "source": "cards",
    "files": "cards_*",
    "format": {"type": "csv"},
    "max_bad_share": 0.5,
    "delivery": {
        "mode": "upsert",
        "calendar": "daily",
        "starts": "2026-01-05",
        "due_by": "01:30",
        "day": {"pattern": r"cards_(\d{4}-\d{2}-\d{2})"},
    },
    "feeds": {
        "transactions": {
            "key": ["transaction_id"],
            "known_at": "manifest",
            "columns": {
                "transaction_id": "id",
                "customer_id": "customer",
                "account_id": "customer",
                "business_date": "day",
                "amount": "amount",
                "description": "text",
                "payment_mode": {"column": "mode", "map": {"C": "card"}},
            },
        }
    },
}
HEADER = "id,customer,day,amount,text,mode"


def hour(day: date, clock: float = 1, after: int = 1) -> datetime:
    """An hour of the night after a business date."""
    return datetime.combine(day + timedelta(days=after), time()) + timedelta(hours=clock)


class Nights:
    """A home with one client, whose day ends at midnight UTC and whose cutoff is two hours later."""

    def __init__(self, home: Path, **contracts: dict[str, Any]) -> None:
        self.settings = Settings(
            home=home,
            inbox=home / "inbox",
            sources=home / "sources",
            clients=home / "clients",
            token_key="test-key",
            min_free_share=0,
            _env_file=None,
        )
        for folder in (self.settings.sources, self.settings.clients, home / "inbox"):
            folder.mkdir(parents=True)
        client = {"name": "Bank", "timezone": "UTC", "base_currency": "GBP", "country": "GB"}
        (self.settings.clients / "bank.yml").write_text(yaml.safe_dump(client))
        for name, contract in contracts.items():
            self.contract(name, contract)
        self.runs = 0

    def contract(self, name: str, content: dict[str, Any]) -> None:
        """Write a contract, or mend it."""
        (self.settings.sources / f"{name}.yml").write_text(yaml.safe_dump(content, sort_keys=False))

    def file(self, name: str, *records: str, known_at: datetime) -> None:
        """Drop a file with its manifest into the inbox."""
        path = self.settings.home / "inbox" / name
        path.write_text("\n".join([HEADER, *records]) + "\n")
        path.with_name(f"{name}.manifest.json").write_text(json.dumps({"known_at": known_at.isoformat()}))

    def run(
        self, day: date, *, force: bool = False, whole: bool = False, tests: bool = True
    ) -> dict[str, Any] | None:
        """One whole night; what `ingest` said, or None when there was nothing to do.

        With `whole`, every definition counts as changed, so that all models are built from nothing. Without
        `tests`, dbt's data tests are left out: for a night that is compared with one that passed them.
        """
        if not tests:
            with without_data_tests():
                return self.run(day, force=force, whole=whole)
        self.runs += 1
        run_id = f"nightly/{self.runs}"
        night.take_lock(self.settings, run_id, is_alive=lambda _: False)
        if night.open_night(self.settings, run_id, day, "nightly", force=force) is None:
            return None
        said = night.ingest(self.settings, run_id)
        if whole:
            with warehouse.connect(self.settings.builds / "open", read_only=False) as connection:
                connection.execute("update ops.definitions set definition_hash = 'another'")
        night.run_dbt(self.settings, run_id, "merchants")
        night.enrich(self.settings, run_id)
        for selector in ("features", "marts"):
            night.run_dbt(self.settings, run_id, selector)
        night.audit(self.settings, run_id)
        night.publish(self.settings, run_id)
        return said

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on the current publication."""
        path = warehouse.publication_path(self.settings)
        assert path
        with warehouse.connect(path, settings=self.settings) as connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> dict[str, Any]:
        """Row count and hash of each table that dbt has made and that a publication is judged by."""
        path = warehouse.publication_path(self.settings)
        assert path
        described = publications.describe(path)["tables"]
        return {name: value for name, value in described.items() if not name.startswith("raw.")}

    def verdicts(self) -> dict[str, str]:
        """Verdict by file of the last night."""
        return {
            row["file"]: row["verdict"]
            for row in operations.file_verdicts(self.settings, f"nightly/{self.runs}")
        }
