"""The order of life events on the path: learnt from what customers tell, used only where it is better."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from ml import config, families
from ml.artefacts import ModelError
from ml.datasets import read_publication
from ml.evaluate import Asked
from ml.families import Job, Refused, TooLittle, Trained
from ml.goals import __main__ as command
from ml.goals import cases, learning, steps
from ml.goals.config import Goals
from ml.goals.model import FILE, LifeEvents
from ml.partitions import Pin, folder
from ml.promotion import KEPT, PROMOTED, REFUSED
from ml.registry import Registered
from ml.segments import past
from ml.segments.config import Segments
from ml.training import train as train_and_record
from nightledger import warehouse
from nightledger.settings import Settings

MODEL = "life_events.bank"
EVENTS = ("car", "child", "home", "job")
DAYS = [date(2025 + month // 12, month % 12 + 1, 1) - timedelta(days=1) for month in range(1, 15)]
CUSTOMERS = 360
NIGHT = date(2026, 3, 31)


def cutoff(day: date) -> datetime:
    """First moment that is too late for an as-of date."""
    return datetime.combine(day + timedelta(days=1), time(2))


def publish(home: Path, *, hidden: bool, told: str = "true", delay: int = 10, seed: int = 5) -> Settings:
    """A publication with evidence, what customers tell, and three kinds of customers.

    Args:
        home: of the installation.
        hidden: rules take the evidence for that of another event; it can be learnt which.
        told: value of the labels.
        delay: days until an event is told.
        seed: of everything.
    """
    settings = Settings(home=home, _env_file=None)
    build = settings.builds / "2026-02-28.1"
    build.mkdir(parents=True)
    (settings.builds / "current").symlink_to(build.name)
    rng = np.random.default_rng(seed)
    features, evidence, labels = [], [], []
    for day in [*DAYS, NIGHT]:
        for number in range(CUSTOMERS):
            kind = number % 3
            middle = ((1.0, 80.0, 900.0), (20.0, 20.0, 9000.0), (70.0, 3.0, 20.0))[kind]
            values = [value * rng.lognormal(0, 0.2) for value in middle]
            features.append(("bank", f"C{number:03d}", day, *values, "d1"))
            if rng.random() > 0.25:
                continue
            event = int(rng.integers(len(EVENTS)))
            labels.append((number, EVENTS[event], day - timedelta(days=3)))
            if rng.random() < 0.9:
                shown = EVENTS[(event + hidden) % len(EVENTS)]
                evidence.append(("bank", f"C{number:03d}", shown, "rule", rng.uniform(0.3, 1), day))
            if rng.random() < 0.3:
                other = EVENTS[int(rng.integers(len(EVENTS)))]
                evidence.append(("bank", f"C{number:03d}", other, "chance", rng.uniform(0.2, 0.4), day))
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        connection.execute("""
            create schema features; create schema ops; create schema staging; create schema intermediate;
            create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
            create table ops.clients (client_id varchar, timezone varchar);
            create table ops.as_of_dates (
                client_id varchar, as_of_date date, cutoff_at timestamp, is_tonight boolean);
            create table staging.life_events (event varchar);
            create table staging.stg_labels (client_id varchar, entity varchar, entity_id varchar,
                label varchar, value varchar, event_at timestamp, known_at timestamp, _load_id varchar,
                _record integer);
            create table intermediate.int_customers (client_id varchar, customer_id varchar,
                birth_year integer, known_at timestamp, superseded_at timestamp);
            create table intermediate.int_life_event_evidence (client_id varchar, customer_id varchar,
                event varchar, rule varchar, strength decimal(6, 4), as_of_date date);
            create table features.features_customers (client_id varchar, customer_id varchar,
                as_of_date date, days_since_last_transaction float, transactions_90d float,
                total_spend_90d float, _definition_hash varchar);
            insert into ops.clients values ('bank', 'UTC');
            insert into ops.horizon values ('bank', '2026-02-28', '2026-03-01 02:00:00');
        """)
        rows: dict[str, list[tuple[Any, ...]]] = {
            "ops.as_of_dates": [("bank", day, cutoff(day), day == NIGHT) for day in [*DAYS, NIGHT]],
            "staging.life_events": [(event,) for event in EVENTS],
            "staging.stg_labels": [
                ("bank", "customer", f"C{number:03d}", event, told, datetime.combine(day, time(12)),
                 datetime.combine(day + timedelta(days=delay), time(12)), "load", place)
                for place, (number, event, day) in enumerate(labels)
            ],
            "intermediate.int_customers": [
                ("bank", f"C{number:03d}", 1980, datetime(2024, 1, 1), None) for number in range(CUSTOMERS)
            ],
            "intermediate.int_life_event_evidence": evidence,
            "features.features_customers": features,
        }  # fmt: skip
        for table, values in rows.items():
            names = [
                name
                for (name,) in connection.execute(
                    "select column_name from information_schema.columns"
                    " where table_schema || '.' || table_name = ? order by ordinal_position",
                    [table],
                ).fetchall()
            ]
            columns = dict(zip(names, map(pa.array, zip(*values, strict=True)), strict=True))
            connection.register("given", pa.table(columns))
            connection.execute(f"insert into {table} by name from given")
    columns = {
        name: {
            "name": name,
            "data_type": "float",
            "config": {"meta": {"allowed_in": ["segments"], "label": name, "unit": "count", "group": "all"}},
        }
        for name in ("days_since_last_transaction", "transactions_90d", "total_spend_90d")
    }
    node = {"resource_type": "model", "name": "features_customers", "columns": columns}
    (build / "manifest.json").write_text(
        json.dumps({"nodes": {"model.nightledger.features_customers": node}})
    )
    about = {"id": build.name, "content_hash": "c0ffee", "code_revision": "abc123"}
    (build / "publication.json").write_text(json.dumps(about))
    return settings


@pytest.fixture(scope="module", autouse=True)
def fewer_draws() -> Iterator[None]:
    """Segments that are fitted in a tenth of the time, whatever another test file has put in their place."""
    values = yaml.safe_load((config.MODELS / "segments_rfm.yml").read_text())
    values["clusters"] |= {"draws": 5, "draw_starts": 1, "starts": 2, "most": 4, "most_customers": 400}
    genuine = config.read

    def read(model: str, place: Path | None = None) -> Any:
        return Segments(name=model, **values) if model == "segments_rfm" else genuine(model, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "read", read)
        yield


@pytest.fixture(scope="module")
def misread(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A bank whose rules take the evidence for that of another event."""
    return publish(tmp_path_factory.mktemp("misread") / "home", hidden=True)


