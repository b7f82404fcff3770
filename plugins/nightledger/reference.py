"""Writes `docs/reference/features.md` from the columns of the feature tables, which define each feature."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from nightledger.settings import SettingsError, read_settings

DEFINITIONS = Path("dbt_project/models/features/_features__models.yml")
PAGE = Path("docs/reference/features.md")
GROUPS = ("recency", "monetary", "frequency", "behavioural", "temporal", "trend", "category")
TRANSACTION_GROUPS = ("context", "pattern", "basic")
ABOUT_GROUPS = """\
Older descriptions of this product name two pattern features among ten transaction features, and groups that
add up to eight. Pattern is four here: the time since the previous transaction, the transactions of 24 hours,
their spend beside the usual one, and how unusual the amount is. With four of context and two basic ones they
are ten.
"""


@dataclass(frozen=True)
class Definition:
    """A feature as its column in the dbt project defines it."""

    name: str
    description: str
    entity: str
    group: str
    unit: str
    window: str
    null_rule: str
    why_no_leak: str
    allowed_in: tuple[str, ...]


def read_definitions(path: Path) -> list[Definition]:
    """All features of a dbt YAML file: the columns whose meta names a group."""
    return [
        Definition(
            name=column["name"],
            description=_line(column["description"]),
            allowed_in=tuple(meta["allowed_in"]),
            **{
                key: _line(meta[key])
                for key in ("entity", "group", "unit", "window", "null_rule", "why_no_leak")
            },
        )
        for model in yaml.safe_load(path.read_text())["models"]
        for column in model.get("columns", [])
        if "group" in (meta := column.get("config", {}).get("meta", {}))
    ]


def _line(text: str) -> str:
    return " ".join(str(text).split())


def render(definitions: list[Definition]) -> str:
    """The whole page."""
    return "\n".join(_lines(definitions)) + "\n"


def _lines(definitions: list[Definition]) -> Iterator[str]:
    yield "# Features"
    yield ""
    yield f"Written by `make reference` from `{DEFINITIONS}`, the only place"
    yield "where a feature is defined; models read the same definitions from the manifest. Windows of n days"
    yield "end on the as-of date."
    for entity, groups in (("customer", GROUPS), ("transaction", TRANSACTION_GROUPS)):
        of_entity = [definition for definition in definitions if definition.entity == entity]
        if not of_entity:
            continue
        counts = {group: sum(one.group == group for one in of_entity) for group in groups}
        yield ""
        yield f"## {len(of_entity)} of a {entity}"
        yield ""
        yield ", ".join(f"{group} {count}" for group, count in counts.items()) + "."
        if entity == "transaction":
            yield ""
            yield from ABOUT_GROUPS.splitlines()
        for group in groups:
            yield from _group(group, [one for one in of_entity if one.group == group])
        yield ""
        yield f"### Why they cannot leak ({entity})"
        yield ""
        for reason, names in _reasons(of_entity).items():
            yield f"- {reason} *{names}*"


def _group(group: str, definitions: list[Definition]) -> Iterator[str]:
    yield ""
    yield f"### {group.capitalize()}"
    yield ""
    yield "| feature | meaning | unit | window | missing | allowed in |"
    yield "|---|---|---|---|---|---|"
    for one in definitions:
        cells = (one.description, one.unit, one.window, one.null_rule, ", ".join(one.allowed_in))
        yield f"| `{one.name}` | " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _reasons(definitions: list[Definition]) -> dict[str, str]:
    """Features by the reason why they cannot leak; the commonest reason stands for all the others."""
    named: dict[str, list[str]] = {}
    for one in definitions:
        named.setdefault(one.why_no_leak, []).append(one.name)
    commonest = max(named, key=lambda reason: len(named[reason]))
    return {
        reason: "All others." if reason == commonest and len(named) > 1 else _listed(names, len(definitions))
        for reason, names in sorted(named.items(), key=lambda item: item[0] == commonest)
    }


def _listed(names: list[str], count: int) -> str:
    return "All of them." if len(names) == count else ", ".join(names)


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="nightledger.reference", description=__doc__)
    parser.parse_args()
    try:
        project = read_settings().project
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    definitions = read_definitions(project / DEFINITIONS)
    (project / PAGE).write_text(render(definitions))
    sys.stdout.write(f"{PAGE}: {len(definitions)} features\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
