"""The bundle, built from the committed YAML alone: no server, no warehouse."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from nightledger_superset.build import Bundle, build, params_digest
from nightledger_superset.datasets import Column, DefinitionError, read_dataset
from nightledger_superset.described import relations
from nightledger_superset.look import read_look, themes

PROJECT = Path(__file__).resolve().parents[2]
SUPERSET, DBT = PROJECT / "superset", PROJECT / "dbt_project"
URI = "duckdb:///warehouse.duckdb"

DATASET = {
    "title": "Months",
    "metrics": {"active": {"sql": "sum(active_customers)", "unit": "count"}},
}
CHART = {
    "key": "active",
    "title": "Active",
    "kind": "line",
    "dataset": "mart_portfolio",
    "metrics": "active",
    "x": "month_start",
    "description": "Who is active.",
}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return build(SUPERSET, DBT, URI)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with one data set, one dashboard and one chart."""
    folder = tmp_path / "superset"
    for name in ("datasets", "dashboards", "queries"):
        (folder / name).mkdir(parents=True)
    shutil.copy(SUPERSET / "look.yml", folder)
    (folder / "filters.yml").write_text("{}")
    (folder / "datasets" / "mart_portfolio.yml").write_text(yaml.safe_dump(DATASET))
    write(folder, [[CHART]])
    return folder


def write(folder: Path, rows: list[list[dict[str, Any]]], **more: object) -> None:
    stated = {
        "title": "Page",
        "slug": "page",
        "description": "A page.",
        "roles": ["Analyst"],
        "rows": rows,
        **more,
    }
    (folder / "dashboards" / "01_page.yml").write_text(yaml.safe_dump(stated))


def test_every_dashboard_has_its_charts_and_every_chart_its_data_set(bundle: Bundle) -> None:
    """A dashboard that places a chart which is not in the bundle, or a chart on a data set that is not:
    both import.
    """
    files = {path: yaml.safe_load(text) for path, text in bundle.files.items()}
    charts = {content["uuid"]: content for path, content in files.items() if path.startswith("charts/")}
    datasets = {content["uuid"]: content for path, content in files.items() if path.startswith("datasets/")}
    assert len(bundle.dashboards) >= 14
    for slug, dashboard in bundle.dashboards.items():
        placed = {
            node["meta"]["uuid"]
            for node in files[f"dashboards/{slug}.yaml"]["position"].values()
            if isinstance(node, dict) and node["type"] == "CHART"
        }
        assert {str(uuid) for uuid in dashboard.charts.values()} <= placed <= set(charts), slug
        header = str(bundle.charts["all/header"])
        assert header in placed, f"{slug} does not say what it is of"
        assert charts[header]["slice_name"] in files[f"dashboards/{slug}.yaml"]["css"], slug
        for filter_ in files[f"dashboards/{slug}.yaml"]["metadata"]["native_filter_configuration"]:
            for target in filter_["targets"]:
                columns = {column["column_name"] for column in datasets[target["datasetUuid"]]["columns"]}
                assert target["column"]["name"] in columns, filter_["id"]
    for chart in charts.values():
        assert chart["dataset_uuid"] in datasets
        assert chart["description"], chart["slice_name"]


def test_every_data_set_can_be_confined_to_a_client(bundle: Bundle) -> None:
    """A data set without client_id that nobody declared: row-level security would fail or, worse, not
    apply.
    """
    for name, dataset in bundle.datasets.items():
        columns = {
            column["column_name"]
            for column in yaml.safe_load(bundle.files[f"datasets/{name}.yaml"])["columns"]
        }
        assert ("client_id" in columns) or dataset.shared, name


def test_the_same_yaml_is_the_same_bundle(small: Path) -> None:
    """An id or an order that changes from run to run: each import would make everything anew and lose its
    links.
    """
    first, second = build(small, DBT, URI), build(small, DBT, URI)
    assert first.fingerprint == second.fingerprint
    write(small, [[{**CHART, "title": "Other"}]])
    third = build(small, DBT, URI)
    assert third.fingerprint != first.fingerprint
    assert third.charts == first.charts


