"""The page after a night shows texts that strangers wrote: they must not do anything to it."""

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nightledger import demo, report, report_models, warehouse
from nightledger.demo import DemoError
from nightledger.governance.promotion import record_training
from nightledger.ingestion.feeds import create_tables
from nightledger.night import plan
from nightledger.settings import Settings

HOSTILE = [
    "[red]x[/red] [/]",
    "[link=file:///etc/passwd]x[/link]",
    "\x1b[2J\x1b]8;;http://x\x07click\x1b]8;;\x07",
    "\u202eetirw ot",
    "two\nlines\rover",
    "{{ 7*7 }} ${7*7}",
]


@pytest.fixture
def published(tmp_path: Path) -> Settings:
    """A publication in which every text that comes from outside is hostile."""
    settings = Settings(home=tmp_path / "home", inbox=None, _env_file=None)
    build = settings.builds / "2026-01-05.1"
    build.mkdir(parents=True)
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        create_tables(connection)
        plan.create_tables(connection)
        connection.execute("create schema marts; create schema features")
        connection.execute("insert into ops.horizon values ('bank', '2026-01-05', '2026-01-06')")
        connection.execute(
            "create table marts.fct_transactions as select true as is_current, 'bank' as client_id, 'c' as"
            " customer_id"
        )
        connection.execute(
            "create table features.features_customers as select date '2026-01-05' as as_of_date"
        )
        connection.execute(
            "create table marts.fct_scores as select 'bank' as client_id, 'churn' as model, 'v' as"
            " model_version, 'champion' as role, 'customer' as entity, date '2026-01-05' as as_of_date,"
            " 0.5::float as score, unnest($t) as entity_id, entity_id as band",
            {"t": HOSTILE},
        )
        connection.execute(
            "create table marts.fct_score_reasons as select client_id, model, model_version, entity_id,"
            " as_of_date, 1 as rank, entity_id as text from marts.fct_scores"
        )
        connection.execute(
            "insert into raw.quarantine select 'bank', 'cards', 'transactions', t, 1, t, t, t, 'load'"
            " from (select unnest($t) as t)",
            {"t": HOSTILE},
        )
    (build / "audit.json").write_text(json.dumps({"checks": []}))
    description = {"id": build.name, "content_hash": "0" * 64, "as_of_date": "2026-01-05", "base": None}
    (build / "publication.json").write_text(json.dumps(description | {"models": []}))
    (settings.builds / "current").symlink_to(build.name)
    return settings


def test_texts_of_strangers_are_inert_in_the_report(published: Settings, tmp_path: Path) -> None:
    """Catches a customer number, column or shape that colours, links, hides or clears what a person reads."""
    with (tmp_path / "shown").open("w") as file:
        report.show(published, Console(width=300, force_terminal=True, highlight=False, file=file))
    shown = (tmp_path / "shown").read_text()

    assert "\x1b]8;" not in shown, "a link"
    assert "\x1b[2J" not in shown, "a cleared screen"
    assert "\u202e" not in shown
    assert "\r" not in shown
    assert "[red]x[/red] [/]" in shown, "markup that was obeyed"
    assert "[link=file:///etc/passwd]x[/link]" in shown
    assert "two?lines?over" in shown


def test_the_report_says_what_clients_do_otherwise(tmp_path: Path) -> None:
    """Catches a model that is silently missing from a client's scores: somebody switched it off once."""
    for name, rules in (
        ("bank", "models: {churn: {enabled: false}, fraud: {scope: segment}, credit: {enabled: true}}"),
        ("shop", ""),
    ):
        (tmp_path / f"{name}.yml").write_text(f"name: X\nbase_currency: EUR\n{rules}\n")
    told = report_models.not_used(Settings(clients=tmp_path, _env_file=None))
    assert [line.plain for line in told] == [
        "bank has switched off: churn",
        "bank has versions of its own: fraud by segment",
    ]


