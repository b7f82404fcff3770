"""Dashboards: tabs and rows in YAML, Superset's position tree and filters out."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from nightledger_superset.charts import Chart
from nightledger_superset.datasets import Dataset, DefinitionError
from nightledger_superset.look import SCHEME, Look

KEYS = {"title", "slug", "description", "roles", "filters", "tabs", "rows", "header"}
MOST_CHARTS = 8
_WIDTH = 12  # columns of a row
_HEIGHT = 40  # of 8 pixels each
_HEADER_HEIGHT = 27


@dataclass(frozen=True)
class Text:
    """A piece of Markdown in a row."""

    markdown: str
    width: int
    height: int


@dataclass(frozen=True)
class Place:
    """A chart in a row, in its width (of 12) and height (of 8 pixels)."""

    chart: Chart
    uuid: UUID
    width: int
    height: int


Row = list[Text | Place]


@dataclass(frozen=True)
class Tab:
    """A tab and its rows; a dashboard without tabs has a single one without a title."""

    title: str
    rows: list[Row]


def place(chart: Chart, uuid: UUID) -> Place:
    """The chart in the size that it states."""
    width, height = int(chart.stated.get("width", 4)), int(chart.stated.get("height", _HEIGHT))
    return Place(chart, uuid, width, height)


def text(stated: dict[str, Any], where: str) -> Text:
    """The Markdown in the size that it states."""
    if unknown := set(stated) - {"text", "width", "height"}:
        raise DefinitionError(f"{where}: text: unknown key {sorted(unknown)[0]}.")
    return Text(stated["text"], int(stated.get("width", _WIDTH)), int(stated.get("height", 20)))


def check(where: str, tabs: list[Tab]) -> None:
    """Rows fit, and no tab has more charts than people can take in.

    Raises:
        DefinitionError: A row is wider than the page, or a tab too full.
    """
    for tab in tabs:
        charts = sum(isinstance(item, Place) for row in tab.rows for item in row)
        if charts > MOST_CHARTS:
            raise DefinitionError(
                f"{where}: tab {tab.title or 'of all'}: {charts} charts; at most {MOST_CHARTS}."
            )
        for number, row in enumerate(tab.rows, start=1):
            if sum(item.width for item in row) > _WIDTH:
                raise DefinitionError(f"{where}: tab {tab.title}: row {number} is wider than {_WIDTH}.")


def position(title: str, tabs: list[Tab], header: Place | None) -> dict[str, Any]:
    """The position tree: the header above the tabs, so that every tab has it."""
    tree = _Tree()
    tree.nodes["DASHBOARD_VERSION_KEY"] = "v2"  # type: ignore[assignment]
    tree.add("ROOT_ID", "ROOT", [], children=["GRID_ID"])
    tree.add("HEADER_ID", "HEADER", [], meta={"text": title})
    tree.add("GRID_ID", "GRID", ["ROOT_ID"])
    above = ["ROOT_ID", "GRID_ID"]
    if header:
        tree.row("ROW-header", [header], above)
    if len(tabs) == 1 and not tabs[0].title:
        for number, row in enumerate(tabs[0].rows, start=1):
            tree.row(f"ROW-1-{number}", row, above)
        return tree.nodes
    tree.add("TABS-1", "TABS", above)
    for tab_number, tab in enumerate(tabs, start=1):
        name = f"TAB-{tab_number}"
        tree.add(
            name,
            "TAB",
            [*above, "TABS-1"],
            meta={"text": tab.title, "defaultText": "Tab", "placeholder": "Tab"},
        )
        for number, row in enumerate(tab.rows, start=1):
            tree.row(f"ROW-{tab_number}-{number}", row, [*above, "TABS-1", name])
    return tree.nodes


def numbered(position: dict[str, Any], places: list[Place]) -> dict[int, Chart]:
    """The charts by the number that the position tree gives them; an import puts its own in its place."""
    charts = {str(item.uuid): item.chart for item in places}
    return {
        node["meta"]["chartId"]: charts[node["meta"]["uuid"]]
        for node in position.values()
        if isinstance(node, dict) and node["type"] == "CHART"
    }


class _Tree:
    """The nodes by id; a node that is added becomes its last parent's child."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self._charts = 0

    def add(
        self,
        name: str,
        kind: str,
        parents: list[str],
        meta: dict[str, Any] | None = None,
        children: list[str] | None = None,
    ) -> None:
        node: dict[str, Any] = {"id": name, "type": kind, "children": children or []}
        if parents:
            node["parents"] = parents
            if name not in self.nodes[parents[-1]]["children"]:
                self.nodes[parents[-1]]["children"].append(name)
        if meta:
            node["meta"] = meta
        self.nodes[name] = node

    def row(self, name: str, items: Row, parents: list[str]) -> None:
        self.add(name, "ROW", parents, meta={"background": "BACKGROUND_TRANSPARENT"})
        for number, item in enumerate(items, start=1):
            size = {"width": item.width, "height": item.height}
            if isinstance(item, Text):
                meta = {"code": item.markdown, **size}
                self.add(
                    f"MARKDOWN-{name.removeprefix('ROW-')}-{number}", "MARKDOWN", [*parents, name], meta=meta
                )
                continue
            self._charts += 1
            meta = {"uuid": str(item.uuid), "chartId": self._charts, "sliceName": item.chart.title, **size}
            self.add(f"CHART-{str(item.uuid)[:8]}", "CHART", [*parents, name], meta=meta)


