"""The model card of a version of forecasts; sections follow Mitchell et al. 2019."""

from collections import Counter

from ml.forecasts.config import Forecast
from ml.forecasts.fitted import Fitted, Judged
from ml.forecasts.methods import FLOOR

_METRICS = ("mase", "wape", "bias", "coverage_80", "coverage_95")


def write(model: str, version: str, rules: Forecast, found: Fitted, judged: Judged) -> str:
    """The card as Markdown."""
    won = Counter((grain, method) for (grain, *_), method in found.tiers.items())
    parts = [
        f"# {model} {version}",
        rules.description,
        "## What it is",
        f"Forecasts of {rules.measure} for {rules.horizon_months} months, each series by the "
        f"{'floor, as no method proved better' if judged.is_floor() else 'method that won'} "
        f"at {judged.crossed.origin.nunique()} past origins ({judged.window}), each of which knew what was "
        "known then.",
        "",
        "| method | monthly series | daily series |",
        "|---|---|---|",
        *(
            f"| {'seasonal naive or mean (floor)' if method == FLOOR else method} | {won['month', method]} "
            f"| {won['day', method]} |"
            for method in sorted({method for _, method in won})
        ),
        "## How good it is",
        "Each origin by the methods and widths that the other origins taught. What the words mean: "
        "docs/metric-decisions.md.",
        "",
        "| data set | method | n | MASE | WAPE | bias | in 80 % | in 95 % |",
        "|---|---|---|---|---|---|---|---|",
        *_rows(judged),
    ]
    if judged.customers is not None:
        parts += [
            "## Customers",
            "Mean absolute error by group, each method scaled to the same totals.",
            "",
            "| group | customers | floor | smoothed | pooled seasonal | kept |",
            "|---|---|---|---|---|---|",
            *(
                f"| {one['bracket']} | {one['customers']:,} | {one['floor']:,.2f} | {one['smoothed']:,.2f} "
                f"| {one['pooled_seasonal']:,.2f} | {one['method']} |"
                for one in judged.customers.by_group
            ),
        ]
    parts += [
        "## Limits",
        f"- A series with fewer than {rules.least_origins} origins has the floor until it has proven more.",
        "- Intervals hold as long as errors stay as large as at the origins.",
        "- Customers are scaled to the client's total, categories are not.",
    ]
    return "\n".join(parts) + "\n"


def _rows(judged: Judged) -> list[str]:
    cells: dict[tuple[str, str, int], dict[str, float]] = {}
    for one in judged.metrics:
        if one["value"] is not None:
            cells.setdefault((one["dataset"], one["baseline"], one["n"]), {})[one["metric"]] = one["value"]
    return [
        f"| {dataset} | {baseline or '**the version**'} | {n:,} | "
        + " | ".join(f"{values[name]:.3f}" if name in values else "" for name in _METRICS)
        + " |"
        for (dataset, baseline, n), values in cells.items()
    ]
