"""Who is put into which segment on a date, by which centres, on which scale."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import config, scoring, statements
from ml.artefacts import ModelError
from ml.features import Feature
from ml.partitions import Pin, folder
from ml.segments import rows, scaling, steps
from ml.segments.config import Segments
from ml.segments.model import KEPT, Segment, Segmentation, nearest
from nightledger import warehouse
from nightledger.night import plan
from nightledger.settings import Settings
from tests.unit.segments.bank import DAYS, PER_KIND, job, publish, small


def test_a_night_assigns_who_is_active_and_repeats_itself(
    settings: Settings, first: Segmentation, tmp_path: Path
) -> None:
    """Idle customers, other clients' or another date's in a segment, or a second run with other bytes."""
    pin = Pin("segments_rfm.bank", DAYS[-1], "v1", "challenger")
    written = []
    with warehouse.connect(settings.builds / "current", settings=settings) as connection:
        for _ in range(2):
            assert steps.score(connection, settings, tmp_path, pin, small(), first.files()) == 4 * PER_KIND
            path = folder(tmp_path / "lake", "segments", pin) / "part.parquet"
            written.append(path.read_bytes())
        assert steps.why_not(connection, settings.builds / "current", small(), DAYS[-1], first.files()) == ""
    assert written[0] == written[1]
    table = pq.read_table(path)
    assert table.schema.equals(warehouse.LAKE_SCHEMAS["segments"])
    told = table.to_pylist()
    assert {row["customer_id"] for row in told if row["customer_id"].startswith("idle")} == set()
    assert {(row["client_id"], row["model"], row["role"], row["as_of_date"]) for row in told} == {
        ("bank", "segments_rfm", "challenger", DAYS[-1])
    }
    assert {row["name"] for row in told} == {segment.name for segment in first.segments}


def test_a_past_date_is_assigned_by_the_centres_that_were_in_force_then(
    settings: Settings, first: Segmentation, registered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay, or a night that makes up for a missed date, by centres that were fitted after the date."""
    here = publish(tmp_path / "home")
    build = here.builds / "current"
    refit = replace(first, as_of=DAYS[2], centres=first.centres[::-1])
    old, new = (registered.keep(job(here, small(), one.as_of), one.files()) for one in (first, refit))
    monkeypatch.setattr(scoring.outcomes, "write", lambda *_: 0)
    monkeypatch.setattr(config, "read", lambda _model, _folder=None: small())

    def night(days: list[date]) -> dict[date, bytes]:
        with warehouse.connect(build, read_only=False, settings=here) as connection:
            connection.execute("delete from ops.as_of_dates; delete from ops.model_pins")
            for day in days:
                connection.execute(
                    "insert into ops.as_of_dates values ('bank', ?, '2030-01-01', true)", [day]
                )
            plan.pin_models(connection, here)
        scoring.score_night(here, build)
        return {
            date.fromisoformat(path.parent.name.partition("=")[2]): path.read_bytes()
            for path in build.glob("lake/segments/*/*/*/part.parquet")
        }

    def decide(number: int, version: str, after: date) -> None:
        with warehouse.connect(build, read_only=False, settings=here) as connection:
            connection.execute(
                "insert into operations.model_decisions values (?, 'segments_rfm.bank', ?, 'promoted', ?, ?)",
                [number, version, version, after],
            )

    with warehouse.connect(build, read_only=False, settings=here) as connection:
        plan.create_tables(connection)
        connection.execute(
            "create schema operations; create table operations.model_decisions (id int, model varchar,"
            " version varchar, decision varchar, champion_after varchar, applies_after date)"
        )
    decide(1, old.version, DAYS[0])
    told = night([DAYS[2]])[DAYS[2]]
    decide(2, new.version, DAYS[2])
    again = night(DAYS)
    assert sorted(again) == DAYS[1:]  # nothing was in force on the first
    assert again[DAYS[2]] == told
    by = {day: pq.read_table(pa.BufferReader(bytes_)) for day, bytes_ in again.items()}
    assert {day: set(table["model_version"].to_pylist()) for day, table in by.items()} == {
        DAYS[1]: {old.version},
        DAYS[2]: {old.version},
        DAYS[3]: {new.version},
    }
    names = {day: dict(zip(table["customer_id"].to_pylist(), table["name"].to_pylist(), strict=True))
             for day, table in by.items()}  # fmt: skip
    assert all(names[DAYS[3]][who] != name for who, name in names[DAYS[2]].items())