def header_place(chart: Chart, uuid: UUID) -> Place:
    """The row that says what the figures below are of."""
    return Place(chart, uuid, _WIDTH, int(chart.stated.get("height", _HEADER_HEIGHT)))


def native_filter(
    name: str,
    stated: dict[str, Any],
    dataset: Dataset,
    uuid: UUID,
    above: list[str],
    charts: dict[int, Chart],
) -> dict[str, Any]:
    """One entry of a dashboard's filter bar; `above` are the filters that narrow its choice.

    It is not sent to charts (by number) whose data set has no such column: Superset would ignore it, but ask
    them anew with each choice, and never keep an answer whose filters were all ignored.

    `filters.yml`: `title`, `column` and `from` (the data set whose values are
    offered), `single` (one value at a time), `required` (begins with the first value; money of two
    currencies must not be added up), `largest` (a metric: the values stand in its order, largest first).
    """
    column = stated["column"]
    if column not in dataset.columns:
        raise DefinitionError(f"filters.yml: {name}: {dataset.file} has no column {column}.")
    if (largest := stated.get("largest")) and largest not in dataset.metrics:
        raise DefinitionError(f"filters.yml: {name}: {dataset.file} has no metric {largest}.")
    required = bool(stated.get("required"))
    return {
        "id": f"NATIVE_FILTER-{name}",
        "name": stated["title"],
        "type": "NATIVE_FILTER",
        "filterType": "filter_select",
        "targets": [{"column": {"name": column}, "datasetUuid": str(uuid)}],
        "requiredFirst": required,
        "controlValues": {
            "multiSelect": not stated.get("single", False),
            "enableEmptyFilter": required,
            "defaultToFirstItem": required,
            "inverseSelection": False,
            "searchAllOptions": bool(stated.get("search", False)),
            "sortAscending": not (stated.get("descending", False) or largest),
            **({"sortMetric": largest} if largest else {}),
        },
        "sortMetric": largest,
        "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
        "scope": {
            "rootPath": ["ROOT_ID"],
            "excluded": [number for number, chart in charts.items() if column not in chart.dataset.columns],
        },
        "cascadeParentIds": [f"NATIVE_FILTER-{parent}" for parent in above],
        "description": stated.get("description", ""),
    }


def metadata(look: Look, filters: list[dict[str, Any]], alone: set[str]) -> dict[str, Any]:
    """What a dashboard needs besides its position: filters, cross-filters, colours by meaning.

    `alone` are the metrics that are drawn without another beside them: what happened, unless `look.yml`
    says more.
    """
    return {
        "native_filter_configuration": filters,
        "filter_bar_orientation": "HORIZONTAL",
        "cross_filters_enabled": True,
        "chart_configuration": {},
        "global_chart_configuration": {
            "scope": {"rootPath": ["ROOT_ID"], "excluded": []},
            "chartsInScope": [],
        },
        "color_scheme": SCHEME,
        "label_colors": dict.fromkeys(sorted(alone), look.colours["actual"]) | look.label_colours(),
        "shared_label_colors": [],
        "refresh_frequency": 0,
        "timed_refresh_immune_slices": [],
        "expanded_slices": {},
        "default_filters": "{}",
    }
