"""Evidently draws a comparison: HTML for people, JSON for programs, and a snapshot for Evidently's own UI.

Only this file and `workspace` import Evidently, which takes seconds. It must not phone home, and the same
rows give the same bytes: its random identifiers are numbered, its clock is the publication's date. One thing
is left: in which order it lists the values of a text changes with Python's hash seed.
"""

import gzip
import html
import json
import os
import random
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ml.reports.comparisons import Comparison

DRIFTED_FROM = 0.1
"""Normed Wasserstein distance of numbers, Jensen-Shannon distance of categories: from here on Evidently calls
a column drifted. Effect sizes: a test of significance finds harmless shifts in this many rows."""
SCRIPT = "evidently-{version}.js"
"""The part of a report that is always the same, half of its bytes, beside the reports instead of in each."""
MIND = {
    "drift": "The record is the dashboards' drift (fct_drift: all rows, deciles of each client's training "
    "rows, less what chance and the season give), and alerts come from it only. Here are at most 50,000 rows "
    "and Evidently's distances, which are large by chance where rows are few.",
    "ranking": "The record is the dashboards' realised performance (mart_realised_performance). Evidently's "
    "pictures count places from 0.",
    "regression": "The record is the dashboards' forecast accuracy (mart_forecast_accuracy).",
    "classification": "The record is the dashboards' realised performance (mart_realised_performance).",
}
_IDS = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|(?<=metric_)[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Drawn:
    """A report.

    Attributes:
        html: a page that needs `script` beside it, as `../../<SCRIPT>`.
        script: JavaScript.
        script_name: its file.
        json: Evidently's figures.
        snapshot: what `make evidently` puts into its workspace, as gzip.
        headline: what it comes to, in words.
        drifted, compared: columns, of a report of drift; None of others.
        left_out: columns without a single value on a side.
    """

    html: str
    script: str
    script_name: str
    json: str
    snapshot: bytes
    headline: str
    drifted: int | None
    compared: int | None
    left_out: tuple[str, ...]


def draw(comparison: Comparison, name: str, about: Mapping[str, str], at: datetime) -> Drawn:
    """Draw one report.

    Args:
        comparison: what is compared.
        name: of the report, for people.
        about: lines of its head: a word and what stands behind it.
        at: when the rows were known (UTC); the report's own time.
    """
    os.environ["DO_NOT_TRACK"] = "1"
    random.seed(7)
    np.random.seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import evidently
        import plotly.io
        from evidently import Report

        # Each of hundreds of pictures would repeat the whole theme.
        plotly.io.templates.default = None
        current, reference, left_out = _with_values(comparison)
        definition, contents = _contents(comparison, list(current.columns))
        snapshot = Report(contents).run(
            evidently.Dataset.from_pandas(current, data_definition=definition),
            evidently.Dataset.from_pandas(reference, data_definition=definition),
            timestamp=at,
            name=name,
            metadata=dict(about),
            tags=[about["Model"].partition(",")[0], comparison.kind],
        )
        figures = json.loads(snapshot.json())
        before = (
            _before(contents, definition, reference, at) if comparison.kind not in ("data", "output") else {}
        )
        page = _numbered(snapshot.get_html_str(as_iframe=False))
        dumped = _numbered(snapshot.dumps())
    headline, drifted = _headline(comparison, figures, before)
    script_name = SCRIPT.format(version=evidently.__version__)
    told = {**about, "Rows": comparison.told, "Mind": _mind(comparison)}
    if left_out:
        told["Left out"] = f"no value on a side: {', '.join(left_out)}"
    page, script = _page(page, name, told, script_name)
    return Drawn(
        html=page,
        script=script,
        script_name=script_name,
        json=json.dumps(figures, indent=1),
        snapshot=gzip.compress(dumped.encode(), mtime=0),
        headline=headline,
        drifted=drifted,
        compared=None if drifted is None else current.shape[1],
        left_out=left_out,
    )


def _with_values(comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Both sides without the columns that have no value on one of them; numbers as float64."""
    sides, empty = [comparison.current, comparison.reference], comparison.empty
    texts = {*comparison.categories, "list", "row"}
    sides = [
        side.drop(columns=list(empty)).astype(
            {name: str if name in texts else np.float64 for name in side.columns if name not in empty}
        )
        for side in sides
    ]
    if comparison.kind == "classification":
        sides = [side.astype({"label": int}) for side in sides]
    return sides[0], sides[1], empty


def _contents(comparison: Comparison, columns: Sequence[str]) -> tuple[Any, list[Any]]:
    """Evidently's description of the columns, and the presets of the report."""
    from evidently import BinaryClassification, DataDefinition, Recsys, Regression, metrics, presets

    categories = [name for name in columns if name in comparison.categories]
    numbers = [name for name in columns if name not in categories]
    match comparison.kind:
        case "classification":
            task = BinaryClassification(
                name="default",
                target="label",
                prediction_labels=None,
                prediction_probas="score",
                pos_label=1,
            )
            definition = DataDefinition(categorical_columns=["label"], classification=[task])
            return definition, [presets.ClassificationPreset(probas_threshold=comparison.cut)]
        case "ranking":
            lists = Recsys(user_id="list", item_id="row", target="label", prediction="score")
            definition = DataDefinition(
                categorical_columns=["list", "row"], numerical_columns=["label", "score"], ranking=[lists]
            )
            kinds = (
                *(metrics.PrecisionTopK, metrics.RecallTopK, metrics.NDCG, metrics.MAP, metrics.MRR),
                metrics.HitRate,
            )
            return definition, [kind(k=comparison.length, min_rel_score=1) for kind in kinds]
        case "regression":
            definition = DataDefinition(
                numerical_columns=[name for name in numbers if name not in ("actual", "predicted")],
                categorical_columns=categories,
                regression=[Regression(target="actual", prediction="predicted")],
            )
            return definition, [presets.RegressionPreset()]
        case _:
            definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
            drift = presets.DataDriftPreset(
                num_method="wasserstein",
                cat_method="jensenshannon",
                num_threshold=DRIFTED_FROM,
                cat_threshold=DRIFTED_FROM,
            )
            return definition, [drift, *([presets.DataSummaryPreset()] if comparison.kind == "data" else [])]


def _before(contents: list[Any], definition: Any, reference: pd.DataFrame, at: datetime) -> dict[str, Any]:
    """The figures of the reference rows alone: Evidently's JSON holds those of the current ones."""
    from evidently import Dataset, Report

    alone = Dataset.from_pandas(reference, data_definition=definition)
    found: dict[str, Any] = json.loads(Report(contents).run(alone, None, timestamp=at).json())
    return found


def _headline(
    comparison: Comparison, figures: Mapping[str, Any], before: Mapping[str, Any]
) -> tuple[str, int | None]:
    """What a report comes to, in words, and how many columns have drifted by Evidently's rule."""
    if comparison.kind in ("data", "output"):
        found = _value(figures, "DriftedColumnsCount")
        drifted, share = int(found["count"]), float(found["share"])
        of = round(drifted / share) if share else comparison.current.shape[1]
        if comparison.kind == "output" and of == 1:
            return ("drifted" if drifted else "not drifted"), drifted
        return f"{drifted} of {of} columns drifted", drifted
    wanted = {
        "classification": {"RocAuc": "ROC AUC", "LogLoss": "log loss"},
        "ranking": {"NDCG": f"NDCG@{comparison.length}", "PrecisionTopK": f"precision@{comparison.length}"},
        "regression": {"MAE": "mean absolute error", "R2Score": "R²"},
    }[comparison.kind]
    said = [
        f"{word} {_number(_value(figures, metric))} (was {_number(_value(before, metric))})"
        for metric, word in wanted.items()
    ]
    return ", ".join(said), None


def _value(figures: Mapping[str, Any], metric: str) -> Any:
    found = [row["value"] for row in figures["metrics"] if row["config"]["type"].endswith(f":{metric}")]
    if not found:
        raise KeyError(f"Evidently's report has no {metric}")
    return found[0]


def _number(value: Any) -> str:
    """In words; of a mean with its spread the mean, of values by place in a list that of the whole list."""
    if isinstance(value, Mapping):
        value = value["mean"] if "mean" in value else list(value["value"].values())[-1]
    return f"{float(value):,.3f}" if abs(float(value)) < 100 else f"{float(value):,.0f}"


def _numbered(text: str) -> str:
    """The text with a number in place of each random identifier."""
    known: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        own = match.group()
        plain = f"{len(known) + 1:032x}"
        if "-" in own:
            plain = "-".join((plain[:8], plain[8:12], "7" + plain[13:16], "8" + plain[17:20], plain[20:]))
        return known.setdefault(own, plain)

    return _IDS.sub(number, text)


def _mind(comparison: Comparison) -> str:
    return MIND["drift" if comparison.kind in ("data", "output") else comparison.kind]


def _page(page: str, name: str, about: Mapping[str, str], script_name: str) -> tuple[str, str]:
    """Evidently's page with a head that says what it is, and the script that was taken out of it."""
    start = page.index("<script>", page.index("globalThis</script>"))
    end = page.index("</script>", page.index("window.drawDashboard=", start))
    script = page[start + len("<script>") : end]
    rows = "".join(
        f"<dt>{html.escape(word)}</dt><dd>{html.escape(text)}</dd>" for word, text in about.items()
    )
    head = f'<header class="nightledger"><h1>{html.escape(name)}</h1><dl>{rows}</dl></header>'
    page = f'{page[:start]}<script src="../../{script_name}"></script>{page[end + len("</script>") :]}'
    page = page.replace("<head>", f"<head><title>{html.escape(name)}</title>{_STYLE}", 1)
    return page.replace("<body>", f"<body>{head}", 1), script


_STYLE = """<style>
.nightledger { font: 14px/1.5 system-ui, sans-serif; color: #18181b; background: #fff; padding: 1rem 1.5rem; }
.nightledger h1 { font-size: 1.3rem; margin: 0 0 .5rem; }
.nightledger dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0;
  max-width: 70rem; }
.nightledger dt { color: #5f6368; } .nightledger dd { margin: 0; }
</style>"""
