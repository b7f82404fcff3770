"""Nights as the operational database tells them, without running any: for what reads it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from unittest import mock

import sqlalchemy as sa

from nightledger import operations, publications
from nightledger.monitoring import deadlines
from nightledger.night import lock
from nightledger.settings import Settings

STEPS: Mapping[str, float] = {
    **{"open": 20, "ingest": 40, "dbt_merchants": 30, "enrich": 10, "dbt_features": 100},
    **{"score": 60, "dbt_marts": 60, "audit": 10, "publish": 30},
}
"""Seconds of each step of a told night: 6 minutes."""


@dataclass
class Told:
    """Writes what nights leave behind, by the functions that nights use, at times that a test chooses."""

    settings: Settings
    now: datetime
    ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        engine = operations.engine(self.settings)
        # A told night is a hundred commits, each of which would wait for the disk.
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("pragma synchronous=off"))
        engine.dispose()

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """Let it be this time."""
        with mock.patch.object(operations, "clock", lambda: moment):
            yield

    def open(self, day: date, at: datetime, run: str | None = None, kind: str = "nightly") -> str:
        """A run takes the lock and opens."""
        name = run or f"{kind}/scheduled__{day}"
        self.settings.builds.mkdir(parents=True, exist_ok=True)
        with self.at(at):
            lock.take(self.settings, name, lambda _: False)
            identity = f"{day}.{len(self.ids) + 1}"
            values = {"kind": kind, "as_of_date": day, "base": None, "publication_id": identity}
            operations.open_run(self.settings, name, **values, code_revision="told")
            deadlines.record(self.settings, day)
        return name

    def step(self, run: str, stage: str, at: datetime, *, error: str | None = None, **detail: Any) -> None:
        """A step ends at a moment, well or with an error."""
        state = "failed" if error else "done"
        detail |= {"cpu_seconds": STEPS.get(stage, 1) * 0.8, "peak_mb": 700}
        with self.at(at):
            operations._record_stage(
                self.settings,
                run,
                stage,
                state,
                STEPS.get(stage, 1),
                detail | ({"error": error} if error else {}),
            )

    def steps(self, run: str, begin: datetime, until: str | None = None, **detail: Any) -> datetime:
        """The steps of a run one after another, up to one (without it); returns when the last has ended."""
        moment = begin
        for stage, seconds in STEPS.items():
            if stage == until:
                break
            moment += timedelta(seconds=seconds)
            more = {"records": 1200, "quarantined": 3, "late": [], **detail} if stage == "ingest" else {}
            more |= {"scored": 900} if stage == "score" else {}
            self.step(run, stage, moment, **more)
        return moment

    def publish(self, day: date, begin: datetime, kind: str = "nightly", **detail: Any) -> str:
        """A whole night; readers see it afterwards. Returns the publication's id."""
        run = self.open(day, begin, kind=kind)
        end = self.steps(run, begin, **detail)
        identity = f"{day}.{len(self.ids) + 1}"
        self.lay(identity, day, base=self.ids[-1] if self.ids else None)
        with self.at(end):
            operations.record_publication(
                self.settings,
                action="published",
                publication_id=identity,
                as_of_date=day,
                run_id=run,
                reason="told",
            )
            operations.end_run(self.settings, run, "published")
        lock.release(self.settings, run)
        return identity

    def lay(self, identity: str, day: date, base: str | None, warned: Sequence[str] = ()) -> None:
        """Put a publication where readers look."""
        path = self.settings.builds / identity
        path.mkdir(parents=True)
        rows = 1_000 * (len(self.ids) + 1)
        tables = {"marts.mart_spend": [rows, "hash"], "raw.transactions": [9 * rows, "hash"]}
        said = {"id": identity, "as_of_date": str(day), "kind": "nightly", "base": base, "tables": tables}
        (path / "publication.json").write_text(json.dumps(said | {"code_revision": "told"}))
        checks = [
            {
                "check": name,
                "severity": "warn",
                "status": "failed" if name in warned else "passed",
                "detail": f"{name} says",
            }
            for name in ("sources_are_fresh", "balances_roll_forward")
        ]
        (path / "audit.json").write_text(json.dumps({"checks": checks}))
        (path / "warehouse.duckdb").write_bytes(b"x" * 1000)
        publications.point(self.settings, "current", identity)
        self.ids.append(identity)

    def refuse(self, run: str, file: str, message: str, at: datetime) -> None:
        """A run refuses a file."""
        verdict = {
            "load_id": file,
            "client_id": "bank",
            "source": "cards",
            "file": file,
            "verdict": "refused",
        }
        with self.at(at):
            operations.record_files(
                self.settings, run, [verdict | {"records": 0, "quarantined": 0, "message": message}]
            )

    def audit_fails(self, run: str, at: datetime) -> None:
        """The audit of a run finds what must not be."""
        row = {
            "check": "file_equals_raw_plus_quarantine",
            "severity": "error",
            "status": "failed",
            "violations": 2,
        }
        detail = (
            "a file has records that are neither in raw nor in quarantine: load 1a2b3c, "
            "file cards_20260105.csv, missing 2. Next: hold the file and run the night again"
        )
        with self.at(at):
            operations.record_audit(self.settings, run, [row | {"detail": detail}])
        self.step(run, "audit", at, error=f"AuditFailed: the audit stopped publication.\n- {detail}")
