"""Charts: short kinds in YAML, Superset's long parameters out, with the same good defaults everywhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nightledger_superset.datasets import Dataset, DefinitionError, columns_named
from nightledger_superset.look import SCHEME, Look

KEYS = {
    "key", "title", "kind", "dataset", "metrics", "by", "x", "grain", "columns", "source", "target",
    "column",
    "where", "only", "sort", "limit", "subtitle", "width", "height", "description", "options", "emphasis",
    "stack",
    "sideways", "unit", "labels", "compare", "worse", "page_length", "html",
}  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """A chart as a dashboard states it, with its data set."""

    where: str  # file and key, for errors
    key: str
    title: str
    kind: str
    dataset: Dataset
    description: str
    stated: dict[str, Any]

    def listed(self, key: str) -> list[str]:
        """The value as a list: none, one or many."""
        value = self.stated.get(key)
        if value is None:
            return []
        return [str(item) for item in value] if isinstance(value, list) else [str(value)]

    def one(self, key: str) -> str:
        """The single value of a key that this kind cannot do without."""
        values = self.listed(key)
        if len(values) != 1:
            raise DefinitionError(f"{self.where}: {self.kind} needs one value for {key}.")
        return values[0]


def check(chart: Chart) -> None:
    """Whatever a chart names exists in its data set.

    Raises:
        DefinitionError: It names a column or a metric that is not there.
    """
    data = chart.dataset
    for key in ("by", "x", "columns", "source", "target", "column"):
        for name in chart.listed(key):
            if name not in data.columns:
                raise DefinitionError(f"{chart.where}: {key}: {data.file} has no column {name}.")
    for name in chart.listed("metrics"):
        if name not in data.metrics:
            raise DefinitionError(f"{chart.where}: metrics: {data.file} has no metric {name}.")
    for name in [item.removeprefix("-") for item in chart.listed("sort")]:
        if name not in data.columns and name not in data.metrics:
            raise DefinitionError(f"{chart.where}: sort: {data.file} has no column or metric {name}.")
    for name in [*chart.stated.get("only", {}), *chart.stated.get("emphasis", {})]:
        if name not in data.columns and name not in data.metrics:
            raise DefinitionError(f"{chart.where}: only, emphasis: {data.file} has no column {name}.")
    if condition := chart.stated.get("where"):
        for name in sorted(columns_named(condition)):
            if name not in data.columns:
                raise DefinitionError(f"{chart.where}: where: {data.file} has no column {name}.")


def params(chart: Chart, look: Look) -> dict[str, Any]:
    """Superset's parameters of the chart; `options` of the YAML win over every default.

    Raises:
        DefinitionError: The kind is unknown or lacks what it needs.
    """
    if chart.kind not in _KINDS:
        raise DefinitionError(
            f"{chart.where}: unknown kind {chart.kind}; known are {', '.join(sorted(_KINDS))}."
        )
    viz_type, make = _KINDS[chart.kind]
    made = {
        "viz_type": viz_type,
        "adhoc_filters": _filters(chart),
        "row_limit": chart.stated.get("limit", 10_000),
        "color_scheme": SCHEME,
        **make(chart, look),
    }
    return {**made, **chart.stated.get("options", {})}


def _filters(chart: Chart) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if chart.dataset.time:
        # The slot that a dashboard's time filter fills.
        found.append(_simple(chart.dataset.time, "TEMPORAL_RANGE", "No filter"))
    for name, value in chart.stated.get("only", {}).items():
        column = chart.dataset.columns[name]
        if isinstance(value, list):
            found.append(_simple(name, "IN", [column.in_words(one) for one in value]))
        else:
            found.append(_simple(name, "==", column.in_words(value)))
    if condition := chart.stated.get("where"):
        found.append({"clause": "WHERE", "expressionType": "SQL", "sqlExpression": condition})
    return found


def _simple(column: str, operator: str, value: object) -> dict[str, Any]:
    return {
        "clause": "WHERE",
        "expressionType": "SIMPLE",
        "subject": column,
        "operator": operator,
        "comparator": value,
    }


def _unit(chart: Chart, look: Look, of: str = "metrics") -> dict[str, Any]:
    """The format that the chart's numbers share: that of its first metric (or column), or as stated."""
    names = chart.listed(of)
    known = chart.dataset.metrics if of == "metrics" else chart.dataset.columns
    unit = chart.stated.get("unit") or (known[names[0]].unit if names else "count")
    return look.units[unit] if unit else {"format": "SMART_NUMBER"}


