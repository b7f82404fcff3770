"""Segments on a small bank of four kinds of customers: fitted, named, kept, assigned, refused."""

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ml import config, scoring, statements
from ml.artefacts import ModelError
from ml.evaluate import Asked
from ml.families import Job, Refused, TooLittle
from ml.features import DatasetError, Feature, read_features
from ml.partitions import Pin, folder
from ml.promotion import KEPT as STAYS
from ml.promotion import PROMOTED
from ml.registry import Registry
from ml.segments import choice, fitting, naming, rows, scaling, steps
from ml.segments.choice import Candidate
from ml.segments.config import Segments
from ml.segments.model import KEPT, NEW, Segment, Segmentation, nearest
from nightledger import warehouse
from nightledger.night import plan
from nightledger.settings import Settings

COLUMNS = ("days_since_last_transaction", "transactions_90d", "total_spend_90d")
DAYS = [date(2025, 12, 31), date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)]
PER_KIND = 60
KINDS = {  # days since, transactions, spend
    "busy": (1.0, 80.0, 900.0),
    "rich": (20.0, 20.0, 9000.0),
    "small": (4.0, 40.0, 100.0),
    "gone": (70.0, 3.0, 20.0),
}


def genuine() -> Segments:
    """The model's own YAML, whatever another test file has put in its place."""
    import yaml

    return Segments(name="segments_rfm", **yaml.safe_load((config.MODELS / "segments_rfm.yml").read_text()))


def small(**changes: Any) -> Segments:
    """The same for a small bank; a dict changes single keys of a section."""
    values = genuine().model_dump()
    clusters = {"draws": 6, "draw_starts": 1, "starts": 3, "most": 6, "most_customers": 1000}
    for change in ({"clusters": clusters, "dates": {"training": 3, "test": 1}}, changes):
        for key, value in change.items():
            values[key] = {**values[key], **value} if isinstance(value, dict) else value
    return Segments(**values)


def publish(home: Path, kinds: dict[str, tuple[float, float, float]] = KINDS, seed: int = 3) -> Settings:
    """A publication with features of customers of some kinds, on four month-ends."""
    settings = Settings(home=home, _env_file=None)
    build = settings.builds / "2026-03-31.1"
    build.mkdir(parents=True)
    (settings.builds / "current").symlink_to(build.name)
    rng = np.random.default_rng(seed)
    people = [
        (f"{kind}{number:03d}", *rng.lognormal(np.log(np.array(middle)), 0.25))
        for kind, middle in kinds.items()
        for number in range(PER_KIND)
    ]
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        connection.execute("""
            create schema features; create schema ops;
            create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
            insert into ops.horizon values ('bank', '2026-03-31', '2026-04-01 02:00:00');
            create table features.features_customers (client_id varchar, customer_id varchar, as_of_date date,
                days_since_last_transaction float, transactions_90d float, total_spend_90d float,
                _definition_hash varchar);
        """)
        told = [
            ("bank", name, day, *(value * rng.lognormal(0, 0.05) for value in middle), "d1")
            for day in DAYS
            for name, *middle in people
        ]
        for day in DAYS:
            # Neither a customer who did nothing nor another client's belongs here.
            told += [
                ("bank", "idle", day, 200.0, 0.0, 0.0, "d1"),
                ("other", "busy000", day, 1.0, 80.0, 9.0, "d1"),
            ]
        names = ("client_id", "customer_id", "as_of_date", *COLUMNS, "_definition_hash")
        values = dict(zip(names, map(pa.array, zip(*told, strict=True)), strict=True))
        connection.register("told", pa.table(values))
        connection.execute("insert into features.features_customers by name from told")
    columns = {
        name: {
            "name": name,
            "data_type": "float",
            "config": {"meta": {"allowed_in": ["segments"], "label": name, "unit": "count", "group": "all"}},
        }
        for name in COLUMNS
    }
    node = {"resource_type": "model", "name": "features_customers", "columns": columns}
    (build / "manifest.json").write_text(
        json.dumps({"nodes": {"model.nightledger.features_customers": node}})
    )
    about = {"id": build.name, "content_hash": "c0ffee", "code_revision": "abc123"}
    (build / "publication.json").write_text(json.dumps(about))
    return settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A bank with four kinds of customers; nothing has been trained."""
    return publish(tmp_path_factory.mktemp("segments") / "home")


def job(settings: Settings, described: Segments, as_of: date = DAYS[-1]) -> Job[Segments]:
    """A training of the bank's publication."""
    from ml.datasets import read_publication

    publication = replace(read_publication(settings), as_of_date=as_of)
    return Job(
        settings, "segments_rfm.bank", described, publication, read_features(publication.path, described)
    )


