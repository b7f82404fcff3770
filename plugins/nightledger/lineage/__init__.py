"""OpenLineage events: which job read and wrote which tables, for whoever follows a number through systems.

`around` stands where stages begin and end (`operations.stage`). It tells of ingestion, of each dbt node, of
what finds brands, of scoring and of publication: a START, and a COMPLETE or FAIL with what was read and
written. The events go to `<home>/lineage/<month>.ndjson`, a line each, or to the address of
`NIGHTLEDGER_OPENLINEAGE_URL`. Lineage is a report: when it cannot be told, the night goes on and the log
says so.
"""

import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nightledger.settings import Settings

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from nightledger.lineage.model import JobRun

log = logging.getLogger(__name__)

STAGES = ("ingest", "dbt_merchants", "enrich", "dbt_features", "score", "dbt_marts", "publish")
"""Of a night; other stages move no data between tables."""
KEPT_MONTHS = 13
"""Files of older months are deleted."""
PATIENCE = 5.0
"""Seconds that an address may take to answer."""
_RUNS = uuid.UUID("6f1d4a52-8f0e-5b6c-9c43-0d6b2f6c7a11")
"""Namespace of the runs' ids, which follow from the run, the stage and when it began."""


@contextmanager
def around(settings: Settings, run_id: str, stage: str) -> Iterator[None]:
    """Tell of a stage while it runs; of one that is none of `STAGES`, nothing.

    Args:
        settings: of the installation.
        run_id: `<dag_id>/<run_id>`.
        stage: its name.
    """
    # The standard's own switch, which its client would follow only after all had been gathered.
    if stage not in STAGES or os.environ.get("OPENLINEAGE_DISABLED", "").lower() == "true":
        yield
        return
    told = _Stage(settings, run_id, stage)
    told.begins()
    try:
        yield
    except BaseException as error:
        told.ends(error)
        raise
    told.ends(None)


class _Stage:
    """One try of a stage; its methods raise nothing."""

    def __init__(self, settings: Settings, run_id: str, stage: str) -> None:
        self._settings, self._run_id, self._stage = settings, run_id, stage
        self._began = datetime.now(UTC)
        self._is_heard = True

    def begins(self) -> None:
        with self._aside("the start"):
            from nightledger.lineage import events as events

            self._send([events.started(self._job(), self._began)])

    def ends(self, error: BaseException | None) -> None:
        if not self._is_heard:
            return
        began = time.monotonic()
        with self._aside("the end"):
            from nightledger.lineage import events as events

            job, at = self._job(), datetime.now(UTC)
            found = events.of_stage(self._settings, job, self._run_id, self._stage, is_done=error is None)
            self._send([*found.within, events.ended(job, at, found, error)])
            log.info(
                "lineage of %s: %d events in %.2f s",
                self._stage,
                len(found.within) + 2,
                time.monotonic() - began,
            )

    def _job(self) -> "JobRun":
        from nightledger.lineage.model import JobRun

        dag_id, _, _ = self._run_id.partition("/")
        return JobRun(
            namespace=self._settings.openlineage_namespace,
            name=f"{dag_id}.{self._stage}",
            id=str(uuid.uuid5(_RUNS, f"{self._run_id}/{self._stage}/{self._began.isoformat()}")),
            parent_name=dag_id,
            parent_id=str(uuid.uuid5(_RUNS, self._run_id)),
        )

    def _send(self, told: "list[RunEvent]") -> None:
        client = _client(self._settings, self._began)
        for event in told:
            client.emit(event)

    @contextmanager
    def _aside(self, what: str) -> Iterator[None]:
        try:
            yield
        # Whatever a foreign address or a full disk does: lineage must not break a night that is right.
        except Exception as error:  # noqa: BLE001
            self._is_heard = False
            log.warning(
                "%s of %s could not be told as lineage (%s); the night goes on",
                what,
                self._stage,
                type(error).__name__,
            )


def _client(settings: Settings, at: datetime) -> Any:
    from openlineage.client import OpenLineageClient

    logging.getLogger("openlineage").setLevel(logging.WARNING)  # it names its transport each time

    if settings.openlineage_url:
        transport: Mapping[str, Any] = {
            "type": "http",
            "url": settings.openlineage_url,
            "timeout": PATIENCE,
            "retry": {"total": 0},
        }
        if settings.openlineage_key:
            key = settings.openlineage_key.get_secret_value()
            transport = {**transport, "auth": {"type": "api_key", "apiKey": key}}
    else:
        folder = settings.home / "lineage"
        file = folder / f"{at:%Y-%m}.ndjson"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            for old in sorted(folder.glob("????-??.ndjson"))[: -KEPT_MONTHS + 1]:
                old.unlink()
        transport = {"type": "file", "log_file_path": str(file), "append": True}
    return OpenLineageClient(config={"transport": dict(transport)})