def _currency(chart: Chart, unit: dict[str, Any]) -> dict[str, Any]:
    """Money is written with the currency of its rows, where they all have the same one."""
    if unit.get("currency") and "currency" in chart.dataset.columns:
        return {"currency_format": {"symbol": "AUTO", "symbolPosition": "prefix"}}
    return {}


def _number(chart: Chart, look: Look) -> dict[str, Any]:
    unit = _unit(chart, look)
    return {
        "metric": chart.one("metrics"),
        "subtitle": chart.stated.get("subtitle", ""),
        "y_axis_format": unit["format"],
        "time_format": look.dates["day"],
        "header_font_size": 0.35,
        "subtitle_font_size": 0.125,
        "show_metric_name": False,
        **_currency(chart, unit),
    }


def _trend_number(chart: Chart, look: Look) -> dict[str, Any]:
    compare = int(chart.stated.get("compare", 1))
    return {
        **_number(chart, look),
        "x_axis": chart.one("x"),
        "time_grain_sqla": chart.stated.get("grain", "P1M"),
        "compare_lag": compare or None,
        "compare_suffix": chart.stated.get("subtitle", "on the month before"),
        "subtitle": "",
        "show_trend_line": True,
        "start_y_axis_at_zero": False,
        "time_format": look.dates["month"],
        "color_picker": _rgb(look.colours["actual"]),
        "header_font_size": 0.3,
        "subheader_font_size": 0.125,
    }


def _rgb(colour: str) -> dict[str, int]:
    return {"r": int(colour[1:3], 16), "g": int(colour[3:5], 16), "b": int(colour[5:7], 16), "a": 1}


def _series(chart: Chart, look: Look) -> dict[str, Any]:
    unit = _unit(chart, look)
    x = chart.one("x")
    is_time = chart.dataset.columns[x].is_time
    many = len(chart.listed("metrics")) > 1 or bool(chart.listed("by"))
    month = chart.stated.get("grain", "P1M") in ("P1M", "P3M")
    return {
        "x_axis": x,
        **({"time_grain_sqla": chart.stated.get("grain", "P1M")} if is_time else {}),
        "metrics": chart.listed("metrics"),
        "groupby": chart.listed("by"),
        "y_axis_format": unit["format"],
        **_currency(chart, unit),
        "x_axis_time_format": look.dates["month" if month else "day"],
        "tooltipTimeFormat": look.dates["month" if month else "day"],
        "rich_tooltip": True,
        "showTooltipTotal": False,
        "show_legend": many,
        "legendType": "scroll",
        "legendOrientation": "top",
        "truncateYAxis": False,
        "truncateXAxis": True,
        "xAxisLabelRotation": 0,
        "sort_series_type": "name",
        "sort_series_ascending": True,
        "order_desc": True,
        "minorTicks": False,
        "show_empty_columns": True,
        "truncate_metric": True,
        "x_axis_title_margin": 30,
        "y_axis_title_margin": 30,
        **({} if is_time else _ordered(chart, x)),
    }


def _ordered(chart: Chart, x: str) -> dict[str, Any]:
    """Bars of values (not of days) stand in the order of `sort`, which is a metric or the x column; `-` is
    descending.
    """
    order = (chart.listed("sort") or [x])[0]
    name = order.removeprefix("-")
    by_metric = name in chart.dataset.metrics
    return {
        "xAxisForceCategorical": True,
        "x_axis_sort": name,
        "x_axis_sort_asc": not order.startswith("-"),
        "timeseries_limit_metric": name if by_metric else None,
    }


def _line(chart: Chart, look: Look) -> dict[str, Any]:
    return {**_series(chart, look), "seriesType": "line", "markerEnabled": False, "opacity": 0.2}


def _area(chart: Chart, look: Look) -> dict[str, Any]:
    return {
        **_series(chart, look),
        "seriesType": "line",
        "stack": "Stack",
        "opacity": 0.35,
        "markerEnabled": False,
    }


