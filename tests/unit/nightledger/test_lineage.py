"""OpenLineage events of a night's stages: what they say, where they go, and that they break nothing."""

import http.server
import json
import logging
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nightledger import lineage, operations, warehouse
from nightledger.settings import Settings

RUN = "nightly/manual__1"
MODEL, SEED, TEST, BROKEN = (
    "model.nightledger.stg_x",
    "seed.nightledger.rules",
    "test.nightledger.unique_x",
    "model.nightledger.fct_x",
)


@pytest.fixture
def build(settings: Settings) -> Path:
    """An open build with a table, and what dbt left: a model, a seed, a test that failed, a broken model."""
    folder = settings.builds / "2026-03-31.1.building"
    (folder / "target").mkdir(parents=True)
    (settings.builds / "open").symlink_to(folder.name)
    with warehouse.connect(folder, read_only=False, settings=settings) as connection:
        for schema in ("raw", "staging", "features"):
            connection.execute(f"create schema {schema}")
        connection.execute("create table raw.x (id varchar, amount decimal(18, 4))")
        connection.execute("create table staging.stg_x as select 'a' as id, 1.5::decimal(18, 4) as amount")
        connection.execute("create table staging.rules (word varchar)")
    nodes = {
        SEED: {"resource_type": "seed", "schema": "staging", "name": "rules"},
        MODEL: {
            "resource_type": "model",
            "schema": "staging",
            "name": "stg_x",
            "depends_on": {"nodes": ["source.nightledger.raw.x", SEED]},
        },
        BROKEN: {
            "resource_type": "model",
            "schema": "marts",
            "name": "fct_x",
            "depends_on": {"nodes": [MODEL]},
        },
        TEST: {
            "resource_type": "test",
            "name": "unique_x",
            "attached_node": MODEL,
            "column_name": "id",
            "test_metadata": {"name": "unique"},
        },
    }
    sources = {"source.nightledger.raw.x": {"resource_type": "source", "schema": "raw", "name": "x"}}
    (folder / "target" / "manifest.json").write_text(json.dumps({"nodes": nodes, "sources": sources}))
    times = {"started_at": "2026-04-01T02:00:00Z", "completed_at": "2026-04-01T02:00:01Z"}
    results = [
        {"unique_id": name, "status": status, "timing": [times]}
        for name, status in ((SEED, "success"), (MODEL, "success"), (TEST, "fail"), (BROKEN, "error"))
    ]
    (folder / "run_results_marts.json").write_text(json.dumps({"results": results}))
    return folder