def test_a_rename_in_dbt_names_the_charts_that_it_breaks(tmp_path: Path) -> None:
    """A column that dbt renames and that a virtual data set, a metric or a chart still reads: people would
    find out.
    """
    project = tmp_path / "dbt_project"
    shutil.copytree(DBT / "models", project / "models", ignore=shutil.ignore_patterns("*.sql"))
    shutil.copytree(DBT / "seeds", project / "seeds", ignore=shutil.ignore_patterns("*.csv"))
    shutil.copy(DBT / "dbt_project.yml", project)
    for path in project.glob("models/marts/*.yml"):
        path.write_text(path.read_text().replace("name: churn_score,", "name: leave_score,"))
    with pytest.raises(DefinitionError) as raised:
        build(SUPERSET, project, URI)
    said = str(raised.value)
    assert "churn_score" in said
    assert "03_churn.yml: distribution" in said  # by the physical data set
    assert "02_customers.yml: customers" in said  # by the query that reads it


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": "no_such"}, "x: mart_portfolio.yml has no column no_such"),
        ({"metrics": "no_such"}, "metrics: mart_portfolio.yml has no metric no_such"),
        ({"only": {"no_such": 1}}, "no column no_such"),
        ({"where": "no_such > 1"}, "where: mart_portfolio.yml has no column no_such"),
        ({"kind": "cake"}, "unknown kind cake"),
        ({"colour": "red"}, "unknown key colour"),
        ({"description": ""}, "description is missing"),
        ({"dataset": "no_such"}, "there is no datasets/no_such.yml"),
        ({"width": 13}, "row 1 is wider than 12"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_key(small: Path, change: dict[str, Any], words: str) -> None:
    """A typing error that becomes a chart with an error, or is silently ignored."""
    write(small, [[{**CHART, **change}]])
    with pytest.raises(DefinitionError, match=r"01_page\.yml") as raised:
        build(small, DBT, URI)
    assert words in str(raised.value)


def test_a_ninth_chart_on_a_tab_is_refused(small: Path) -> None:
    """A page that nobody can take in, and that takes ten seconds to open."""
    write(small, [[{**CHART, "key": f"c{number}"}] for number in range(9)])
    with pytest.raises(DefinitionError, match="9 charts; at most 8"):
        build(small, DBT, URI)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"sql": "select client_id, no_such from marts.mart_portfolio"}, "no_such"),
        ({"sql": "select client_id from marts.no_such"}, "dbt describes no relation marts.no_such"),
        ({"sql": "select month_start from marts.mart_portfolio"}, "there is no client_id"),
        ({"sql": "select client_id from marts.mart_portfolio", "time": "client_id"}, "is no date or time"),
        (
            {
                "sql": "select client_id from marts.mart_portfolio",
                "metrics": {"m": {"sql": "sum(spend)", "unit": "money"}},
            },
            "there is no column spend",
        ),
        (
            {
                "sql": "select client_id from marts.mart_portfolio",
                "metrics": {"m": {"sql": "count(*)", "unit": "acres"}},
            },
            "unknown unit acres",
        ),
        (
            {"sql": "select client_id from marts.mart_portfolio", "columns": {"client_id": {"label": True}}},
            "is no text",
        ),
    ],
)
def test_a_data_set_that_cannot_be_is_refused(tmp_path: Path, stated: dict[str, Any], words: str) -> None:
    """SQL over what is not there, or rows that no rule can confine to a client."""
    path = tmp_path / "wrong.yml"
    path.write_text(yaml.safe_dump(stated))
    with pytest.raises(DefinitionError, match=r"wrong\.yml") as raised:
        read_dataset(path, relations(DBT), read_look(SUPERSET))
    assert words in str(raised.value)


def test_a_harvested_query_is_of_these_parameters_or_left_out(small: Path) -> None:
    """A chart that was changed and answers with the query of before: its API and its page would tell two
    things.
    """
    params = yaml.safe_load(build(small, DBT, URI).files["charts/page.active.yaml"])["params"]
    harvested = {"page/active": {"params": params_digest(params), "query_context": {"queries": [1]}}}
    (small / "query_contexts.json").write_text(json.dumps(harvested))
    fresh = build(small, DBT, URI)
    assert json.loads(yaml.safe_load(fresh.files["charts/page.active.yaml"])["query_context"]) == {
        "queries": [1]
    }
    assert fresh.stale_contexts == []
    write(small, [[{**CHART, "grain": "P1W"}]])
    stale = build(small, DBT, URI)
    assert yaml.safe_load(stale.files["charts/page.active.yaml"])["query_context"] is None
    assert stale.stale_contexts == ["page/active"]


