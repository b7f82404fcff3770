"""The asset bundle that Superset imports, built from the YAML of this folder and the dbt project's
descriptions.

A pure function of files: no server, no warehouse, no clock. Every id is uuid5 of a name, so that the same
YAML is the same
bundle on every machine, an import finds what it imported before, and whatever git no longer has can be told
apart.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import yaml

from nightledger_superset import charts, layout
from nightledger_superset.charts import Chart
from nightledger_superset.datasets import Dataset, DefinitionError, read_dataset, read_yaml
from nightledger_superset.described import Relation, relations
from nightledger_superset.look import Look, read_look

HEADER = "about_publication"  # the data set behind the first row of every dashboard
DATABASE = "Nightledger"
_QUERY_KEYS = ("title", "description")
_LOOKS = {
    *("bottom_margin", "color_scheme", "column_config", "conditional_formatting", "currency_format"),
    *("header_font_size", "left_margin", "legendOrientation", "legendType", "linear_color_scheme"),
    *("markerEnabled", "opacity", "page_length", "show_legend", "show_value", "subheader_font_size"),
    *("include_search", "label_type", "server_page_length", "subtitle", "subtitle_font_size"),
    *("value_bounds", "x_axis_time_format", "xAxisLabelRotation", "x_axis_title_margin", "y_axis_format"),
    *("allow_render_html", "color_by_primary_axis", "x_axis_title", "y_axis_title", "y_axis_title_margin"),
    *("number_format", "xAxisFormat", "tooltipSizeFormat"),
}


@dataclass(frozen=True)
class DashboardInfo:
    """What the import and the access rules must know about a dashboard; `charts` are uuids by `slug/key`."""

    uuid: UUID
    title: str
    roles: list[str]
    charts: dict[str, UUID]


@dataclass(frozen=True)
class DatasetInfo:
    """What they must know about a data set; `shared` is empty where its rows belong to clients
    (`client_id`).
    """

    uuid: UUID
    title: str
    reads: frozenset[str]
    shared: str


@dataclass(frozen=True)
class Bundle:
    """Superset's own form (`files`: path in the bundle to YAML) and what is in it, by name."""

    files: dict[str, str]
    dashboards: dict[str, DashboardInfo]
    datasets: dict[str, DatasetInfo]
    charts: dict[str, UUID]
    queries: dict[str, UUID]
    database: UUID
    stale_contexts: list[str]

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, an import would change something."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()


def build(folder: Path, project: Path, database_uri: str) -> Bundle:
    """The bundle of this `superset/` folder on this dbt project, for the database under this SQLAlchemy URI.

    Raises:
        DefinitionError: A file says something that cannot be; the message names file and key. Where several
        charts read a
            column that is no more, it names all of them.
    """
    described = relations(project)
    look = _naming_features(read_look(folder), described)
    datasets = _datasets(folder, described, look)
    contexts = json.loads(path.read_text()) if (path := folder / "query_contexts.json").exists() else {}
    filters = read_yaml(
        folder / "filters.yml", set(yaml.safe_load((folder / "filters.yml").read_text()) or {})
    )
    css = path.read_text() if (path := folder / "pages.css").exists() else ""
    maker = _Maker(look, datasets, filters, contexts, _roles_told(folder), css)
    problems: list[str] = []
    for path in sorted((folder / "dashboards").glob("*.yml")):
        try:
            maker.dashboard(path)
        except DefinitionError as error:
            problems.append(str(error))
    if problems:
        raise DefinitionError("\n".join(problems))
    queries = {path.stem: maker.query(path) for path in sorted((folder / "queries").glob("*.sql"))}
    for dataset in datasets.values():
        maker.write(f"datasets/{dataset.name}.yaml", _dataset_yaml(dataset, look))
    maker.write("databases/nightledger.yaml", _database_yaml(database_uri))
    maker.write(
        "metadata.yaml", {"version": "1.0.0", "type": "assets", "timestamp": "2026-01-01T00:00:00+00:00"}
    )
    return Bundle(
        files=maker.files,
        dashboards=maker.dashboards,
        datasets={
            name: DatasetInfo(uuid_of("dataset", name), dataset.title, dataset.reads, dataset.shared)
            for name, dataset in datasets.items()
        },
        charts=maker.charts,
        queries=queries,
        database=uuid_of("database", DATABASE),
        stale_contexts=maker.stale,
    )


