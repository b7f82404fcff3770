"""What the browser asks for each chart, as it was harvested (`make harvest-superset`)."""

import json
from pathlib import Path

from nightledger_superset.build import build, listing, params_digest

PROJECT = Path(__file__).resolve().parents[2]
CONTEXTS = json.loads((PROJECT / "superset" / "query_contexts.json").read_text())


def test_every_chart_has_the_query_of_its_parameters() -> None:
    """Catches a chart changed after its query was harvested: warming and reports would show the old one."""
    bundle = build(PROJECT / "superset", PROJECT / "dbt_project", "duckdb:///warehouse.duckdb")
    wanted = {name: chart["digest"] for name, chart in listing(bundle)["charts"].items()}
    harvested = {name: told["params"] for name, told in CONTEXTS.items()}
    stale = sorted(name for name, digest in wanted.items() if harvested.get(name) != digest)
    assert stale == [], "`make superset && make harvest-superset` asks the browser again"
    assert harvested.keys() == wanted.keys()


def test_no_query_remembers_a_page_or_a_server() -> None:
    """Catches a harvest that keeps the page's client: every report would be of that client only."""
    for name, told in CONTEXTS.items():
        context = told["query_context"]
        assert context["datasource"]["id"] == 0, name
        filters = [one for query in context["queries"] for one in query["filters"]]
        chosen = [one["val"] for one in filters if one["col"] == "client_id"]
        assert all(value == "" for value in chosen), name


def test_looks_need_no_new_harvest_and_everything_else_does() -> None:
    """Catches a digest that forgets what changes the query, or asks for a harvest after every new colour."""
    chart = {"viz_type": "table", "all_columns": ["a"], "row_limit": 10, "color_scheme": "one"}
    assert params_digest(chart) == params_digest({**chart, "color_scheme": "other", "show_legend": True})
    others = {"all_columns": ["b"], "row_limit": 11, "adhoc_filters": [1], "viz_type": "pie"}
    for name, value in others.items():
        assert params_digest(chart) != params_digest({**chart, name: value}), name