def _bar(chart: Chart, look: Look) -> dict[str, Any]:
    made = _series(chart, look)
    sideways = bool(chart.stated.get("sideways"))
    return {
        **made,
        "seriesType": "bar",
        "orientation": "horizontal" if sideways else "vertical",
        "stack": "Stack" if chart.stated.get("stack") else None,
        "show_value": bool(chart.stated.get("labels", sideways)),
        **({"y_axis_bounds": [None, None]} if sideways else {}),
    }


def _table(chart: Chart, look: Look) -> dict[str, Any]:
    columns, metrics, by = chart.listed("columns"), chart.listed("metrics"), chart.listed("by")
    raw = bool(columns)
    units = {name: chart.dataset.columns[name] for name in [*columns, *by]}
    config: dict[str, Any] = {}
    for name, column in units.items():
        if column.is_time:
            exact = column.type.startswith("timestamp")
            config[name] = {"d3TimeFormat": look.dates[column.unit or ("time" if exact else "day")]}
        elif column.unit:
            config[name] = _column_config(chart, look.units[column.unit])
    for name in metrics:
        config[name] = _column_config(chart, look.units[chart.dataset.metrics[name].unit])
    for name, own in chart.stated.get("labels", {}).items():
        config.setdefault(name, {}).update(own)
    order = [(item.removeprefix("-"), not item.startswith("-")) for item in chart.listed("sort")]
    page = chart.stated.get("page_length", 0)
    return {
        "query_mode": "raw" if raw else "aggregate",
        **({"all_columns": columns} if raw else {"groupby": by, "metrics": metrics}),
        **(
            {"order_by_cols": [_json_pair(name, ascending) for name, ascending in order]}
            if raw
            else _aggregate_order(order)
        ),
        "row_limit": chart.stated.get("limit", 1000),
        "server_page_length": page or 10,
        "page_length": page,
        "include_search": bool(page),
        "table_timestamp_format": look.dates["day"],
        "show_cell_bars": False,
        "color_pn": False,
        # Names of merchants are other people's text: only a table whose query makes links asks for it.
        "allow_render_html": chart.stated.get("html", False),
        "allow_rearrange_columns": False,
        "column_config": config,
        "conditional_formatting": _emphasis(chart, look),
        "temporal_columns_lookup": {name: True for name, column in units.items() if column.is_time},
    }


def _aggregate_order(order: list[tuple[str, bool]]) -> dict[str, Any]:
    if not order:
        return {"order_desc": True}
    name, ascending = order[0]
    return {"timeseries_limit_metric": name, "order_desc": not ascending}


def _json_pair(name: str, ascending: bool) -> str:
    return f'["{name}", {"true" if ascending else "false"}]'


