"""One whole `dbt build` of a selector, by dbt's own runner, on the open night's warehouse."""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nightledger import operations, warehouse
from nightledger.dbt import scope
from nightledger.dbt.project import DbtFailed, DbtProject
from nightledger.settings import Settings

log = logging.getLogger(__name__)

BROKEN = ("error", "skipped", "runtime error")
WHOLE_TABLES = "whole tables"
"""What a build says of its tests when they did not stop at what the night touches."""


class TestsFailed(RuntimeError):
    """A dbt test found rows that must not be there; trying again cannot help."""

    __test__ = False  # not a test class, whatever its name begins with


def build(
    settings: Settings,
    run_id: str,
    selector: str,
    build_path: Path,
    *,
    resume: bool,
    full_tests: bool = True,
) -> dict[str, Any]:
    """Build the nodes of a selector and test them.

    Args:
        settings: of the installation.
        run_id: the night; results are kept under it.
        selector: a name in `dbt_project/selectors.yml`.
        build_path: the stable path of the open build, `builds/open`.
        resume: take up only the nodes that broke in the last try of this selector, if there are any.
        full_tests: test whole tables; otherwise the days and dates that the night touches, unless a
            definition has changed, which touches everything.

    Returns:
        Counts by status, and the seconds of the slowest nodes.

    Raises:
        TestsFailed: names each failing test, its model and the number of rows.
        DbtFailed: names each node that broke with dbt's message.
    """
    project = DbtProject(settings, build_path)
    manifest, target = project.manifest, project.target
    changed = changed_definitions(build_path, manifest, settings)
    previous = build_path / f"run_results_{selector}.json"
    is_retry = resume and previous.exists() and _broken(previous)
    if is_retry:
        state = build_path / "retry"
        state.mkdir(exist_ok=True)
        shutil.copy(previous, state / "run_results.json")
        result = project.run("retry", "--state", str(state))
    else:
        chosen, words = set(project.nodes_of(selector)), list[str]()
        if changed:
            words = ["--full-refresh"]
        elif not full_tests:
            chosen -= _standing(build_path, manifest, settings)
            words = ["--vars", json.dumps({"full_tests": False})]
        result = project.run_nodes("build", chosen, *words)
    if not (target / "run_results.json").exists():
        raise DbtFailed(f"dbt ended {selector} without results: {result.exception}")
    nodes = _nodes(target / "run_results.json", build_path, settings)
    _keep_results(target / "run_results.json", previous, is_retry=is_retry)
    operations.record_nodes(settings, run_id, selector, nodes)
    _log_table(nodes)
    _raise_for(nodes, selector)
    _remember_definitions(build_path, manifest, selector, settings)
    counts: dict[str, Any] = {}
    for node in nodes:
        counts[node["status"]] = counts.get(node["status"], 0) + 1
    return {
        "selector": selector,
        "nodes": counts,
        "tests": WHOLE_TABLES if changed or full_tests else "what the night touched",
        "rebuilt": sorted(changed & {n["unique_id"] for n in nodes}),
    }


def _broken(path: Path) -> bool:
    """Whether `dbt retry` can help: nodes broke, and no test failed, whose model has to be built again."""
    statuses = {row["status"] for row in _results(path)}
    return bool(statuses & set(BROKEN)) and "fail" not in statuses


def _keep_results(new: Path, kept: Path, *, is_retry: bool) -> None:
    """Keep a build's results; of a retry, beside those of earlier tries: the newest word on a node counts."""
    content = json.loads(new.read_text())
    if is_retry:
        again = {row["unique_id"] for row in content["results"]}
        earlier = json.loads(kept.read_text())
        earlier["results"] = [row for row in earlier["results"] if row["unique_id"] not in again]
        earlier["results"] += content["results"]
        content = earlier
    temporary = kept.with_suffix(".part")
    temporary.write_text(json.dumps(content))
    temporary.replace(kept)


def definition_of(unique_id: str, manifest: Mapping[str, Any]) -> str:
    """Hash of everything in the project that decides what a model's rows are: its SQL, columns and macros,
    and those of all models and seeds that it reads, up to those that keep versions of their rows."""
    seen: dict[str, str] = {}
    queue = [unique_id]
    while queue:
        name = queue.pop()
        node = manifest["nodes"].get(name) or manifest["macros"].get(name)
        if name in seen or node is None or node.get("package_name") == "dbt":
            continue
        columns = {
            key: [column.get("data_type"), column.get("config")]
            for key, column in node.get("columns", {}).items()
        }
        text = node.get("macro_sql") or json.dumps([node.get("checksum"), columns], sort_keys=True)
        seen[name] = hashlib.sha256(text.encode()).hexdigest()
        if node.get("config", {}).get("full_refresh") is False:
            continue  # it keeps versions: what changes behind it opens new ones, and touches their days
        depends = node.get("depends_on", {})
        queue += depends.get("nodes", []) + depends.get("macros", [])
    return hashlib.sha256(json.dumps(sorted(seen.items())).encode()).hexdigest()