def trained(version: str | None, verdict: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What a training of `churn` gives."""
    return {
        "model": "churn",
        "version": version,
        "verdict": verdict,
        "standing": verdict,
        "reason": "Better." if version else "Too few rows.",
        "publication_id": "2026-01-31.1",
        "trained_on_as_of": "2026-01-31",
        "known_at": "2026-02-01T02:00:00",
        "artefact_sha256": "0" * 64 if version else None,
        "guardrails": [],
        "importances": [],
        "metrics": rows,
    }


def test_every_metric_stands_beside_its_ceiling(tmp_path: Path) -> None:
    """Catches a ceiling of one measure only, and a champion without a table after a training of nothing."""
    rows: list[dict[str, Any]] = [
        {
            "client_id": "",
            "dataset": "out_of_time",
            "window_label": "2025-12-31",
            "metric": metric,
            "baseline": baseline,
            "value": value,
            "lo": value - 0.1,
            "hi": value + 0.1,
            "n": 100,
            "base_rate": 0.05,
        }
        for metric, value in (("average_precision", 0.3), ("ks", 0.6), ("brier", 0.2))
        for baseline in ("", "recency")
    ]
    ceilings: report_models.Ceilings = {
        "churn": {
            "average_precision": {"value": 0.632, "lo": 0.503, "hi": 0.732},
            "ks": {"value": 0.692, "lo": 0.592, "hi": 0.776},
            "brier": {"value": 0.029, "lo": None, "hi": None},
        }
    }
    settings = Settings(home=tmp_path, clients=tmp_path, _env_file=None)
    champion = {"model": "churn", "version": "v1"}
    record_training(settings, trained("v1", "promoted", [row | champion for row in rows]), "train/1")
    for run, stays in ((None, False), ("train/2", True)):
        if run:
            record_training(settings, trained(None, "refused", []), run, compared_with="v1")
        printed = io.StringIO()
        report_models.details(settings, Console(file=printed, width=160), ceilings)
        text = printed.getvalue()
        lines = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in text.splitlines()}
        assert lines["average precision"] == "0.632 (0.503–0.732)"
        assert lines["KS"] == "0.692 (0.592–0.776)"
        assert lines["Brier score (lower is better)"] == "0.029"
        assert ("The champion stays. When v1 was trained:" in text) is stays


def test_nobody_knows_the_truth_of_real_files(tmp_path: Path) -> None:
    """Catches a traceback of the simulation where somebody asks for the ceiling of files of their own."""
    settings = Settings(home=tmp_path, _env_file=None)
    with pytest.raises(DemoError, match="nobody knows the truth"):
        demo.write_truth(settings, "churn", tmp_path / "predictions.parquet", tmp_path / "true.parquet")
    (tmp_path / "bank" / "truth").mkdir(parents=True)
    with pytest.raises(DemoError, match="no truth is told of anomaly; there is one of churn, credit, fraud"):
        demo.write_truth(settings, "anomaly", tmp_path / "predictions.parquet", tmp_path / "true.parquet")
    with pytest.raises(DemoError, match=r"predictions.parquet is not there"):
        demo.write_truth(settings, "churn", tmp_path / "predictions.parquet", tmp_path / "true.parquet")
    with pytest.raises(DemoError, match=r"true.csv: the truth is written as Parquet"):
        demo.write_truth(settings, "churn", tmp_path / "predictions.parquet", tmp_path / "true.csv")


@pytest.mark.parametrize(
    ("model", "said", "judged_on", "asked"),
    [
        ("churn", {"horizon_days": 45}, date(2026, 7, 2), ["churn", "--days", "45"]),
        ("credit", {"horizon_days": 365}, None, ["default", "--months", "12"]),
        ("credit", {"horizon_days": 180}, date(2026, 7, 2), ["default", "--months", "6"]),
        ("credit", {"horizon_days": 45}, None, None),
        ("fraud", {"delay_days": 14}, None, ["fraud", "--judged-after", "14"]),
        ("fraud", {"delay_days": 14}, date(2026, 7, 2), ["fraud", "--judged-on", "2026-07-02"]),
        (
            "propensity_home_improvement",
            {"horizon_days": 60},
            None,
            ["purchase", "--category", "fuel", "--days", "60"],
        ),
    ],
)
def test_the_truth_is_asked_for_what_the_models_file_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    said: dict[str, int],
    judged_on: date | None,
    asked: list[str] | None,
) -> None:
    """Catches a ceiling of another window, delay or category than the model's rows are judged by."""
    monkeypatch.setattr(demo, "TRUTHS", {f"my_{name}": task for name, task in demo.TRUTHS.items()})
    label = {"horizon_days": 0, "delay_days": 0} | said
    (tmp_path / f"my_{model}.yml").write_text(
        json.dumps({"label": label, "parameters": {"category": "fuel"}})
    )
    settings = Settings(home=tmp_path, models=str(tmp_path), _env_file=None)
    if asked is None:
        with pytest.raises(DemoError, match="the truth knows whole months, and 45 days are none"):
            demo._asked_of_the_truth(settings, f"my_{model}", judged_on)
    else:
        assert list(demo._asked_of_the_truth(settings, f"my_{model}", judged_on)) == asked
