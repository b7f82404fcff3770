"""What a person reads about the models: one line each, and a table beside baselines and ceiling."""

from collections.abc import Mapping
from textwrap import shorten
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from nightledger import warehouse
from nightledger.clients import load_clients
from nightledger.governance import ledger
from nightledger.settings import Settings

HEADLINE = (
    ("average_precision", "average precision"),
    ("precision_at_budget", "precision at the budget"),
    ("recall_at_budget", "recall at the budget"),
    ("card_precision_at_k", "card precision at the daily budget"),
    ("card_precision_greatest", "the greatest reachable"),
    ("savings_share", "saved of what fraud costs"),
    ("savings_of_greatest", "saved of what can be saved"),
    ("roc_auc", "ROC AUC"),
    ("gini", "Gini"),
    ("ks", "KS"),
    ("brier", "Brier score (lower is better)"),
    ("calibration_error", "calibration error (lower is better)"),
    ("seed_agreement", "agreement of ranks under another seed"),
    ("score_psi", "shift of scores since training (PSI)"),
    ("wape", "WAPE: errors / what came in (lower is better)"),
    ("bias", "bias: more was expected than came"),
    ("rank_correlation", "rank correlation"),
    ("alive_brier", "Brier score of being still there (lower is better)"),
    ("silhouette", "silhouette of the segments"),
    ("smallest_share", "share of the smallest segment"),
    ("share_psi", "shift of the segments' shares since the fit (PSI)"),
    ("same_name", "share whom the champion calls the same"),
    ("mean_agreement", "agreement of bootstraps (adjusted Rand index)"),
    ("least_agreement", "the least of them"),
    ("mase", "MASE: error beside the past's own changes (lower is better)"),
    ("ndcg_at_3", "NDCG of the first three life events"),
    ("hit_at_3", "share of cases whose event is among the first three"),
    ("coverage_80", "share within the 80 % interval"),
    ("coverage_95", "share within the 95 % interval"),
)
FIRST = {
    "average_precision": ("out_of_time", "PR-AUC"),
    "seed_agreement": ("out_of_time", "agreement"),
    "mean_agreement": ("fitted", "agreement"),
    "mase": ("client", "MASE"),
    "wape": ("out_of_time", "WAPE"),
    "ndcg_at_3": ("out_of_time", "NDCG@3"),
}
"""What one line about a model shows, whichever it has first: on which rows, and in words."""
LOWER_IS_BETTER = ("mase", "wape")
"""Of these the best baseline has the least."""
NOT_TONIGHT = ("refused", "awaiting_approval")
LONGEST = 170
"""Characters of a reason in the summary."""
Ceilings = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""By model and metric, value, lo and hi of what knowing the truth would reach on the out-of-time rows."""
DATASETS = {"out_of_time": "Out of time", "fitted": "On the fitted rows", "client": "The client's totals"}


def table_of(title: str, *headings: tuple[str, str]) -> Table:
    """An empty table in the style of the reports."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading, justify in headings:
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def summary(
    settings: Settings, description: Mapping[str, Any], ceilings: Ceilings, first: str
) -> list[RenderableType]:
    """One line a model, and one of them at length.

    Args:
        settings: of the installation.
        description: of the publication; its `models` are those that scored it.
        ceilings: of the models whose truth is known.
        first: the model that is shown at length.
    """
    decisions = _last_decisions(settings)
    if not decisions:
        return [Text("\nNo model has been trained yet.", style="yellow")]
    pinned: dict[str, list[str]] = {}
    for row in description["models"]:
        if row.get("role", "champion") == "champion":
            pinned.setdefault(row["model"], []).append(row["version"])
    table = table_of(
        "\nModels",
        *(("model", "left"), ("decision", "left"), ("measure", "left"), ("out of time", "left")),
        *(("best baseline", "left"), ("ceiling", "right"), ("tonight", "left")),
    )
    for name, decision in decisions.items():
        measure, own, rival = _headline(ledger.metrics_of(settings, name, decision["version"] or ""))
        table.add_row(
            name,
            decision["decision"].replace("_", " "),
            measure,
            own,
            rival,
            _ceiling_of(ceilings.get(name, {}).get("average_precision", {}).get("value")),
            "yes" if name in pinned else "no",
        )
    table.columns[0].no_wrap = True
    parts: list[RenderableType] = [table, *not_used(settings)]
    if refused := [name for name, decision in decisions.items() if decision["decision"] in NOT_TONIGHT]:
        parts.append(Text("\nWhy not"))
        parts += [Text(f"{name}: {_in_short(decisions[name]['reason'])}") for name in refused]
        parts.append(Text("The whole reasons: make models", style="dim"))
    if first in decisions:
        parts.append(Text(f"\n{first}: {decisions[first]['reason']}"))
    if first in decisions:
        parts += _tables(settings, first, ceilings.get(first))
    return parts


def not_used(settings: Settings) -> list[Text]:
    """What clients do with models otherwise than the models' files say."""
    told = []
    for name, client in load_clients(settings).items():
        off = ", ".join(sorted(client.switched_off))
        own = ", ".join(f"{model} by {use.scope}" for model, use in client.models.items() if use.scope)
        told += [f"{name} has switched off: {off}"] if off else []
        told += [f"{name} has versions of its own: {own}"] if own else []
    return [Text(line) for line in told]


def _in_short(text: str) -> str:
    """The first sentence, or what fits into a line and a half of it."""
    return shorten(text.split(". ")[0].rstrip(".") + ".", LONGEST, placeholder=" …")