@pytest.fixture(scope="module")
def well_read(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A bank whose rules are right."""
    return publish(tmp_path_factory.mktemp("well_read") / "home", hidden=False)


def rules(**changes: Any) -> Goals:
    """The model's own YAML, with changes."""
    values = yaml.safe_load((config.MODELS / "life_events.yml").read_text())
    values["evaluation"]["bootstrap_draws"] = 60
    return Goals(name="life_events", **values | changes)


def job(settings: Settings, **changes: Any) -> Job[Goals]:
    return Job(settings, MODEL, rules(**changes), read_publication(settings), ())


@pytest.fixture(scope="module")
def trained(misread: Settings) -> Trained:
    """A first version."""
    return steps.train(job(misread), "bank", None)


def test_a_ranker_ranks_only_where_it_beats_popularity_and_the_rules(
    trained: Trained, well_read: Settings
) -> None:
    """A ranker that is promoted because it was trained, or that no evidence of its worth can let in."""
    assert trained.verdict == PROMOTED, trained.reason
    refused = steps.train(job(well_read), "bank", None)
    assert refused.verdict == REFUSED
    assert "The rules rank." in refused.reason
    leads = {row["metric"]: row for row in refused.metrics if row["baseline"] == "rules"}
    assert leads["ndcg_at_3_lead"]["lo"] <= 0


def test_a_night_scores_what_there_is_evidence_for(
    trained: Trained, misread: Settings, tmp_path: Path
) -> None:
    """Events that are ranked without evidence, another client's customers, or bytes that differ each time."""
    path = warehouse.publication_path(misread)
    assert path is not None
    pin = Pin(MODEL, NIGHT, "v1", "champion")
    with warehouse.connect(path, settings=misread) as connection:
        assert steps.why_not(connection, path, rules(), NIGHT, trained.files) == ""
        said = [
            (steps.score(connection, misread, tmp_path / place, pin, rules(), trained.files), place)
            for place in ("one", "two")
        ]
        there = connection.execute(
            "select distinct customer_id, event from intermediate.int_life_event_evidence"
            " where as_of_date = ? order by all",
            [NIGHT],
        ).fetchall()
    files = [folder(tmp_path / place / "lake", steps.LAKE, pin) / "part.parquet" for _, place in said]
    assert files[0].read_bytes() == files[1].read_bytes()
    found = pq.read_table(files[0])
    assert said[0][0] == len(found) == len(there)
    assert found.schema.equals(warehouse.LAKE_SCHEMAS[steps.LAKE])
    rows = found.to_pylist()
    assert sorted((row["customer_id"], row["event"]) for row in rows) == there
    # Evidence speaks for the event before it in this bank, and that is what was learnt.
    assert {row["model_version"] for row in rows} == {"v1"}


def test_a_version_does_not_rank_events_that_it_never_saw(trained: Trained, misread: Settings) -> None:
    """Columns of trees that stand for other events after the seed was changed."""
    path = warehouse.publication_path(misread)
    assert path is not None
    own = LifeEvents.from_files(trained.files)
    other = replace(own, ranker=replace(own.ranker, events=("car", "child", "home")))
    with warehouse.connect(path, settings=misread) as connection:
        why = steps.why_not(connection, path, rules(), NIGHT, other.files())
        assert "the seed life_events has car, child, home, job" in why
        assert own.segmentation is not None
        older = replace(own, segmentation=replace(own.segmentation, definition_hash="d0"))
        assert "d0 then, d1 now" in steps.why_not(connection, path, rules(), NIGHT, older.files())


def test_the_artefact_is_what_was_registered(trained: Trained) -> None:
    """Trees that were exchanged beside an untouched description."""
    again = LifeEvents.from_files(trained.files)
    assert again.files() == trained.files
    with pytest.raises(ModelError, match=f"hash of {FILE} differs"):
        LifeEvents.from_files(dict(trained.files) | {FILE: b"other"})
    with pytest.raises(ModelError, match="is gone"):
        LifeEvents.from_files({FILE: b""})


def test_nothing_is_learnt_that_was_told_later(misread: Settings) -> None:
    """What customers told after the first judged date teaches what is judged."""
    path = warehouse.publication_path(misread)
    assert path is not None
    with warehouse.connect(path, settings=misread) as connection:
        early = cases.told(connection, rules(), "bank", datetime(2025, 6, 1))
        late = cases.told(connection, rules(), "bank", datetime(2026, 4, 1))
    days = sorted(set(early["day"].to_pylist()))
    assert days[-1] == date(2025, 4, 27), "told ten days after it, so that of 28 May is not known yet"
    assert 0 < len(early) < len(late)
    days = learning.latest_third(rules(), [(day, cutoff(day)) for day in DAYS], "bank")
    assert days.learnt[-1][0] + timedelta(days=120) < days.judged[0][0]


def test_the_last_word_about_a_day_counts(tmp_path: Path) -> None:
    """An event that was taken back and is learnt from all the same."""
    settings = publish(tmp_path / "home", hidden=False)
    path = warehouse.publication_path(settings)
    assert path is not None
    with warehouse.connect(path, read_only=False, settings=settings) as connection:
        before = len(cases.told(connection, rules(), "bank", datetime(2026, 4, 1)))
        connection.execute(
            "insert into staging.stg_labels by name select * replace ('false' as value,"
            " known_at + interval 1 day as known_at) from staging.stg_labels where entity_id = 'C007'"
        )
        taken_back = connection.execute(
            "select count(distinct (label, event_at)) from staging.stg_labels where entity_id = 'C007'"
        ).fetchone()
        assert taken_back is not None and taken_back[0] > 0
        now = cases.told(connection, rules(), "bank", datetime(2026, 4, 1))
    assert before - len(now) == taken_back[0]


def test_popularity_goes_by_the_segments_that_a_date_could_know(misread: Settings) -> None:
    """Segments of past dates by centres that were fitted on later ones; or none, so that age stands in."""
    path = warehouse.publication_path(misread)
    assert path is not None
    publication, described = read_publication(misread), config.read("segments_rfm")
    assert isinstance(described, Segments)
    from ml.features import read_features

    features = read_features(path, rules())
    with warehouse.connect(path, read_only=False, settings=misread) as connection:
        versions = past.of_quarters(connection, described, features, "bank", DAYS[-1])
        assert [one.as_of for one in versions] == sorted(DAYS[::-3])
        segments = cases.segments_at(connection, described, versions, "bank", DAYS)
        connection.begin()
        connection.execute("delete from features.features_customers where as_of_date > date '2025-09-30'")
        fewer = past.of_quarters(connection, described, features, "bank", date(2025, 8, 31))
        connection.rollback()
    known = [one for one in versions if one.as_of <= date(2025, 8, 31)]
    assert [one.centres for one in fewer] == [one.centres for one in known], "later rows moved a centre"
    without = [day for day in DAYS if day <= versions[0].as_of]
    assert set(segments["as_of_date"].to_pylist()) == set(DAYS) - set(without)
    table = segments.filter(pa.compute.equal(segments["as_of_date"], DAYS[-1]))
    kinds = {name: int(customer[1:]) % 3 for customer, name in
             zip(table["customer_id"].to_pylist(), table["name"].to_pylist(), strict=True)}  # fmt: skip
    assert sorted(kinds.values()) == [0, 1, 2], "three kinds of customers are three segments"
    assert publication.as_of_date == DAYS[-1]


def test_a_better_champion_stays_and_a_worse_one_is_named(trained: Trained, misread: Settings) -> None:
    """A version that takes a champion's place without being better, or a champion nobody knows has failed."""
    champion = Registered(MODEL, "2026-01-31-first", "", "", "", "1")

    class Shelf:
        def __init__(self, settings: Settings) -> None:
            """Holds the version that was just trained as its champion."""

        def files(self, model: str, version: str) -> Any:
            return trained.files

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "Registry", Shelf)
        again = steps.train(job(misread), "bank", champion)
        assert again.verdict == KEPT
        assert "must be positive" in again.reason
        blind = {"objective": "rank:ndcg", "min_child_weight": 1_000_000}
        worse = steps.train(job(misread, ranker={"params": blind, "rounds": 1}), "bank", champion)
    assert worse.verdict == REFUSED
    assert "no longer" not in worse.reason


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"told": "perhaps"}, "Nobody has told what happened to the customers of bank: the feed `labels`"),
        ({"delay": 900}, "Nobody has told"),
    ],
)
def test_without_what_customers_tell_the_rules_rank(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    """A stack trace, or a verdict about a ranker that had nothing to learn from."""
    settings = publish(tmp_path / "home", hidden=True, **change)
    with pytest.raises(TooLittle, match=why):
        steps.train(job(settings), "bank", None)
    asked = Asked(MODEL, date(2025, 9, 1), date(2025, 12, 31), folder=tmp_path / "out")
    with pytest.raises(Refused, match=why):
        steps.evaluate(settings, asked, Console(file=(tmp_path / "said").open("w")))


def test_an_evaluation_writes_what_it_says(misread: Settings, tmp_path: Path) -> None:
    """Files that another family's readers do not find, or a table without the lists beside the ranker."""
    console = Console(record=True, width=200, file=(tmp_path / "said").open("w"))
    asked = Asked(MODEL, date(2025, 9, 1), date(2025, 12, 31), folder=tmp_path / "out")
    steps.evaluate(misread, asked, console)
    said = console.export_text()
    assert "By its rules a first version would be promoted" in said
    assert "ranker − rules" in said
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["judged"] == "2025-09-30 to 2025-11-30"
    table = pq.read_table(tmp_path / "out" / "predictions.parquet")
    assert {"customer_id", "as_of_date", "event", "happened", "popularity", "rules", "ranker"} == set(
        table.column_names
    )
    assert "How popular each event is" in (tmp_path / "out" / "model_card.md").read_text()
    with pytest.raises(Refused, match="0 dates before"):
        steps.evaluate(misread, replace(asked, first=date(2025, 2, 1)), console)
    with pytest.raises(Refused, match="no ceiling"):
        steps.evaluate(misread, replace(asked, ceiling=tmp_path / "none"), console)


def test_the_path_trains_it_like_every_other(misread: Settings) -> None:
    """A family that the registry cannot keep, or names of metrics that it does not take."""
    from ml import scopes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scopes, "asked", lambda settings, described, model: rules())
        outcome = train_and_record(misread, MODEL)
        assert (outcome.verdict, outcome.standing) == (PROMOTED, PROMOTED), outcome.reason
        assert train_and_record(misread, MODEL).verdict == "unchanged"
    assert families.of(rules()) is steps


def test_a_file_of_what_happened_is_compared_with(
    misread: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OUT that is taken and forgotten, or a truth that is not read."""
    path = warehouse.publication_path(misread)
    assert path is not None
    with warehouse.connect(path, settings=misread) as connection:
        connection.execute(
            "copy (select entity_id as customer_id, label as kind, event_at::date as date from"
            f" staging.stg_labels) to '{tmp_path / 'truth.csv'}' (header)"
        )
    monkeypatch.setattr(command, "read_settings", lambda: misread)
    asked = ["--client", "bank", "--truth", str(tmp_path / "truth.csv")]
    assert command.main([*asked, "--out", str(tmp_path / "own" / "goals.csv")]) == 0
    assert (tmp_path / "own" / "goals.csv").read_text().startswith('"list","minus","metric"')
    assert command.main([*asked, "--out", ""]) == 0
    assert (misread.home / "evaluations" / "goals_bank.csv").exists()
