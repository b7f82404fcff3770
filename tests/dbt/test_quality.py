"""Gates on the dbt project as it is written: what readers are promised, and what keeps the SQL honest.

They read the manifest only, so they say within seconds what a new model still lacks.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from nightledger.dbt.project import DbtProject
from nightledger.settings import PROJECT, Settings
from tests.dbt.factory import DBT_PROJECT

READ_BY_OTHERS = re.compile(r"^(features_|dim_|fct_|agg_|mart_|metrics$)")
"""Models that ml, Superset and people read."""

BRANCHES = {
    "case": r"\bcase\b|\bif_known\s*\(",
    "window": r"\bover\s*[(a-z]|\bwindow\b\s+\w+\s+as\b",
    "dedup": r"\bqualify\b|\brow_number\b|\bselect\s+distinct\b",
}
"""Logic of which one row can go another way than the next: a unit test shows both ways."""

# DuckDB's own words. A dispatched macro may say them, nothing else may.
DUCKDB_ONLY = re.compile(
    r"\*\s*(?:exclude|replace|rename)\b|\bexclude\s*\(|\bcolumns\s*\(|\barg_(?:min|max)\b|\b(?:min|max)_by\b"
    r"|\blist(?:_\w+)?\s*\(|\bstruct_pack\b|\bentropy\b|\bmode\s*\(|\bquantile\w*|\bmedian\s*\(|\bmad\s*\("
    r"|\basof\b|\bby name\b|\bunnest\b|\b(?:group|order) by all\b|::|\bdistinct on\b|\bpositional join\b"
    r"|\bfirst\s*\(|\blast\s*\(|\bread_\w+\s*\(|\bstrptime\b|\bstrftime\b|\bepoch\w*\s*\(|\bgenerate_series\b"
    r"|\brange\s*\(|\bregexp_(?!extract\b)\w+|\bskewness\b|\bkurtosis\b|\bhash\s*\("
    r"|\btry_cast\b|\bilike\b|\bsimilar to\b|\bgetvariable\b|\bpivot\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The project as dbt parses it, without a warehouse."""
    home = tmp_path_factory.mktemp("parsed")
    return DbtProject(Settings(home=home, _env_file=None), home, ("--quiet", "--warn-error")).manifest


def refuse(found: Iterable[str]) -> None:
    """Fail and name all that was found, one a line."""
    names = sorted(found)
    assert not names, "\n" + "\n".join(names)


