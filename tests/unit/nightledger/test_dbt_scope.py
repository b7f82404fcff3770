"""What a night need not build again, and what it must."""

from typing import Any

import pytest

from nightledger.dbt import scope


def view(name: str, sql: str = "select 1", **config: Any) -> dict[str, Any]:
    return {
        "resource_type": "model",
        "schema": "staging",
        "alias": name,
        "raw_code": sql,
        "config": {"materialized": "view", "pre-hook": [], "post-hook": [], **config},
        "depends_on": {"nodes": [], "macros": ["macro.wraps"] if "wraps(" in sql else []},
    }


def seed(name: str, hashed: str = "sha256") -> dict[str, Any]:
    node = view(name) | {"resource_type": "seed", "checksum": {"name": hashed}}
    return node | {"config": {"materialized": "seed"}}


def reading(*nodes: str) -> dict[str, Any]:
    return view("test") | {"resource_type": "test", "depends_on": {"nodes": list(nodes), "macros": []}}


MACROS = {
    "macro.wraps": {"package_name": "bank", "macro_sql": "", "depends_on": {"macros": ["macro.asks"]}},
    "macro.asks": {"package_name": "bank", "macro_sql": "flags.FULL_REFRESH", "depends_on": {"macros": []}},
}


def standing(nodes: dict[str, Any], known: dict[str, str] | None = None) -> set[str]:
    """Of nodes whose definition is `now`, those that stand."""
    found = known if known is not None else dict.fromkeys(nodes, "now")
    present = {(node["schema"], node["alias"]) for name, node in nodes.items() if not name.startswith("gone")}
    return scope.standing({"nodes": nodes, "macros": MACROS}, lambda _: "now", found, present)


def test_what_is_defined_as_before_stands():
    """Catches a night that makes every view and seed again."""
    nodes = {"a": view("a"), "b": seed("b")}
    assert standing(nodes) == {"a", "b"}


def test_what_is_defined_otherwise_or_unknown_or_gone_is_built():
    """Catches a changed view that readers never get to see."""
    nodes = {"a": view("a"), "b": view("b"), "gone": view("gone")}
    assert standing(nodes, {"a": "before", "gone": "now"}) == set()


@pytest.mark.parametrize(
    "node",
    [
        view("v", materialized="table"),
        view("v", **{"post-hook": ["insert into t select 1"]}),
        view("v", **{"pre-hook": ["delete from t"]}),
        view("v", "select 1 {% if not flags.FULL_REFRESH %} where is_tonight {% endif %}"),
        view("v", "select {{ var('days') }}"),
        view("v", "select {{ wraps() }}"),
        view("v", "select * from {{ adapter.get_relation('a', 'b', 'c') }}"),
        seed("v", hashed="path"),
    ],
    ids=["table", "post-hook", "pre-hook", "flag", "var", "macro of a macro", "relation", "seed by path"],
)
def test_what_building_does_or_decides_is_built_every_night(node):
    """Catches tonight's dates left at those of a full refresh, and days that a hook no longer touches."""
    assert standing({"v": node}) == set()


def test_only_tests_of_standing_seeds_are_left_out():
    """Catches tests of data that are skipped because the code has not changed."""
    nodes = {"seed": seed("seed"), "view": view("view"), "of_seed": reading("seed")}
    nodes |= {"of_view": reading("view"), "of_both": reading("seed", "view"), "of_nothing": reading()}
    assert standing(nodes) == {"seed", "view", "of_seed"}