@pytest.fixture(scope="module")
def first(settings: Settings) -> Segmentation:
    """The first version on that bank."""
    return Segmentation.from_files(steps.train(job(settings, small()), "bank", None).files)


@pytest.fixture
def registered(settings: Settings, tmp_path: Path) -> Iterator[Any]:
    """Keeps trained versions as the registry would: by their files only."""

    class Shelf:
        def __init__(self) -> None:
            self.kept: dict[str, dict[str, bytes]] = {}

        def keep(self, job: Job[Segments], files: Any) -> Any:
            version = job.version(files)
            self.kept[version] = dict(files)
            return type("Known", (), {"version": version})()

    shelf = Shelf()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "__init__", lambda self, settings: None)
        patch.setattr(Registry, "files", lambda self, model, version: shelf.kept[version])
        yield shelf


def test_four_kinds_of_customers_are_four_segments(settings: Settings) -> None:
    """Numbers by silhouette alone, names that say nothing, no judgement, or one of a wrong number of rows."""
    trained = steps.train(job(settings, small()), "bank", None)
    own = Segmentation.from_files(trained.files)
    assert trained.verdict == PROMOTED
    assert "4 segments" in trained.reason
    assert [segment.id for segment in own.segments] == [1, 2, 3, 4]
    assert len({segment.name for segment in own.segments}) == 4
    kinds: dict[int, set[str]] = {}
    for row in trained.heldout.to_pylist():
        kinds.setdefault(row["segment_id"], set()).add(row["customer_id"][:4])
        assert row["as_of_date"] == DAYS[-1]
    assert sorted(map(len, kinds.values())) == [1, 1, 1, 1]
    (name,) = [segment.name for segment in own.segments if kinds[segment.id] == {"gone"}]
    assert set(name.lower().removeprefix("very ").split(", ")) & {"quiet", "rarely active", "low spend"}
    assert {row["metric"] for row in trained.metrics} >= {"mean_agreement", "silhouette", "share_psi"}
    fitted = [row for row in trained.metrics if row["dataset"] == "fitted"]
    counts = {row["n"] for row in fitted if not row["metric"].endswith("_agreement")}
    assert counts == {len(KINDS) * PER_KIND * 3} == {trained.params["training_rows"]}
    assert "| 4 |" in trained.documents["model_card.md"]


def test_the_same_rows_give_the_same_bytes(settings: Settings) -> None:
    """A version for each run of the same training, because threads or starts differ."""
    one, two = (steps.train(job(settings, small()), "bank", None).files for _ in range(2))
    assert one == two
    assert Segmentation.from_files(one).files() == one


def test_names_stay_when_the_centres_are_fitted_anew(settings: Settings, registered: Any) -> None:
    """Customers who stay where they are and are called otherwise after each quarter."""
    then, now = job(settings, small(), DAYS[-2] - timedelta(days=90)), job(settings, small(seed=99))
    trained = steps.train(then, "bank", None)
    before = Segmentation.from_files(trained.files)
    champion = registered.keep(then, trained.files)
    again = steps.train(now, "bank", champion)
    own = Segmentation.from_files(again.files)
    assert again.verdict == PROMOTED
    assert "4 of 4 segments" in again.reason
    assert {(one.id, one.name, one.since) for one in own.segments} == {
        (one.id, one.name, one.since) for one in before.segments
    }
    assert {one.state for one in own.segments} == {KEPT}
    assert next(row["value"] for row in again.metrics if row["metric"] == "same_name") == 1


def test_a_training_before_the_refit_is_due_keeps_the_champion(settings: Settings, registered: Any) -> None:
    """Segments that change every month, though the centres are promised to stay a quarter."""
    then, now = job(settings, small(), DAYS[-1] - timedelta(days=89)), job(settings, small())
    champion = registered.keep(then, steps.train(then, "bank", None).files)
    early = steps.train(now, "bank", champion)
    assert early.verdict == STAYS
    assert "due from 2026-04-01 on" in early.reason
    other_numbers = job(settings, small(refit_after_days=30))
    assert steps.train(other_numbers, "bank", champion).verdict == PROMOTED