def uuid_of(kind: str, name: str) -> UUID:
    """The id of an asset: the same on every machine, forever."""
    return uuid5(NAMESPACE_URL, f"nightledger:{kind}:{name}")


def params_digest(params: dict[str, Any]) -> str:
    """Tells whether a harvested query is of these parameters; what only changes the looks does not count."""
    asked = {name: value for name, value in params.items() if name not in _LOOKS}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def listing(bundle: Bundle) -> dict[str, Any]:
    """What the browser's commands must know: charts with uuid and digest of their parameters, dashboards
    in order.
    """
    return {
        "charts": {
            name: {
                "uuid": str(uuid),
                "digest": params_digest(
                    yaml.safe_load(bundle.files[f"charts/{name.replace('/', '.', 1)}.yaml"])["params"]
                ),
            }
            for name, uuid in bundle.charts.items()
        },
        "dashboards": list(bundle.dashboards),
    }


def _datasets(folder: Path, described: dict[str, Relation], look: Look) -> dict[str, Dataset]:
    """Every data set; a failure also names the charts that read it."""
    found: dict[str, Dataset] = {}
    problems = []
    for path in sorted((folder / "datasets").glob("*.yml")):
        try:
            found[path.stem] = read_dataset(path, described, look)
        except DefinitionError as error:
            problems.append(f"{error} {_readers(folder, path.stem)}")
    if problems:
        raise DefinitionError("\n".join(problems))
    return found


def _naming_features(look: Look, described: dict[str, Relation]) -> Look:
    """The look with what dbt calls each feature among its words."""
    features = {
        column.name: column.label[:1].upper() + column.label[1:]
        for relation in described.values()
        for column in relation.columns.values()
        if column.label
    }
    return replace(look, words={**look.words, "features": features})


def _readers(folder: Path, dataset: str) -> str:
    readers = [
        f"{path.name}: {item['key']}"
        for path in sorted((folder / "dashboards").glob("*.yml"))
        for tab in _tabs(yaml.safe_load(path.read_text()))
        for row in tab.get("rows", [])
        for item in row
        if item.get("dataset") == dataset
    ]
    return f"Read by {'; '.join(readers)}." if readers else "No chart reads it."


def _roles_told(folder: Path) -> str:
    """The roles as a table in Markdown, for texts that say `{{ roles }}`."""
    path = folder / "roles.yml"
    roles = yaml.safe_load(path.read_text())["roles"] if path.exists() else {}
    lines = [
        f"| {name} | {role['description']} | {', '.join(role.get('can', [])).replace('_', ' ')} "
        f"| {'one for each client, too' if role.get('per_client') else 'all clients'} |"
        for name, role in roles.items()
    ]
    return "\n".join(["| Role | Who | May | Sees |", "|---|---|---|---|", *lines])


def _tabs(stated: dict[str, Any]) -> list[dict[str, Any]]:
    return stated["tabs"] if "tabs" in stated else [{"title": "", "rows": stated.get("rows", [])}]