def models(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """All models of the project."""
    return [node for node in parsed["nodes"].values() if node["resource_type"] == "model"]


def read_by_others(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """Models of the layers that are read, and those that code of ml names."""
    named = names_in_ml()
    return [
        node
        for node in models(parsed)
        if READ_BY_OTHERS.match(node["name"]) or f"{node['schema']}.{node['name']}" in named
    ]


def names_in_ml() -> set[str]:
    """Relations that SQL in `ml/` reads."""
    schemas = r"\b(?:staging|intermediate|as_of|features|marts|ml)\.\w+"
    text = "".join(path.read_text() for path in (PROJECT / "ml").rglob("*.py"))
    return set(re.findall(rf"(?:from|join)\s+({schemas})", text))


def without_comments(sql: str) -> str:
    """SQL without comments, Jinja statements, and expressions."""
    return re.sub(r"--[^\n]*|\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|'(?:[^']|'')*'", " ", sql, flags=re.DOTALL)


def test_what_others_read_has_an_enforced_contract(parsed: dict[str, Any]) -> None:
    """A column that changes its name or type between two nights, and a dashboard that finds out."""
    refuse(node["name"] for node in read_by_others(parsed) if not node["config"]["contract"]["enforced"])


def test_what_others_read_is_described_whole(parsed: dict[str, Any]) -> None:
    """A column that nobody can look up. A contract lists every column, so all of them are seen here."""
    missing = [
        f"{node['name']}.{name}"
        for node in read_by_others(parsed)
        for name, column in node["columns"].items()
        if len(column["description"].strip()) < 3
    ]
    empty = [node["name"] for node in read_by_others(parsed) if not node["columns"]]
    refuse([*missing, *empty])


def test_what_others_read_says_who_reads_it(parsed: dict[str, Any]) -> None:
    """A model that is changed because nobody seems to use it."""
    exposed = {name for exposure in parsed["exposures"].values() for name in exposure["depends_on"]["nodes"]}
    refuse(node["name"] for node in read_by_others(parsed) if node["unique_id"] not in exposed)


def test_each_model_says_what_a_row_is(parsed: dict[str, Any]) -> None:
    """A join on half a key, because the grain stood nowhere."""
    grain = re.compile(r"One row per [^.]+\.$")
    refuse(node["name"] for node in models(parsed) if not grain.search(node["description"].strip()))


def test_what_others_read_has_its_key_tested(parsed: dict[str, Any]) -> None:
    """A grain that is only promised."""
    kinds: dict[str, set[str]] = {}
    for test in parsed["nodes"].values():
        if test["resource_type"] == "test" and test.get("test_metadata") and test.get("attached_node"):
            kinds.setdefault(test["attached_node"], set()).add(test["test_metadata"]["name"])
    # A view of one model, row by row, has the key of what it shows.
    without = [
        node["name"]
        for node in read_by_others(parsed)
        if "primary_key" not in kinds.get(node["unique_id"], set())
    ]
    refuse(without)


def test_branching_logic_has_a_unit_test(parsed: dict[str, Any]) -> None:
    """A case, window or deduplication of which no example shows what it decides."""
    tested = {test["model"] for test in parsed["unit_tests"].values()}
    without = {}
    for node in models(parsed):
        sql = re.sub(r"--[^\n]*|\{#.*?#\}", " ", node["raw_code"], flags=re.DOTALL)
        kinds = [kind for kind, pattern in BRANCHES.items() if re.search(pattern, sql, re.IGNORECASE)]
        if kinds and node["name"] not in tested:
            without[node["name"]] = kinds
    refuse(f"{name}: {', '.join(kinds)}" for name, kinds in without.items())


def test_each_unit_test_says_what_it_shows(parsed: dict[str, Any]) -> None:
    """An example without a claim, which the next person changes until it passes."""
    refuse(test["name"] for test in parsed["unit_tests"].values() if not test["description"])


def test_each_macro_is_documented(parsed: dict[str, Any]) -> None:
    """A macro whose arguments have to be guessed. Variants of an engine are documented with the macro."""
    own = [macro for macro in parsed["macros"].values() if macro["package_name"] == "nightledger"]
    variants = re.compile(r"^(default|duckdb|spark)__|^test_|^materialization_")
    refuse(macro["name"] for macro in own if not variants.match(macro["name"]) and not macro["description"])


def test_the_sql_is_portable(parsed: dict[str, Any]) -> None:
    """DuckDB's own syntax outside a dispatched macro, which would keep the project from another engine."""
    files = [path for folder in ("models", "tests") for path in (DBT_PROJECT / folder).rglob("*.sql")]
    texts = {path.stem: path.read_text() for path in files}
    texts |= {
        macro["name"]: macro["macro_sql"]
        for macro in parsed["macros"].values()
        if macro["package_name"] == "nightledger" and not macro["name"].startswith(("duckdb__", "default__"))
    }
    found = {name: DUCKDB_ONLY.findall(without_comments(sql)) for name, sql in texts.items()}
    refuse(f"{name}: {', '.join(words)}" for name, words in found.items() if words)


def test_engine_words_stand_in_dispatched_macros_only(parsed: dict[str, Any]) -> None:
    """An engine's variant without the macro that chooses it, or without a form for other engines."""
    names = {m["name"] for m in parsed["macros"].values() if m["package_name"] == "nightledger"}
    variants = {name.removeprefix("duckdb__") for name in names if name.startswith("duckdb__")}
    refuse(name for name in variants if name not in names)
    refuse(name for name in variants if f"default__{name}" not in names)


def test_no_column_of_a_contract_is_double(parsed: dict[str, Any]) -> None:
    """A sum that differs in its last bits from run to run, and with it the content hash."""
    doubles = [
        f"{node['name']}.{name}"
        for node in models(parsed)
        for name, column in node["columns"].items()
        if (column["data_type"] or "").lower() in ("double", "real8", "float8")
    ]
    refuse(doubles)


def test_money_stands_in_decimals(parsed: dict[str, Any]) -> None:
    """An amount that is rounded because somebody declared it a float. Features are floats."""
    money = re.compile(r"_amount$|^amount$|^balance|_balance$|_spend$|_income$|^revenue|_revenue$")
    wrong = [
        f"{node['name']}.{name}"
        for node in read_by_others(parsed)
        if not node["name"].startswith("features_")
        for name, column in node["columns"].items()
        if money.search(name) and not (column["data_type"] or "").lower().startswith(("decimal", "boolean"))
    ]
    refuse(wrong)


@pytest.mark.parametrize("path", sorted((DBT_PROJECT / "models").rglob("*.sql")), ids=lambda path: path.stem)
def test_a_model_never_asks_the_clock_and_is_short(path: Path) -> None:
    """A model that gives another answer tomorrow, or one that nobody reads to its end."""
    sql = without_comments(path.read_text()).lower()
    assert not re.search(r"\bnow\s*\(|\bcurrent_(date|timestamp)\b|\btoday\s*\(|\brandom\s*\(", sql)
    assert len(path.read_text().splitlines()) <= 200, "split it by idea"


def test_each_reference_is_known_before_anything_is_built(parsed: dict[str, Any]) -> None:
    """A reference in a branch of Jinja that only a second night takes, which then cannot compile."""
    missing = []
    for node in models(parsed):
        known = {name.rsplit(".", 1)[-1] for name in node["depends_on"]["nodes"]}
        named = set(re.findall(r"\bref\(\s*['\"](\w+)['\"]", node["raw_code"]))
        missing += [f"{node['name']}: say `-- depends_on` for {name}" for name in sorted(named - known)]
    refuse(missing)


def test_large_tables_are_tested_in_a_nights_scope(parsed: dict[str, Any]) -> None:
    """A table that grows every night and whose tests read it whole every night."""
    refuse(
        node["name"]
        for node in models(parsed)
        if node["config"]["materialized"] == "incremental"
        and set(node["columns"]) & {"business_date", "as_of_date", "week_start", "month_start"}
        and not node["config"]["meta"].get("night_scope")
    )