def events(settings: Settings) -> list[dict[str, Any]]:
    files = sorted((settings.home / "lineage").glob("*.ndjson"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def check(event: dict[str, Any]) -> None:
    """What the standard requires of a run event (spec 2-0-2) and of every facet."""
    assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    assert event["eventType"] in ("START", "COMPLETE", "FAIL")
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    assert event["producer"] == "urn:nightledger"
    uuid.UUID(event["run"]["runId"])
    assert event["job"]["namespace"] == "nightledger"
    assert event["job"]["name"]
    uuid.UUID(event["run"]["facets"]["parent"]["run"]["runId"])
    sets = [*event["inputs"], *event["outputs"]]
    facets = [event["run"]["facets"], event["job"]["facets"]]
    facets += [of.get(kind, {}) for of in sets for kind in ("facets", "inputFacets", "outputFacets")]
    assert all(of["namespace"] and of["name"] for of in sets)
    for facet in (one for group in facets for one in group.values()):
        assert facet["_producer"].startswith("urn:")
        assert facet["_schemaURL"].startswith("https://openlineage.io/spec/facets/")


def test_each_dbt_node_is_a_job_with_its_parents_columns_and_tests(settings: Settings, build: Path) -> None:
    """Catches lineage that ends at a step, that calls a broken node done, or that hides a failed test."""
    with operations.stage(settings, RUN, "dbt_marts"):
        pass
    told = events(settings)
    for event in told:
        check(event)
    by_job = {}
    for event in told:
        by_job.setdefault(event["job"]["name"], []).append(event)
    assert {name: [event["eventType"] for event in of] for name, of in by_job.items()} == {
        "nightly.dbt_marts": ["START", "COMPLETE"],
        "nightly.dbt.staging.rules": ["START", "COMPLETE"],
        "nightly.dbt.staging.stg_x": ["START", "COMPLETE"],
        "nightly.dbt.marts.fct_x": ["START", "FAIL"],
    }
    start, done = by_job["nightly.dbt.staging.stg_x"]
    assert start["run"]["runId"] == done["run"]["runId"]
    assert [of["name"] for of in done["inputs"]] == ["raw.x", "staging.rules"]
    (table,) = done["outputs"]
    assert table["name"] == "staging.stg_x"
    columns = [(field["name"], field["type"]) for field in table["facets"]["schema"]["fields"]]
    assert columns == [("id", "VARCHAR"), ("amount", "DECIMAL(18,4)")]
    (found,) = table["facets"]["dataQualityAssertions"]["assertions"]
    assert (found["assertion"], found["success"], found["column"]) == ("unique", False, "id")
    whole = by_job["nightly.dbt_marts"][-1]
    assert done["run"]["facets"]["parent"]["run"]["runId"] == whole["run"]["runId"]
    assert [of["name"] for of in whole["inputs"]] == ["raw.x"], "what a step reads of others"
    assert by_job["nightly.dbt.marts.fct_x"][-1]["outputs"] == []


def test_ingestion_tells_sources_and_never_a_file_or_a_value(settings: Settings, build: Path) -> None:
    """Catches names of files, which a bank may fill with anything, in what leaves the house."""
    verdict = {"client_id": "bank", "source": "cards", "quarantined": 0, "message": ""}
    operations.record_files(
        settings,
        RUN,
        [
            verdict | {"load_id": "1", "file": "jane_doe.csv", "verdict": "loaded", "records": 40},
            verdict | {"load_id": "2", "file": "john_doe.csv", "verdict": "loaded", "records": 2},
            verdict | {"load_id": "3", "file": "bad.csv", "verdict": "refused", "records": 0},
        ],
    )
    with operations.stage(settings, RUN, "ingest"):
        pass
    done = events(settings)[-1]
    check(done)
    (source,) = done["inputs"]
    assert source["name"] == "bank/cards"
    statistics = source["inputFacets"]["inputStatistics"]
    assert (statistics["fileCount"], statistics["rowCount"]) == (2, 42)
    assert [of["name"] for of in done["outputs"]] == ["raw.x"]
    assert "doe" not in json.dumps(events(settings))


def test_scoring_goes_from_features_to_what_dbt_reads(settings: Settings, build: Path) -> None:
    """Catches a gap in the lineage where the models stand: between feature tables and scores."""
    for kind in ("scores", "vectors"):
        place = build / "lake" / kind / "model=churn" / "version=v" / "as_of=2026-03-31"
        place.mkdir(parents=True)
        pq.write_table(warehouse.LAKE_SCHEMAS["scores"].empty_table(), place / "part.parquet")
    with operations.stage(settings, RUN, "score"):
        pass
    one = next(event for event in reversed(events(settings)) if event["job"]["name"] == "nightly.score.churn")
    check(one)
    assert [of["name"] for of in one["inputs"]] == ["features.features_customers"]
    assert [of["name"] for of in one["outputs"]] == ["lake.scores"], "vectors are the archive's"


def test_a_failed_stage_is_told_without_its_words(settings: Settings, build: Path) -> None:
    """Catches a customer's value that an error names and that lineage would carry out of the house."""
    with pytest.raises(ValueError, match="Jane"), operations.stage(settings, RUN, "ingest"):
        raise ValueError("Jane Doe has no account")
    start, failed = events(settings)
    assert (start["eventType"], failed["eventType"]) == ("START", "FAIL")
    assert failed["run"]["facets"]["errorMessage"]["message"].startswith("ValueError")
    assert "Jane" not in json.dumps(failed)


def test_stages_that_move_nothing_are_not_told(settings: Settings) -> None:
    """Catches an import of the client, half a second, in tasks that have nothing to tell."""
    with operations.stage(settings, RUN, "audit"):
        pass
    assert not (settings.home / "lineage").exists()


def test_the_standards_own_switch_turns_it_off(
    settings: Settings, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches events that nobody wants, and what gathering them costs in a replay of many nights."""
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    with operations.stage(settings, RUN, "dbt_marts"):
        pass
    assert not (settings.home / "lineage").exists()


def test_old_months_go(settings: Settings, build: Path) -> None:
    """Catches files that grow for ever."""
    folder = settings.home / "lineage"
    folder.mkdir(parents=True)
    months = [f"{year}-{month:02}" for year in (2024, 2025) for month in range(1, 13)]
    for month in months:
        (folder / f"{month}.ndjson").touch()
    with operations.stage(settings, RUN, "enrich"):
        pass
    kept = sorted(path.stem for path in folder.iterdir())
    assert len(kept) == lineage.KEPT_MONTHS
    assert kept[:-1] == months[-lineage.KEPT_MONTHS + 1 :]


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """A server that takes events, and what it was sent: path, authorisation, body."""
    sent: list[tuple[str, str, Any]] = []

    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent.append((self.path, self.headers.get("Authorization", ""), json.loads(body)))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_address_gets_the_events_instead_of_the_file(
    settings: Settings, build: Path, endpoint: Any
) -> None:
    """Catches a setting that nothing follows, or a key that is not sent."""
    url, sent = endpoint
    told = Settings(
        home=settings.home,
        openlineage_url=url,
        openlineage_key="k3y",
        openlineage_namespace="bank",
        _env_file=None,
    )
    with operations.stage(told, RUN, "dbt_marts"):
        pass
    assert len(sent) == 8
    assert {(path, key) for path, key, _ in sent} == {("/api/v1/lineage", "Bearer k3y")}
    assert {event["job"]["namespace"] for _, _, event in sent} == {"bank"}
    assert not (settings.home / "lineage").exists()


def test_an_address_that_is_gone_breaks_no_night(
    settings: Settings, build: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches a night that fails, or waits for each event, because a foreign server is down."""
    told = Settings(home=settings.home, openlineage_url="http://me:s3cret@127.0.0.1:9", _env_file=None)
    with caplog.at_level(logging.WARNING), operations.stage(told, RUN, "dbt_marts") as detail:
        detail["rows"] = 3
    warned = [record.message for record in caplog.records if record.name == "nightledger.lineage"]
    assert len(warned) == 1, "the end is not tried where the start could not be told"
    assert "could not be told as lineage" in warned[0]
    assert "s3cret" not in caplog.text
    assert operations.last_stages(settings)[-1]["stage"] == "dbt_marts"