def test_saved_queries_read_what_dbt_describes(tmp_path: Path, bundle: Bundle) -> None:
    """A saved query over a column that was renamed: it fails the first time that somebody needs it."""
    assert bundle.queries
    for name in bundle.queries:
        path = tmp_path / f"{name}.yml"
        path.write_text(yaml.safe_dump({"sql": (SUPERSET / "queries" / f"{name}.sql").read_text()}))
        read_dataset(path, relations(DBT), read_look(SUPERSET))


def test_codes_are_said_in_words(small: Path) -> None:
    """SQL that says a code in other words than what `only` asks for: the chart would find nothing."""
    words = {"emi_loans": "Loan instalments", "car": "A customer's car"}
    column = Column("category", "varchar", "Category", "", "", words)
    codes = ["emi_loans", "car", "home_improvement", "keep_customer.2026-04", "", None]
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select category, {column.expression} from (select unnest(?) as category)", [codes]
        ).fetchall()
    assert rows == [(code, column.in_words(code)) for code in codes]
    assert [said for _, said in rows[:4]] == [*words.values(), "Home improvement", "Keep customer, 2026-04"]
    write(small, [[{**CHART, "only": {"client_id": "demo_bank"}}]])
    stated = {**DATASET, "columns": {"client_id": {"words": "categories"}}}
    (small / "datasets" / "mart_portfolio.yml").write_text(yaml.safe_dump(stated))
    asked = yaml.safe_load(build(small, DBT, URI).files["charts/page.active.yaml"])["params"]["adhoc_filters"]
    assert [one["comparator"] for one in asked if one["subject"] == "client_id"] == ["Demo bank"]
    told = Column("is_complete", "boolean", "Complete", "", "")
    with duckdb.connect() as connection:
        truths = connection.execute(
            f"select is_complete, {told.expression} from (select unnest([true, false, null]) as is_complete)"
        ).fetchall()
    assert truths == [(truth, told.in_words(truth)) for truth in (True, False, None)]
    assert [said for _, said in truths] == ["yes", "no", None]


def test_a_category_has_its_own_colour_on_every_page() -> None:
    """Catches a category that was given other words: its colour would be left behind."""
    look = read_look(SUPERSET)
    colours = look.label_colours()
    spent = Column("category", "varchar", "Category", "", "", look.words["categories"])
    assert {code: colours[spent.in_words(code)] for code in look.categories} == look.categories
    assert set(look.words["categories"]) <= set(look.categories)


def test_colours_can_be_told_from_both_backgrounds() -> None:
    """A colour by meaning that is lost on the dark or the light page, or words that are lost on a colour.

    WCAG asks for 3:1 of graphics and 4.5:1 of words.
    """
    look = read_look(SUPERSET)

    def brightness(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for meaning, colour in look.colours.items():
        for shade in ("light", "dark"):
            pair = sorted([brightness(colour), brightness(look.theme[shade]["surface"])])
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3, (meaning, shade)
    for colour in look.others:
        pair = sorted([brightness(colour), brightness(look.theme["on_colour"])])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, colour  # words, on a field of it
    light, dark = themes(look)
    assert light["token"].keys() == dark["token"].keys()


def test_no_data_set_of_clients_reads_facts_of_the_whole_platform(bundle: Bundle) -> None:
    """The rules of rows hold within SQL too: who is of one client would get no row of these."""
    stated = {
        name: yaml.safe_load((SUPERSET / "datasets" / f"{name}.yml").read_text()) for name in bundle.datasets
    }
    whole = {said["relation"] for said in stated.values() if said.get("shared") and "relation" in said}
    for name, info in bundle.datasets.items():
        assert info.shared or not whole & set(info.reads), name