class _Maker:
    """Makes charts and dashboards one after the other and collects the files."""

    def __init__(
        self,
        look: Look,
        datasets: dict[str, Dataset],
        filters: dict[str, Any],
        contexts: dict[str, Any],
        roles: str,
        css: str,
    ) -> None:
        self.look, self.datasets, self.filters, self.contexts = look, datasets, filters, contexts
        self.roles, self.css = roles, css
        self.files: dict[str, str] = {}
        self.dashboards: dict[str, DashboardInfo] = {}
        self.charts: dict[str, UUID] = {}
        self.stale: list[str] = []
        self.header = self._header() if HEADER in datasets else None

    def write(self, path: str, content: dict[str, Any]) -> None:
        self.files[path] = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)

    def dashboard(self, path: Path) -> None:
        stated = read_yaml(path, layout.KEYS)
        for key in ("title", "slug", "description", "roles"):
            if not stated.get(key):
                raise DefinitionError(f"{path.name}: {key} is missing.")
        slug = stated["slug"]
        if slug in self.dashboards:
            raise DefinitionError(f"{path.name}: slug: {slug} is another dashboard's.")
        problems: list[str] = []
        tabs = []
        for tab in _tabs(stated):
            rows: list[layout.Row] = []
            for row in tab["rows"]:
                made: layout.Row = []
                for item in row:
                    try:
                        if "text" in item:
                            item = {**item, "text": item["text"].replace("{{ roles }}", self.roles)}
                            made.append(layout.text(item, path.name))
                        else:
                            made.append(self._chart(path, slug, item))
                    except DefinitionError as error:
                        problems.append(str(error))
                rows.append(made)
            tabs.append(layout.Tab(tab.get("title", ""), rows))
        if problems:
            raise DefinitionError("\n".join(problems))
        layout.check(path.name, tabs)
        header = self.header
        if header and "header" in stated:  # pages of all clients have a row of each
            header = replace(header, height=int(stated["header"]))
        places = [item for tab in tabs for row in tab.rows for item in row if isinstance(item, layout.Place)]
        own = {f"{slug}/{item.chart.key}": item.uuid for item in places}
        alone = {
            item.chart.listed("metrics")[0]
            for item in places
            if len(item.chart.listed("metrics")) == 1 and not item.chart.listed("by")
        }
        position = layout.position(stated["title"], tabs, header)
        numbered = layout.numbered(position, [*([header] if header else []), *places])
        self.dashboards[slug] = DashboardInfo(
            uuid_of("dashboard", slug), stated["title"], stated["roles"], own
        )
        content = {
            "dashboard_title": stated["title"],
            "description": stated["description"],
            "css": self.css,
            "slug": slug,
            "uuid": str(uuid_of("dashboard", slug)),
            "published": True,
            "position": position,
            "metadata": layout.metadata(self.look, self._filters(path, stated, numbered), alone),
            "version": "1.0.0",
        }
        self.write(f"dashboards/{slug}.yaml", content)

    def query(self, path: Path) -> UUID:
        """A saved query: `-- title: …`, `-- description: …`, then SQL."""
        lines = path.read_text().splitlines()
        said = dict(
            line.removeprefix("-- ").split(": ", 1)
            for line in lines
            if line.startswith(("-- title", "-- desc"))
        )
        if missing := [key for key in _QUERY_KEYS if key not in said]:
            raise DefinitionError(f"{path.name}: the line `-- {missing[0]}: …` is missing.")
        content = {
            "schema": "marts",
            "label": said["title"],
            "description": said["description"],
            "sql": "\n".join(line for line in lines if not line.startswith(("-- title", "-- desc"))).strip()
            + "\n",
            "uuid": str(uuid_of("query", path.stem)),
            "version": "1.0.0",
            "database_uuid": str(uuid_of("database", DATABASE)),
        }
        self.write(f"queries/{path.stem}.yaml", content)
        return uuid_of("query", path.stem)

    def _header(self) -> layout.Place:
        data = self.datasets[HEADER]
        stated = {
            "kind": "table",
            "columns": [name for name in data.columns if name != "client_id"],
            "sort": ["client_name"],
            "limit": 50,
        }
        title = "What the figures below are of"
        description = (
            "Data through which day, from which publication, what its audit said, which sources were late."
        )
        chart = Chart(f"datasets/{data.file}: header", "header", title, "table", data, description, stated)
        return layout.header_place(chart, self._write_chart("all", chart))

    def _chart(self, path: Path, slug: str, stated: dict[str, Any]) -> layout.Place:
        where = f"{path.name}: {stated.get('key', stated.get('title', 'a chart without key'))}"
        for key in ("key", "title", "kind", "dataset", "description"):
            if not stated.get(key):
                raise DefinitionError(f"{where}: {key} is missing.")
        if unknown := set(stated) - charts.KEYS:
            raise DefinitionError(f"{where}: unknown key {sorted(unknown)[0]}.")
        if stated["dataset"] not in self.datasets:
            raise DefinitionError(f"{where}: dataset: there is no datasets/{stated['dataset']}.yml.")
        chart = Chart(
            where,
            stated["key"],
            stated["title"],
            stated["kind"],
            self.datasets[stated["dataset"]],
            stated["description"],
            stated,
        )
        if f"{slug}/{chart.key}" in self.charts:
            raise DefinitionError(f"{where}: key: another chart of this dashboard has it.")
        return layout.place(chart, self._write_chart(slug, chart))

    def _write_chart(self, slug: str, chart: Chart) -> UUID:
        charts.check(chart)
        params = charts.params(chart, self.look)
        name = f"{slug}/{chart.key}"
        uuid = uuid_of("chart", name)
        context = self.contexts.get(name)
        if context and context["params"] != params_digest(params):
            self.stale.append(name)
            context = None
        content = {
            "slice_name": chart.title,
            "description": chart.description,
            "viz_type": params["viz_type"],
            "params": params,
            "query_context": json.dumps(context["query_context"]) if context else None,
            "cache_timeout": None,
            "uuid": str(uuid),
            "version": "1.0.0",
            "dataset_uuid": str(uuid_of("dataset", chart.dataset.name)),
        }
        self.charts[name] = uuid
        self.write(f"charts/{slug}.{chart.key}.yaml", content)
        return uuid

    def _filters(
        self, path: Path, stated: dict[str, Any], numbered: dict[int, Chart]
    ) -> list[dict[str, Any]]:
        names = stated.get("filters", [])
        made = []
        for name in names:
            if name not in self.filters:
                raise DefinitionError(f"{path.name}: filters: filters.yml has no {name}.")
            filter_ = self.filters[name]
            source = filter_.get("from", "")
            if source not in self.datasets:
                raise DefinitionError(f"filters.yml: {name}: from: there is no datasets/{source}.yml.")
            above = [parent for parent in filter_.get("within", []) if parent in names]
            made.append(
                layout.native_filter(
                    name, filter_, self.datasets[source], uuid_of("dataset", source), above, numbered
                )
            )
        return made