def _column_config(chart: Chart, unit: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {"d3NumberFormat": unit["format"], "horizontalAlign": "right"}
    if unit.get("currency") and "currency" in chart.dataset.columns:
        config["currencyFormat"] = {"symbol": "AUTO", "symbolPosition": "prefix"}
    return config


def _emphasis(chart: Chart, look: Look) -> list[dict[str, Any]]:
    """`emphasis: {column: [">", 0.5, bad]}` colours the cell by meaning, or in the shade of a value; `=`
    compares words.
    """
    colours = {**look.colours, **look.shades}
    rules = []
    for column, stated in chart.stated.get("emphasis", {}).items():
        known = chart.dataset.columns.get(column)
        for operator, value, meaning in stated if isinstance(stated[0], list) else [stated]:
            if meaning not in colours:
                raise DefinitionError(f"{chart.where}: emphasis: {column}: no colour means {meaning}.")
            rules.append(
                {
                    "column": column,
                    "operator": operator,
                    "targetValue": known.in_words(value) if known else value,
                    "colorScheme": colours[meaning],
                }
            )
    return rules


def _heatmap(chart: Chart, look: Look) -> dict[str, Any]:
    unit = _unit(chart, look)
    x = chart.dataset.columns[chart.one("x")]
    return {
        "x_axis": x.name,
        "groupby": chart.one("by"),
        "metric": chart.one("metrics"),
        "time_grain_sqla": chart.stated.get("grain", "P1M"),
        "linear_color_scheme": f"{SCHEME}_{'worse' if chart.stated.get('worse') else 'more'}",
        "normalize_across": "heatmap",
        "sort_x_axis": "alpha_asc",
        "sort_y_axis": "alpha_desc",
        # Room for the labels is found from here; "auto" cuts them off.
        "left_margin": 30,
        "bottom_margin": 10,
        "xscale_interval": -1 if x.is_time else 1,
        "yscale_interval": 1,
        "xAxisLabelRotation": 45 if x.type.startswith("varchar") else 0,
        "legend_type": "continuous",
        # Values in the fields say more than a scale, whose ends nobody can read on a dark page.
        "show_legend": not chart.stated.get("labels", False),
        "show_values": bool(chart.stated.get("labels", False)),
        "show_percentage": False,
        "value_bounds": [None, None],
        "y_axis_format": unit["format"],
        "x_axis_time_format": look.dates[
            "month" if chart.stated.get("grain", "P1M") in ("P1M", "P3M") else "day"
        ],
        **_currency(chart, unit),
    }


def _treemap(chart: Chart, look: Look) -> dict[str, Any]:
    unit = _unit(chart, look)
    return {
        "groupby": chart.listed("by"),
        "metric": chart.one("metrics"),
        "number_format": unit["format"],
        "sort_by_metric": True,
        "label_type": "key_value",
        "show_labels": True,
        "show_upper_labels": True,
        **_currency(chart, unit),
    }


def _sankey(chart: Chart, look: Look) -> dict[str, Any]:
    return {"source": chart.one("source"), "target": chart.one("target"), "metric": chart.one("metrics")}


def _pie(chart: Chart, look: Look) -> dict[str, Any]:
    unit = _unit(chart, look)
    return {
        "groupby": chart.listed("by"),
        "metric": chart.one("metrics"),
        "donut": True,
        "innerRadius": 45,
        "outerRadius": 72,
        "label_type": "key_percent",
        "labels_outside": True,
        "show_labels": True,
        "label_line": True,
        "show_legend": False,
        "show_labels_threshold": 2,
        "number_format": unit["format"],
        "sort_by_metric": True,
        **_currency(chart, unit),
    }


def _histogram(chart: Chart, look: Look) -> dict[str, Any]:
    column = chart.dataset.columns[chart.one("column")]
    unit = _unit(chart, look, "column")
    return {
        "column": column.name,
        "groupby": chart.listed("by"),
        "bins": chart.stated.get("limit", 20),
        "row_limit": 100_000,
        "normalize": False,
        "cumulative": False,
        "show_legend": bool(chart.listed("by")),
        "show_value": False,
        # The picture knows no currency.
        "x_axis_title": f"{column.label}, in the client's currency" if unit.get("currency") else column.label,
        "y_axis_title": "",
        "x_axis_format": unit["format"],
        "y_axis_format": look.units["count"]["format"],
    }


def _bubble(chart: Chart, look: Look) -> dict[str, Any]:
    metrics = chart.listed("metrics")
    if len(metrics) != 3:
        raise DefinitionError(f"{chart.where}: bubble needs three metrics: x, y and size.")
    x, y, size = (chart.dataset.metrics[name] for name in metrics)
    return {
        "entity": chart.one("by"),
        "x": x.name,
        "y": y.name,
        "size": size.name,
        "max_bubble_size": "25",
        "xAxisFormat": look.units[x.unit]["format"],
        "y_axis_format": look.units[y.unit]["format"],
        "tooltipSizeFormat": look.units[size.unit]["format"],
        "x_axis_title": x.label,
        "y_axis_title": y.label,
        "x_axis_title_margin": 30,
        "y_axis_title_margin": 40,
        "show_legend": False,
        "truncateXAxis": False,
    }


_KINDS: dict[str, tuple[str, Callable[[Chart, Look], dict[str, Any]]]] = {
    "number": ("big_number_total", _number),
    "trend_number": ("big_number", _trend_number),
    "line": ("echarts_timeseries_line", _line),
    "area": ("echarts_area", _area),
    # A metric `x__yhat` with `x__yhat_lower` and `x__yhat_upper` is drawn as a line within its interval.
    "band": ("echarts_timeseries_line", _line),
    "bar": ("echarts_timeseries_bar", _bar),
    "table": ("table", _table),
    # One row of text, drawn as a number is (pages.css): what it is, and what it stands beside.
    "figure": ("table", _table),
    "heatmap": ("heatmap_v2", _heatmap),
    "treemap": ("treemap_v2", _treemap),
    "sankey": ("sankey_v2", _sankey),
    "pie": ("pie", _pie),
    "histogram": ("histogram_v2", _histogram),
    "bubble": ("bubble_v2", _bubble),
}
