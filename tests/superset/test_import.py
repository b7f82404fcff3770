"""What git says comes into Superset: once, wholly, and out again when git drops it."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TABLES = {
    "dbs": "uuid database_name sqlalchemy_uri extra",
    "tables": "uuid table_name schema sql description params",
    "table_columns": "table_id column_name type verbose_name groupby filterable",
    "sql_metrics": "table_id metric_name expression d3format verbose_name",
    "slices": "uuid slice_name viz_type params query_context datasource_id",
    "dashboards": "uuid dashboard_title slug position_json json_metadata published",
    "dashboard_slices": "dashboard_id slice_id",
    "dashboard_roles": "dashboard_id role_id",
    "saved_query": "uuid label sql",
    "ab_role": "id name",
    "ab_permission_view_role": "permission_view_id role_id",
    "row_level_security_filters": "name filter_type clause group_key",
    "rls_filter_tables": "table_id rls_filter_id",
    "rls_filter_roles": "role_id rls_filter_id",
    "report_schedule": "name type crontab active",
}


def content(app: Any) -> dict[str, list[Any]]:
    """All that an import may touch, without when it did."""
    with app.app_context():
        from superset import db

        return {
            table: sorted(
                map(str, db.session.execute(f"select {', '.join(columns.split())} from {table}").fetchall())
            )
            for table, columns in TABLES.items()
        }


@contextmanager
def brought_in(app: Any, bundle: Any) -> Iterator[None]:
    """Superset with another bundle for a while."""
    from nightledger_superset import access, assets

    with app.app_context():
        assets.bring_in(bundle)
        access.apply(bundle)
    try:
        yield
    finally:
        from nightledger_superset.assets import read_bundle

        with app.app_context():
            assets.bring_in(read_bundle())
            access.apply(read_bundle())


def test_importing_twice_changes_nothing(app: Any, bundle: Any) -> None:
    """Catches ids, orders or rules that a second import writes anew."""
    from nightledger_superset import preparing
    from nightledger_superset.settings import Settings

    before = content(app)
    assert before["slices"]
    assert before["rls_filter_tables"]
    settings = Settings.from_environment()
    assert not preparing.prepare(settings, lambda _: None)
    assert preparing.prepare(settings, lambda _: None, force=True)
    assert content(app) == before


def test_what_git_drops_disappears(app: Any, bundle: Any, ids: dict[str, dict[str, int]]) -> None:
    """Catches a chart that somebody deleted and that people still see; and what people made going with it."""
    slug = next(iter(bundle.dashboards))
    chart = next(name for name in bundle.charts if not name.startswith("all/"))
    before = content(app)
    with app.app_context():
        from superset.models.dashboard import Dashboard
        from superset.models.slice import Slice

        from superset import db

        made = {"slice_name": "made in the browser", "viz_type": "table", "params": "{}"}
        dataset = next(iter(ids["datasets"].values()))
        db.session.add(Slice(**made, datasource_type="table", datasource_id=dataset))
        db.session.add(Dashboard(dashboard_title="made in the browser", slug="by-hand"))
        db.session.commit()
    with brought_in(app, _without(bundle, chart, slug)):
        after = content(app)
        assert not any(bundle.charts[chart].hex in row.replace("-", "") for row in after["slices"])
        assert not any(f"'{slug}'" in row for row in after["dashboards"])
        assert any("made in the browser" in row for row in after["slices"])
        assert any("by-hand" in row for row in after["dashboards"])
    with app.app_context():
        from superset import db

        db.session.execute("delete from slices where slice_name = 'made in the browser'")
        db.session.execute("delete from dashboards where slug = 'by-hand'")
        db.session.commit()
    assert {name: len(rows) for name, rows in content(app).items()} == {
        n: len(rows) for n, rows in before.items()
    }


def _without(bundle: Any, chart: str, slug: str) -> Any:
    """The bundle of a git that has lost a chart, and the dashboard that showed it."""
    lost = [f"dashboards/{slug}.yaml", f"charts/{chart.replace('/', '.')}.yaml"]
    assert set(lost) <= bundle.files.keys()
    files = {path: text for path, text in bundle.files.items() if path not in lost}
    charts = {name: uuid for name, uuid in bundle.charts.items() if name != chart}
    dashboards = {name: info for name, info in bundle.dashboards.items() if name != slug}
    return dataclasses.replace(bundle, files=files, charts=charts, dashboards=dashboards)


def test_charts_are_numbered_anew_inside_their_queries(app: Any, ids: dict[str, dict[str, int]]) -> None:
    """Catches saved queries that point at data set 0, which warming and reports would fail on."""
    with app.app_context():
        from superset.models.slice import Slice

        from superset import db

        for chart in db.session.query(Slice).filter(Slice.id.in_(ids["charts"].values())):
            if chart.query_context:
                assert json.loads(chart.query_context)["datasource"]["id"] == chart.datasource_id


def test_a_filter_is_sent_to_the_charts_that_have_its_column(app: Any, bundle: Any) -> None:
    """Catches a chart that is asked past the cache for a filter it ignores, and one that misses a filter."""
    seen = set()
    with app.app_context():
        from superset.models.dashboard import Dashboard

        from superset import db

        for page in db.session.query(Dashboard).filter(Dashboard.slug.in_(bundle.dashboards)):
            for filter_ in json.loads(page.json_metadata)["native_filter_configuration"]:
                column = filter_["targets"][0]["column"]["name"]
                without = {
                    chart.id
                    for chart in page.slices
                    if column not in {each.column_name for each in chart.datasource.columns}
                }
                assert set(filter_["scope"]["excluded"]) == without, f"{page.slug}: {filter_['name']}"
                seen.add(bool(without))
    assert seen == {True, False}


def test_a_role_that_no_file_has_is_refused(app: Any, bundle: Any) -> None:
    """Catches a slip of the pen in a dashboard's roles, which would hide it from everybody."""
    from nightledger_superset import access
    from nightledger_superset.settings import SupersetError

    slug, info = next(iter(bundle.dashboards.items()))
    odd = dataclasses.replace(info, roles=["Analist"])
    with app.app_context(), pytest.raises(SupersetError, match=f"{slug}.*Analist"):
        access.apply(dataclasses.replace(bundle, dashboards={**bundle.dashboards, slug: odd}))


def test_clients_without_their_file_lose_their_roles(
    app: Any, bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches roles of a client that has left: whoever holds one would go on reading."""
    from nightledger_superset import access, roles

    real = roles.read_roles()
    (tmp_path / "demo_bank.yml").touch()
    (tmp_path / "new_bank.yml").touch()
    fewer = roles.read_roles(clients=tmp_path)
    assert {role.client for role in fewer} == {None, "demo_bank", "new_bank"}
    monkeypatch.setattr(roles, "read_roles", lambda: fewer)
    with app.app_context():
        access.apply(bundle)
    named = "\n".join(content(app)["ab_role"])
    assert "Analyst · new_bank" in named
    assert "Analyst · demo_wallet" not in named
    monkeypatch.setattr(roles, "read_roles", lambda: real)
    with app.app_context():
        access.apply(bundle)
    assert "Analyst · demo_wallet" in "\n".join(content(app)["ab_role"])