def _dataset_yaml(dataset: Dataset, look: Look) -> dict[str, Any]:
    has_currency = "currency" in dataset.columns

    def currency(unit: str) -> dict[str, str] | None:
        wanted = unit and look.units[unit].get("currency") and has_currency
        return {"symbol": "AUTO", "symbolPosition": "prefix"} if wanted else None

    return {
        "table_name": dataset.name,
        "main_dttm_col": dataset.time or None,
        "currency_code_column": "currency" if has_currency else None,
        "description": dataset.description,
        "schema": dataset.schema,
        "sql": dataset.sql or None,
        "filter_select_enabled": True,
        "uuid": str(uuid_of("dataset", dataset.name)),
        "version": "1.0.0",
        "database_uuid": str(uuid_of("database", DATABASE)),
        "columns": [
            {
                "column_name": column.name,
                "verbose_name": column.label,
                "type": "VARCHAR" if column.type == "boolean" else column.type.upper(),  # yes or no
                "is_dttm": column.is_time,
                "groupby": True,
                "filterable": True,
                "description": column.description,
                "expression": column.expression,
            }
            for column in dataset.columns.values()
        ],
        "metrics": [
            {
                "metric_name": metric.name,
                "verbose_name": metric.label,
                "expression": metric.sql,
                "description": metric.description,
                "d3format": look.units[metric.unit]["format"],
                "currency": currency(metric.unit),
            }
            for metric in dataset.metrics.values()
        ],
    }


def _database_yaml(uri: str) -> dict[str, Any]:
    return {
        "database_name": DATABASE,
        "sqlalchemy_uri": uri,
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "allow_file_upload": False,
        "extra": {"allows_virtual_table_explore": True},
        "uuid": str(uuid_of("database", DATABASE)),
        "version": "1.0.0",
    }