def _incremental(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {
        unique_id: definition_of(unique_id, manifest)
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model"
        and node["config"]["materialized"] == "incremental"
        and node["config"].get("full_refresh") is not False
    }


def changed_definitions(build_path: Path, manifest: Mapping[str, Any], settings: Settings) -> set[str]:
    """Incremental models whose definition is not the one their rows were built with: rebuilt whole."""
    with warehouse.connect(build_path, read_only=False, settings=settings) as connection:
        connection.execute(
            "create table if not exists ops.definitions"
            " (unique_id varchar primary key, definition_hash varchar)"
        )
        known = dict(connection.execute("select unique_id, definition_hash from ops.definitions").fetchall())
        present = {(schema, name) for schema, name, _ in warehouse.relations(connection)}
    # A model that is there without a known definition was no incremental one when its rows were built.
    there = {
        unique_id
        for unique_id in _incremental(manifest)
        if (manifest["nodes"][unique_id]["schema"], manifest["nodes"][unique_id]["alias"]) in present
    }
    return {
        name
        for name, value in _incremental(manifest).items()
        if known.get(name, "" if name in there else value) != value
    }


def _standing(build_path: Path, manifest: Mapping[str, Any], settings: Settings) -> set[str]:
    """Nodes that need not be built again; see `nightledger.dbt.scope`."""
    with warehouse.connect(build_path, settings=settings) as connection:
        known = dict(connection.execute("select unique_id, definition_hash from ops.definitions").fetchall())
        present = {(schema, name) for schema, name, _ in warehouse.relations(connection)}
    return scope.standing(manifest, lambda name: definition_of(name, manifest), known, present)


def _remember_definitions(
    build_path: Path, manifest: Mapping[str, Any], selector: str, settings: Settings
) -> None:
    """Keep what the models and seeds of a selector were built with."""
    built = (row["unique_id"] for row in _results(build_path / f"run_results_{selector}.json"))
    known = {name: definition_of(name, manifest) for name in built if name.startswith(("model.", "seed."))}
    with warehouse.connect(build_path, read_only=False, settings=settings) as connection:
        connection.execute(
            "insert or replace into ops.definitions select unnest(?), unnest(?)",  # one commit for all
            [list(known), list(known.values())],
        )


def _results(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text())["results"]
    return rows


def _nodes(path: Path, build_path: Path, settings: Settings) -> list[dict[str, Any]]:
    with warehouse.connect(build_path, settings=settings) as connection:
        sizes = {
            f'"warehouse"."{schema}"."{name}"': rows
            for schema, name, rows in connection.execute(
                "select schema_name, table_name, estimated_size from duckdb_tables()"
                " where database_name = 'warehouse'"
            ).fetchall()
        }
    return [
        {
            "unique_id": row["unique_id"],
            "status": row["status"],
            "seconds": round(row["execution_time"], 3),
            "rows": row["failures"] if row["failures"] is not None else sizes.get(row["relation_name"]),
            "message": (row["message"] or "").strip(),
        }
        for row in _results(path)
    ]


def _log_table(nodes: list[dict[str, Any]]) -> None:
    width = max((len(node["unique_id"]) for node in nodes), default=0)
    for node in nodes:
        rows = "" if node["rows"] is None else f"{node['rows']:,}"
        log.info(
            "%-9s %7.2f s %12s  %s", node["status"], node["seconds"], rows, node["unique_id"].ljust(width)
        )


def _raise_for(nodes: list[dict[str, Any]], selector: str) -> None:
    failed = [node for node in nodes if node["status"] == "fail"]
    broken = [node for node in nodes if node["status"] in ("error", "runtime error")]
    if broken:
        lines = "\n".join(f"- {node['unique_id']}: {node['message']}" for node in broken)
        raise DbtFailed(f"{len(broken)} nodes of {selector} broke:\n{lines}")
    if failed:
        lines = "\n".join(f"- {node['unique_id']}: {node['rows']} rows. {node['message']}" for node in failed)
        raise TestsFailed(
            f"{len(failed)} tests of {selector} failed, so nothing is published:\n{lines}\n"
            "Each test's SQL lies under builds/open/target/compiled; readers still see the last publication."
        )