def details(settings: Settings, console: Console, ceilings: Ceilings) -> None:
    """Print every model beside its baselines, the champion and the ceiling."""
    decisions = _last_decisions(settings)
    if not decisions:
        console.print("No model has been trained yet: `make train`.")
    for line in not_used(settings):
        console.print(line)
    shadows = shadows_of_last_night(settings)
    for name, decision in decisions.items():
        console.print()
        console.print(
            f"[bold]{name}[/bold] {decision['version'] or ''} {decision['decision'].replace('_', ' ')}"
        )
        console.print(Text(decision["reason"]))
        version = version_to_show(settings, name)
        if version != (decision["version"] or ""):
            console.print(f"The champion stays. When {version} was trained:")
        for part in _tables(settings, name, ceilings.get(name)):
            console.print(part)
        if beside := [row for row in shadows if row["model"] == name.partition(".")[0]]:
            console.print(_shadows(beside))


def shadows_of_last_night(settings: Settings) -> list[dict[str, Any]]:
    """How each challenger differs from its champion: rows of `marts.mart_shadow_scores` of the last date."""
    path = warehouse.publication_path(settings)
    if path is None:
        return []
    with warehouse.connect(path, settings=settings) as connection:
        there = connection.execute(
            "select 1 from information_schema.tables"
            " where table_schema = 'marts' and table_name = 'mart_shadow_scores'"
        ).fetchone()
        if there is None:  # published by an older release
            return []
        found = connection.execute(
            """
            select * from marts.mart_shadow_scores
            where as_of_date in (select max(as_of_date) from ops.horizon)
            order by model, client_id, challenger_version
            """
        )
        names = [column for column, *_ in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _shadows(rows: list[dict[str, Any]]) -> Table:
    """Of one model: the challenger beside the champion, by client."""
    table = table_of(
        f"\nIn the shadow of the champion, {rows[0]['as_of_date']}: the same rows scored by both",
        *(("client", "left"), ("challenger", "left"), ("rows", "right"), ("rank correlation", "right")),
        *(("PSI (by chance)", "right"), ("in the same band", "right"), ("mean score, champion's", "right")),
    )
    for row in rows:
        ranks = row["rank_correlation"]
        table.add_row(
            *(row["client_id"], row["challenger_version"], f"{row['scored_rows']:,}"),
            "–" if ranks is None else f"{ranks:.3f}",
            f"{row['score_psi']:.3f} ({row['score_psi_noise']:.3f})",
            f"{row['same_band_share']:.1%}",
            f"{row['challenger_mean']:.3f}, {row['champion_mean']:.3f}",
        )
    return table


def _last_decisions(settings: Settings) -> dict[str, dict[str, Any]]:
    return {row["model"]: row for row in ledger.decisions(settings)}


def version_to_show(settings: Settings, model: str) -> str:
    """The version of the last decision; the champion where nothing was trained; empty: neither is there."""
    decision = ledger.last_decision(settings, model)
    judged = decision["version"] if decision else None
    return judged or ledger.champions(settings).get(model, "")


def _ceiling_of(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _headline(rows: list[dict[str, Any]]) -> tuple[str, str, str]:
    """What is measured first of the model, its value, and that of its best baseline."""
    for metric, (dataset, words) in FIRST.items():
        found = {
            row["baseline"]: row
            for row in rows
            if (row["metric"], row["dataset"]) == (metric, dataset) and _is_of_all(row)
        }
        if "" not in found:
            continue
        rivals = {
            name: row["value"]
            for name, row in found.items()
            if name not in ("", "champion") and row["value"] is not None
        }
        choose = min if metric in LOWER_IS_BETTER else max
        best = choose(rivals, key=lambda name: rivals[name], default=None)
        beside = f"{rivals[best]:.3f} {best.replace('_', ' ')}" if best else "–"
        return words, interval(found[""]), beside
    return "–", "–", "–"


def _is_of_all(row: Mapping[str, Any]) -> bool:
    """Whether a metric is about all rows: those of one client count where the model is that client's."""
    return row["client_id"] in ("", row["model"].partition(".")[2])


def _tables(settings: Settings, model: str, ceiling: Mapping[str, Mapping[str, Any]] | None) -> list[Table]:
    rows = ledger.metrics_of(settings, model, version_to_show(settings, model))
    rows = [row for row in rows if _is_of_all(row)]
    shares = {name: [row for row in rows if row["dataset"] == name] for name in DATASETS}
    return [
        _table(name, found, ceiling if name == "out_of_time" else None)
        for name, found in shares.items()
        if found
    ]


def _table(
    dataset: str, found: list[dict[str, Any]], ceiling: Mapping[str, Mapping[str, Any]] | None
) -> Table:
    own = next(row for row in found if row["baseline"] == "")
    names = ["", *sorted({row["baseline"] for row in found} - {""})]
    title = f"\n{DATASETS[dataset]}, {own['window_label']}: {own['n'] or 0:,} rows"
    if own["base_rate"] is not None:
        title += f", base rate {own['base_rate']:.2%} (95 % intervals by bootstrap over customers)"
    headings = [("", "left"), *((name.replace("_", " ") or "model", "right") for name in names)]
    table = table_of(title, *headings, *((("ceiling (the truth)", "right"),) if ceiling is not None else ()))
    values = {(row["metric"], row["baseline"]): row for row in found}
    for metric, label in HEADLINE:
        if (metric, "") not in values:
            continue
        cells = [interval(values.get((metric, name))) for name in names]
        table.add_row(label, *cells, *((interval(ceiling.get(metric)),) if ceiling is not None else ()))
    return table


def interval(row: Mapping[str, Any] | None) -> str:
    """A value with its interval, as far as there is one."""
    if row is None or row["value"] is None:
        return "–"
    if row["lo"] is None or row["hi"] is None:
        return f"{row['value']:.3f}"
    return f"{row['value']:.3f} ({row['lo']:.3f}–{row['hi']:.3f})"