def test_a_second_training_of_a_publication_finds_itself(settings: Settings, registered: Any) -> None:
    """A champion that becomes its own predecessor, and a new version each time the task is run again."""
    this = job(settings, small())
    trained = steps.train(this, "bank", None)
    champion = registered.keep(this, trained.files)
    assert steps.train(this, "bank", champion).files == trained.files


def test_who_is_new_and_who_is_retired_is_said(first: Segmentation) -> None:
    """A new segment under the name or number of one that is gone, or that lost most of its customers."""
    rules = small().names
    told = [["often active"], ["low spend"], ["high spend"], ["long silent"]]
    name = first.segments[3].name
    pairs = {0: (0, 0.9), 1: (1, 0.8), 2: (2, 0.7), 3: (3, 0.49)}
    segments, retired = naming.carry_over(
        rules, [*told[:3], name.lower().split(", ")], pairs, first, DAYS[-1]
    )
    assert [segment.state for segment in segments] == [KEPT, KEPT, KEPT, NEW]
    assert retired == (first.segments[3],)
    assert segments[3].id == 5
    assert segments[3].name.lower() != name.lower()
    later = replace(first, segments=segments, retired=retired)
    again, gone = naming.carry_over(rules, told[:3], {n: (n, 0.9) for n in range(3)}, later, DAYS[-1])
    assert [segment.id for segment in again] == [1, 2, 3]
    assert [segment.id for segment in gone] == [4, 5]


def test_names_are_unique_and_as_short_as_they_can_be() -> None:
    """Two segments that nobody can tell apart, or a name like a sentence where two words are enough."""
    rules = small().names
    told = [["a", "b", "c"], ["a", "b", "d"], ["e", "f", "g"], ["x"], ["x"], []]
    assert naming.name_new(rules, told, ["X 2"]) == ["A, b, c", "A, b, d", "E, f", "X", "X 3", "Average"]


def test_words_are_those_of_the_strongest_deviations() -> None:
    """A name made of what hardly differs, or of the wrong end."""
    rules = small().names
    assert naming.words(rules, COLUMNS, np.array([0.39, -0.5, 1.2])) == ["very high spend", "rarely active"]


def test_pairs_share_the_most_customers_of_all() -> None:
    """A greedy pairing: the first segment takes what the second one needs."""
    new, old = np.array([0] * 6 + [1] * 5), np.array([0] * 5 + [1] + [0] * 5)
    assert naming.pair(new, old, 2, 2) == {0: (1, pytest.approx(1 / 6)), 1: (0, pytest.approx(5 / 10))}


def candidate(k: int, silhouette: float, *broken: str) -> Candidate:
    return Candidate(k, np.zeros((k, 1)), 1.0, 1.0, 0.2, silhouette, broken)


@pytest.mark.parametrize(
    ("found", "before", "chosen"),
    [
        ([(3, 0.40), (4, 0.36), (5, 0.38)], None, 5),
        ([(3, 0.44), (4, 0.36), (5, 0.38)], None, 3),
        ([(3, 0.40)], None, 3),
        ([(3, 0.40), (4, 0.36), (5, 0.38)], 4, 4),
        ([(3, 0.40), (4, 0.36), (5, 0.42)], 4, 5),
        ([(3, 0.40), (5, 0.38)], 4, 5),
        ([], 4, None),
    ],
)
def test_the_number_is_the_best_separated_that_people_can_live_with(
    found: list[tuple[int, float]], before: int | None, chosen: int | None
) -> None:
    """Three segments because fewer are always further apart, or another number at each refit."""
    taken = choice.choose(
        small().clusters, [candidate(6, 0.9, "unstable"), *(candidate(*one) for one in found)], before
    )
    assert (taken.k if taken else None) == chosen


def test_what_no_bootstrap_finds_again_is_refused(tmp_path: Path) -> None:
    """Segments cut through a cloud that has none; the words must hold the figures."""
    described = small(clusters={"mean_agreement": 0.99, "least_agreement": 0.99, "most": 4, "starts": 1})
    cloudy = publish(tmp_path / "home", {name: (10.0, 10.0, 10.0) for name in KINDS})
    with pytest.raises(
        TooLittle, match=r"No number of segments keeps the rules: 3 segments: agreement 0\.\d+"
    ):
        steps.train(job(cloudy, described), "bank", None)


