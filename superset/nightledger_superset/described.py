"""What the dbt project promises: every described relation with its columns, types and descriptions.

Read from the project's YAML, not from a compiled manifest: the promise stands in git (enforced
contracts), and reading it needs neither dbt nor a warehouse.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

# The C one reads the whole project in a quarter of a second.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DOCS = re.compile(r"{%-?\s*docs\s+(\w+)\s*-?%}(.*?){%-?\s*enddocs\s*-?%}", re.DOTALL)
_DOC = re.compile(r"""{{\s*doc\(["'](\w+)["']\)\s*}}""")


@dataclass(frozen=True)
class Column:
    """A column as the project describes it; `type` is lower case, and empty where only dbt's sources know
    it. `label` is what a feature is called, and empty for all else.
    """

    name: str
    type: str
    description: str
    label: str = ""


@dataclass(frozen=True)
class Relation:
    """A published table or view, and its columns by name in their order."""

    schema: str
    name: str
    description: str
    columns: dict[str, Column]


@cache
def relations(project: Path) -> dict[str, Relation]:
    """Every model, seed and source of the dbt project in this folder, by `schema.name`."""
    settings = _read(project / "dbt_project.yml")
    docs = {
        name: _one_line(text)
        for path in sorted(project.glob("models/**/*.md"))
        for name, text in _DOCS.findall(path.read_text())
    }
    found: dict[str, Relation] = {}
    for path in sorted([*project.glob("models/**/*.yml"), *project.glob("seeds/*.yml")]):
        content = _read(path)
        kind = path.relative_to(project).parts[0]
        for model in [*content.get("models", []), *content.get("seeds", [])]:
            folders = list(path.relative_to(project / kind).parts[:-1])
            schema = _schema(settings[kind][settings["name"]], [*folders, model["name"]])
            schema = model.get("config", {}).get("schema", schema)
            found[f"{schema}.{model['name']}"] = _relation(schema, model, docs)
        for source in content.get("sources", []):
            schema = source.get("schema", source["name"])
            for table in source["tables"]:
                found[f"{schema}.{table['name']}"] = _relation(schema, table, docs)
    return found


def _relation(schema: str, stated: dict[str, Any], docs: dict[str, str]) -> Relation:
    def said(text: str) -> str:
        return _one_line(_DOC.sub(lambda match: docs[match[1]], text))

    types = stated.get("config", {}).get("column_types", {})
    columns = {
        column["name"]: Column(
            column["name"],
            str(column.get("data_type", types.get(column["name"], ""))).lower(),
            said(column.get("description", "")),
            column.get("config", {}).get("meta", {}).get("label", ""),
        )
        for column in stated.get("columns", [])
    }
    return Relation(schema, stated["name"], said(stated.get("description", "")), columns)


def _schema(settings: dict[str, Any], path: list[str]) -> str:
    """The `+schema` of the deepest folder on the path that states one, as dbt decides it."""
    schema = str(settings.get("+schema", ""))
    for part in path:
        settings = settings.get(part) or {}
        schema = str(settings.get("+schema", schema))
    return schema


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _read(path: Path) -> dict[str, Any]:
    content = yaml.load(path.read_text(), Loader=_Loader) or {}  # noqa: S506 - a safe loader
    if not isinstance(content, dict):
        raise TypeError(f"{path} holds no mapping.")
    return content
