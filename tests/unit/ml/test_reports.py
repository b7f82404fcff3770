"""Evidently's reports: what they compare, that they say it, and that nothing of a customer is in them."""

import gzip
import json
import re
from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from ml.registry import Registry
from ml.reports import drawing, workspace, writing
from ml.reports.comparisons import Absent, Comparison, Subject
from ml.reports.of_scores import _outcomes, _ranking
from ml.sampling import sampled_sql
from nightledger import drift_reports
from nightledger.settings import Settings
from tests.unit.ml.bank import LAST, Bank
from tests.unit.ml.test_replay import publish

AT = datetime(2026, 3, 31)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty installation."""
    return Settings(home=tmp_path / "home", _env_file=None)


def features(rows: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(rows)
    return pd.DataFrame(
        {
            "spend": rng.normal(100 + shift, 10, rows),
            "visits": rng.poisson(5, rows).astype(np.float32),
            "plan": rng.choice(["basic", "gold"], rows),
            "never_known": np.full(rows, np.nan),
        }
    )


@pytest.fixture(scope="module")
def drawn() -> tuple[drawing.Drawn, drawing.Drawn]:
    """One comparison drawn twice: importing Evidently takes longer than all else here."""
    comparison = Comparison(
        "data", features(400, shift=40), features(600), "Current: now. Reference: then.", categories=("plan",)
    )
    about = {"Model": "churn, version 1", "Publication": "<b>2026-03-31.1</b>"}
    first, again = (drawing.draw(comparison, "Data · churn", about, AT) for _ in range(2))
    return first, again


def test_a_shifted_feature_is_called_drifted_and_the_others_are_not(drawn) -> None:
    """Catches current and reference given in the wrong order, and a distance that says yes to everything."""
    figures = json.loads(drawn[0].json)["metrics"]
    distances = {
        row["config"]["column"]: row["value"]
        for row in figures
        if row["config"]["type"].endswith(":ValueDrift")
    }
    assert distances["spend"] == pytest.approx(4, abs=0.5), "in standard deviations of the reference"
    assert max(distances["visits"], distances["plan"]) < drawing.DRIFTED_FROM
    assert (drawn[0].drifted, drawn[0].compared) == (1, 3)
    assert drawn[0].headline == "1 of 3 columns drifted"
    assert drawn[0].left_out == ("never_known",)


def test_rows_that_say_nothing_are_not_compared() -> None:
    """Catches distances between a handful of rows, and a report of columns that one side does not have."""
    few = Comparison("data", features(19), features(600), "told")
    assert few.too_few == "Too few rows: 19 rows compared; 20 are needed."
    gone = features(600)[["never_known"]]
    assert Comparison("data", gone, gone, "told").too_few == "No column has a value on both sides."
    assert Comparison("data", features(20), features(600), "told").too_few == ""


def test_the_same_rows_give_the_same_bytes(drawn) -> None:
    """Catches an identifier or a clock that makes two drawings of one publication differ."""
    first, again = drawn
    assert first == again
    assert gzip.decompress(first.snapshot)


def test_the_page_needs_no_network_and_says_what_it_is(drawn) -> None:
    """Catches a report that asks a foreign server for a script, and a head that its own text breaks."""
    page = drawn[0].html
    assert "&lt;b&gt;2026-03-31.1&lt;/b&gt;" in page
    assert "The record is the dashboards&#x27; drift" in page
    assert "no value on a side: never_known" in page
    assert f'<script src="../../{drawn[0].script_name}"></script>' in page
    for outside in ('src="http', "src='http", 'href="http', "@import"):
        assert outside not in page
    assert "window.drawDashboard=" in drawn[0].script
    assert len(page) < len(drawn[0].script), "the script is not in each page"


@pytest.mark.parametrize("kind", ["classification", "ranking", "regression"])
def test_performance_is_told_beside_what_it_was(kind: str) -> None:
    """Catches a headline that takes the figures of the wrong side or the wrong place of a list."""
    rng = np.random.default_rng(5)

    def side(rows: int, skill: float) -> pd.DataFrame:
        label = (rng.random(rows) < 0.3).astype(int)
        score = np.clip(label * skill + rng.random(rows) * (1 - skill), 0, 1)
        table = pd.DataFrame({"label": label, "score": score})
        if kind == "regression":
            actual = rng.lognormal(4, 1, rows)
            noise = rng.normal(0, 1 - skill, rows)
            return pd.DataFrame({"level": "client", "actual": actual, "predicted": actual + noise})
        if kind == "ranking":
            return table.assign(list=[f"bank {n % 4}" for n in range(rows)], row=np.arange(rows).astype(str))
        return table

    comparison = Comparison(
        kind,  # type: ignore[arg-type]
        side(300, skill=0.0),
        side(400, skill=0.9),
        "told",
        categories=("level",) if kind == "regression" else (),
        length=10,
    )
    found = drawing.draw(comparison, kind, {"Model": "m, version 1"}, AT).headline
    said = re.search(r"([\d.]+) \(was ([\d.]+)\)", found)
    assert said, found
    first, was = map(float, said.groups())
    if kind == "regression":
        assert (first, was) == (pytest.approx(0.8, abs=0.15), pytest.approx(0.08, abs=0.03))
    else:
        assert first < 0.7
        assert was == pytest.approx(1.0, abs=0.01)


def test_a_sample_keeps_shares_and_small_strata_and_does_not_change() -> None:
    """Catches a sample that loses the few events, exceeds its size, or differs from process to process."""
    rows = (
        "select 'c' || (n % 3) as client_id, n::varchar as id, (n % 50 = 0)::int as label"
        " from range(9000) t(n)"
    )
    with duckdb.connect() as connection:
        drawn = sampled_sql(rows, ["client_id", "label"], ["client_id", "id"], 900)
        first, again = (connection.execute(drawn).df() for _ in range(2))
        few = connection.execute(sampled_sql(rows, ["client_id", "label"], ["client_id", "id"], 4)).df()
        all_rows = connection.execute(sampled_sql(rows, ["client_id"], ["id"], 10_000)).df()
    pd.testing.assert_frame_equal(first, again)
    assert list(first.columns) == ["client_id", "id", "label"]
    assert 880 <= len(first) <= 900
    assert first["label"].mean() == pytest.approx(0.02, abs=0.002)
    assert len(few) == 4
    assert len(all_rows) == 9000


def test_what_has_not_matured_is_said_and_when_it_will(settings) -> None:
    """Catches an empty performance report that looks like a bad one."""
    from ml import config

    with duckdb.connect() as connection:
        connection.execute(
            "create schema marts; create table marts.fct_outcomes (client_id varchar, entity_id varchar,"
            " as_of_date date, label int, label_now int, score float, model varchar, model_version varchar,"
            " role varchar)"
        )
        subject = subject_of(settings, connection)
        churn = config.read("churn")
        _, why_not = _outcomes(subject, churn)
        assert "the first are known on 2026-06-02" in why_not  # 60 days, and 3 until the label is judged
        connection.execute(
            "insert into marts.fct_outcomes select 'bank', n::varchar, '2026-03-31', 0, 0, 0.1, 'churn', 'v',"
            " 'champion' from range(40) t(n)"
        )
        _, why_not = _outcomes(subject, churn)
        assert why_not == "There is not an event among the 40 scores that have met their outcome."


def test_a_ranking_takes_whole_lists_only(settings) -> None:
    """Catches the top of a sampled list, which is another one than that of the list."""
    from ml import config

    def lists(sizes: dict[str, int]) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {
                    "client_id": "bank",
                    "entity_id": f"{n:03}",
                    "as_of_date": day,
                    "label": int(n == 0),
                    "score": n,
                }
                for day, size in sizes.items()
                for n in range(size)
            ]
        )

    with duckdb.connect() as connection:
        subject = subject_of(settings, connection, most=300)
        found = _ranking(
            subject,
            config.read("churn"),
            lists({"2026-01-31": 100, "2026-02-28": 100, "2026-03-31": 40}),
            lists({"2025-12-31": 120}),
            0.1,
        )
        assert isinstance(found, Comparison)
        assert found.current.groupby("list").size().to_dict() == {
            "bank 2026-03-31": 40,
            "bank 2026-02-28": 100,
        }
        assert found.length == 12
        assert "entity_id" not in found.current, "who it is about stays out of a report"
        none = _ranking(
            subject, config.read("churn"), lists({"2026-03-31": 400}), lists({"2025-12-31": 9}), 0.1
        )
        assert isinstance(none, Absent)


def subject_of(settings, connection, most: int = 50_000) -> Subject:
    from ml import config
    from ml.datasets import Publication
    from ml.partitions import Pin

    return Subject(
        settings=settings,
        connection=connection,
        publication=Publication(Path(), "2026-03-31.1", "", "", date(2026, 3, 31), AT),
        registry=Registry(settings),
        pin=Pin("churn", date(2026, 3, 31), "v", "champion"),
        described=config.read("churn"),
        versions_first=date(2026, 3, 31),
        most=most,
    )


def test_reports_are_written_whole_or_not_at_all(settings, tmp_path: Path) -> None:
    """Catches half a folder that looks like all reports of a publication."""
    target = tmp_path / "reports" / "2026-03-31.1"
    with pytest.raises(ZeroDivisionError), writing._whole(target) as part:
        (part / "churn.html").write_text("half")
        1 / 0  # noqa: B018
    assert not target.exists()
    with writing._whole(target) as part:
        assert list(part.iterdir()) == [], "what the failed try left is gone"
        (part / drift_reports.INDEX).write_text("{}")
    assert [path.name for path in target.iterdir()] == [drift_reports.INDEX]
    assert [path.name for path in target.parent.iterdir()] == ["2026-03-31.1"]


def test_the_reports_of_a_night_are_drawn_once_and_name_nobody(trained) -> None:
    """Catches a report that reads another night, a second run that changes a byte, and a customer's name."""
    bank, outcome = trained
    publish(bank, outcome.version)
    bank.run(
        "create table marts.fct_outcomes as select client_id, entity_id, as_of_date, score, model,"
        " model_version, 'champion' as role, (hash(entity_id) % 1000 < 1000 * score)::int as label,"
        " null::int as label_now from marts.fct_scores"
    )
    pinned = {
        "model": "churn",
        "version": outcome.version,
        "as_of_date": LAST.isoformat(),
        "role": "champion",
    }
    about = bank.build / "publication.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"models": [pinned]}))
    written = writing.write(bank.settings)
    kinds = {row["kind"]: row for row in written["reports"]}
    assert set(kinds) == {"data", "output", "classification", "ranking"}
    assert not any(row["why_not"] for row in kinds.values())
    scored = bank.ask("select count(*) from marts.fct_scores")[0][0]
    assert kinds["data"]["rows"] == kinds["output"]["rows"] == kinds["classification"]["rows"] == scored
    trained_on = Registry(bank.settings).parameters("churn", outcome.version)["training_rows"]
    assert kinds["data"]["reference_rows"] == int(trained_on)
    assert kinds["data"]["left_out"] == ["never_filled"]
    folder = drift_reports.folder(bank.settings, bank.build.name)
    files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    assert len(files) == 1 + 4 * 3
    for (customer,) in bank.ask("select distinct entity_id from marts.fct_scores"):
        word = re.compile(rf"\b{re.escape(customer)}\b".encode())
        for path, content in files.items():
            text = gzip.decompress(content) if path.suffix == ".gz" else content
            assert not word.search(text), path.name
    assert writing.write(bank.settings) == written
    assert {path: path.read_bytes() for path in files} == files
    assert workspace.fill(bank.settings) == 4
    drift_reports.prune(bank.settings, [bank.build.name])
    assert not folder.exists()
    assert workspace.fill(bank.settings) == 0, "what was pruned leaves Evidently's pages as well"


def test_a_publication_without_models_says_so_without_evidently(bank: Bank) -> None:
    """Catches seconds of imports after each history load, and a page that looks forgotten."""
    about = bank.build / "publication.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"models": []}))
    written = writing.write(bank.settings)
    assert (written["reports"], written["nothing"]) == ([], "No model worked on this publication.")
    assert drift_reports.all_written(bank.settings) == [written]