def test_too_few_customers_or_dates_are_refused(settings: Settings) -> None:
    """Eight segments of thirty customers, or a judgement on the rows that were fitted."""
    with pytest.raises(TooLittle, match="240 active ones at a month-end"):
        steps.train(job(settings, small(least_customers=241)), "bank", None)
    with pytest.raises(TooLittle, match="0 month-ends"):
        steps.train(job(settings, small()), "nobody", None)
    unknown = small(
        scaling={"columns": [*COLUMNS[:2], "tenure_days"], "weights": {}},
        names={"words": {}},
    )
    with pytest.raises(DatasetError, match="no feature tenure_days"):
        steps.train(job(settings, unknown), "bank", None)


def test_spend_without_merchants_is_refused_as_such() -> None:
    """A client of purchases only that is told it has 0 active customers."""
    import yaml

    spend = Segments(
        name="segments_spend", **yaml.safe_load((config.MODELS / "segments_spend.yml").read_text())
    )
    names = ("client_id", "customer_id", "as_of_date", *spend.columns)
    features = [Feature(name, name, "share", "d1") for name in spend.columns]
    nobody = rows.Rows(pa.table({name: pa.array([], pa.float32()) for name in names}), spend.columns, "")
    with pytest.raises(TooLittle, match=r"No merchant or category .* segments_rfm needs none"):
        fitting.fit(spend, features, nobody, DAYS[-1], None, "")


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


def test_a_sample_is_of_customers_with_all_their_dates(settings: Settings) -> None:
    """Half of a customer's months in the sample, and so draws that are no draws of customers."""
    described = small(clusters={"most_customers": 100})
    with warehouse.connect(settings.builds / "current", settings=settings) as connection:
        found = rows.read(connection, described, "bank", DAYS)
    assert len(found) == 100 * len(DAYS)
    assert np.array_equal(np.bincount(found.customers), np.full(100, len(DAYS)))


def test_drift_is_told(settings: Settings, first: Segmentation) -> None:
    """Shares that have moved since the fit while the figure stays at nothing."""
    same, moved = np.array([0.25] * 4), np.array([0.55, 0.15, 0.15, 0.15])
    assert fitting.share_psi(same, same) == 0
    assert fitting.share_psi(same, moved) == pytest.approx(
        0.3 * np.log(0.55 / 0.25) - 3 * 0.1 * np.log(0.15 / 0.25)
    )


def test_an_evaluation_follows_the_months_after_the_fit(settings: Settings, tmp_path: Path) -> None:
    """Months of the judgement among those that were fitted, or files that say nothing of the months."""
    said = StringIO()
    asked = Asked("segments_rfm.bank", DAYS[2], DAYS[3], folder=tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.setattr(config, "read", lambda name, folder=None: small())
        steps.evaluate(settings, asked, Console(file=said, width=200))
        with pytest.raises(Refused, match="0 month-ends before 2025-12-01"):
            steps.evaluate(settings, replace(asked, first=date(2025, 12, 1)), Console(file=said))
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert told["fitted"] == "2025-12-31 to 2026-01-31"
    stayed = [row for row in told["metrics"] if row["metric"] == "stayed"]
    assert [row["window_label"] for row in stayed] == ["2026-03-31"]
    assert stayed[0]["value"] == 1
    assert pq.read_table(tmp_path / "out" / "predictions.parquet").num_rows == 2 * 4 * PER_KIND
    assert "where they were a month before" in said.getvalue()
    assert "# segments_rfm.bank" in (tmp_path / "out" / "model_card.md").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"names": {"words": {"tenure_days": {"high": "old"}}}},
        {"scaling": {"weights": {"tenure_days": 2.0}}},
        {"scaling": {"weights": {"transactions_90d": 0.0}}},
        {"clusters": {"least": 7, "most": 6}},
        {"names": {"words": {"transactions_90d": {"high": "50 %; often"}}}},
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    """A misspelt column in the YAML that silently changes nothing."""
    with pytest.raises(ValueError, match=r"words|weights|clusters"):
        small(**changes)


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
