"""Who may import whom, as in ARCHITECTURE: data and knowledge flow one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
OURS = ("dags", "ml", "nightledger", "simulation")
WITH_AIRFLOW = {
    "plugins/nightledger_plugin.py",
    "plugins/nightledger/airflow/approval.py",
    "plugins/nightledger/airflow/auth.py",
    "plugins/nightledger/airflow/deadline.py",
    "plugins/nightledger/airflow/notifiers.py",
    "plugins/nightledger/airflow/people.py",
    "plugins/nightledger/pages/access.py",
    "plugins/nightledger/airflow/tasks.py",
}
ML_MAY_READ = {
    "nightledger.clients",
    "nightledger.drift_reports",  # where they lie
    "nightledger.exports",  # how a cell of a CSV is written
    "nightledger.model_files",  # which models the YAML files describe
    "nightledger.revision",
    "nightledger.settings",
    "nightledger.warehouse",
}


def files_of(folder: str) -> list[Path]:
    return sorted((PROJECT / folder).rglob("*.py"))


def modules_imported_by(path: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, inside functions too; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages_imported_by(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in modules_imported_by(path)}


def test_the_rules_see_the_files():
    """Catches rules that hold because the folders they name have moved."""
    for folder in ("dags", "plugins/nightledger", "ml", "simulation"):
        assert files_of(folder), folder


@pytest.mark.parametrize("folder", ["plugins", "ml", "simulation", "tests"])
def test_nothing_imports_from_dags(folder):
    """Catches logic that grows in a DAG file, where nothing else can use or test it."""
    assert [path for path in files_of(folder) if "dags" in packages_imported_by(path)] == []


@pytest.mark.parametrize("folder", ["plugins", "ml", "simulation"])
def test_only_the_thin_files_import_airflow(folder):
    """Catches a library that can no longer be used, tested or moved without Airflow."""
    importing = {
        path.relative_to(PROJECT).as_posix()
        for path in files_of(folder)
        if "airflow" in packages_imported_by(path)
    }
    assert importing <= WITH_AIRFLOW


def test_the_library_never_imports_a_model():
    """Catches a circle between the platform and the models that run on it."""
    assert [path for path in files_of("plugins") if "ml" in packages_imported_by(path)] == []


def test_a_model_meets_the_platform_at_the_warehouse_only():
    """Catches a model that reaches into ingestion or the night."""
    for path in files_of("ml"):
        names = {name for name in modules_imported_by(path) if name.startswith("nightledger")}
        assert {".".join(name.split(".")[:2]) for name in names} <= ML_MAY_READ, path


def test_the_simulated_bank_imports_nothing_of_ours():
    """Catches a bank that knows the platform, whose files would then prove nothing."""
    for path in files_of("simulation"):
        assert packages_imported_by(path) & set(OURS) <= {"simulation"}, path


@pytest.mark.parametrize("path", files_of("dags"), ids=lambda path: path.stem)
def test_a_dag_file_imports_only_airflow_and_the_library_at_its_top(path):
    """Catches a heavy or unknown import that every parse pays for."""
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top}
    assert {name.partition(".")[0] for name in names} <= {
        "airflow",
        "datetime",
        "functools",
        "nightledger",
        "typing",
    }