def test_a_version_does_not_assign_other_features(
    settings: Settings, first: Segmentation, tmp_path: Path
) -> None:
    """Centres of one definition used on the numbers of another."""
    changed = replace(first, definition_hash="d0")
    gone = replace(first, definitions={**first.definitions, "tenure_days": "x"})
    with warehouse.connect(settings.builds / "current", settings=settings) as connection:
        said = [
            steps.why_not(connection, settings.builds / "current", small(), DAYS[-1], one.files())
            for one in (changed, gone)
        ]
    assert said == ["SQL of the feature table or of a model below it: d0 then, d1 now", "gone: tenure_days"]
    assert "defined differently: a" in replace(first, definitions={"a": "1"}).differences(
        [Feature("a", "a", "count", "2")], "d1"
    )
    with pytest.raises(ModelError, match="not of segments"):
        Segmentation.from_files({"model.json": b'{"kind": "xgboost"}'})


def test_frozen_quantiles_say_what_scikit_learn_says() -> None:
    """A scaling that is fitted by one rule and applied by another."""
    from sklearn.preprocessing import QuantileTransformer

    rng = np.random.default_rng(5)
    raw = np.column_stack([rng.poisson(1.0, 500), rng.lognormal(3, 2, 500), np.full(500, 7.0)]).astype(float)
    others = np.vstack([raw[:50] * 1.3 - 1, raw[:50]])
    described = small(
        scaling={"columns": ["a", "b", "c"], "quantiles": 50, "weights": {}}, names={"words": {}}
    ).scaling
    theirs = QuantileTransformer(n_quantiles=50, random_state=1).fit(raw).transform(others)
    ours = scaling.fit(described, raw, 1)
    assert np.abs(ours(others) - theirs).max() < 1e-9
    raw[0, 0] = np.nan
    assert np.array_equal(
        scaling.fit(described, raw, 1)(raw[:1])[:, 0], ours(np.array([[1.0, 3.0, 7.0]]))[:, 0]
    )


def test_log_ratios_are_those_of_shares() -> None:
    """A mix that depends on how much is spent, on a refund, or on the order of its parts."""
    import yaml

    described = Segments(
        name="segments_spend", **yaml.safe_load((config.MODELS / "segments_spend.yml").read_text())
    )
    own = scaling.fit(described.scaling, np.zeros((1, len(described.columns))), 1)
    raw = np.full((2, len(own.columns)), np.nan)
    raw[:, own.columns.index("share_groceries")] = [0.5, 0.25]
    raw[:, own.columns.index("share_dining")] = [0.5, 0.25]
    raw[1, own.columns.index("share_cash")] = -0.4
    scaled = own(raw)
    expected = np.full(len(own.dimensions), np.log(0.01))
    expected[:2] = np.log(0.51)
    assert np.allclose(scaled, np.vstack([expected - expected.mean()] * 2))


def test_who_has_no_mix_is_in_no_segment_of_it() -> None:
    """Customers without spend, gathered in a segment of their own that says nothing."""
    statement, values = rows.statement("features_customers", ["share_cash"], "log_ratio", "bank", DAYS[-1:])
    with duckdb.connect() as connection:
        connection.execute("""
            create schema features;
            create table features.features_customers as
            select 'bank' as client_id, name as customer_id, date '2026-03-31' as as_of_date,
                active as transactions_90d, share as share_cash, 'd' as _definition_hash
            from (values ('some', 1, 0.5), ('none', 1, null), ('back', 1, -0.1), ('idle', 0, 0.5))
                as t(name, active, share)
        """)
        assert [row[1] for row in connection.execute(statement, values).fetchall()] == ["some"]


def test_a_tie_goes_to_the_first_centre() -> None:
    """A customer between two centres who is here today and there tomorrow."""
    places, distances = nearest(np.array([[0.0], [3.0]]), np.array([[-1.0], [1.0]]))
    assert places.tolist() == [0, 1]
    assert distances.tolist() == [1.0, 2.0]


def test_segments_are_kept_as_they_were(first: Segmentation) -> None:
    """A date or state that does not survive its file."""
    own = replace(first, retired=(Segment(9, "Gone", KEPT, DAYS[0], 0.5),))
    assert Segmentation.from_files(own.files()) == replace(
        own, described=json.loads(json.dumps(own.described))
    )


def test_a_model_of_segments_takes_those_of_the_night_before() -> None:
    """Customers twice, once for each model of segments, or none at all while tonight's are being found."""
    with duckdb.connect() as connection:
        connection.execute("""
            create schema marts;
            create table marts.fct_segments as
            select 'bank' as client_id, name as customer_id, day::date as as_of_date, model, segment_id
            from (values
                ('c1', '2026-03-30', 'segments_rfm', 1), ('c1', '2026-03-31', 'segments_rfm', 2),
                ('c1', '2026-03-31', 'segments_spend', 3), ('c1', '2026-04-01', 'segments_rfm', 4)
            ) as t(name, day, model, segment_id);
            create table population as
            select 'bank' as client_id, unnest(['c1', 'c2']) as customer_id, date '2026-04-01' as as_of_date;
        """)
        found = connection.execute(
            f"select population.customer_id, segment_id from population {statements._SEGMENTS} order by 1"
        ).fetchall()
    assert found == [("c1", 2), ("c2", None)]
