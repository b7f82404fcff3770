"""Writes `docs/reference/features.md` from the columns of the feature tables, which define each feature."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from nightledger.settings import SettingsError, read_settings

DEFINITIONS = Path("dbt_project/models/features")
PAGE = Path("docs/reference/features.md")
GROUPS = ("recency", "monetary", "frequency", "behavioural", "temporal", "trend", "category")
TRANSACTION_GROUPS = ("context", "pattern", "basic")
COUNTED = ("features_customers", "features_transactions")
"""The tables of the 75; what others hold is counted apart."""
ABOUT_GROUPS = """\
Older descriptions of this product name two pattern features among ten transaction features, and groups that
add up to eight. Pattern is four here: the time since the previous transaction, the transactions of 24 hours,
their spend beside the usual one, and how unusual the amount is. With four of context and two basic ones they
are ten.
"""


@dataclass(frozen=True)
class Definition:
    """A feature as its column in the dbt project defines it."""

    model: str
    name: str
    description: str
    entity: str
    group: str
    unit: str
    window: str
    null_rule: str
    why_no_leak: str
    allowed_in: tuple[str, ...]


def read_definitions(folder: Path) -> list[Definition]:
    """All features of a folder's dbt YAML files: the columns whose meta names a group."""
    return [
        Definition(
            model=model["name"],
            name=column["name"],
            description=_line(column["description"]),
            allowed_in=tuple(meta["allowed_in"]),
            **{
                key: _line(meta[key])
                for key in ("entity", "group", "unit", "window", "null_rule", "why_no_leak")
            },
        )
        for path in sorted(folder.glob("*__models.yml"))
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
    yield f"Written by `make reference` from the YAML of `{DEFINITIONS}`, the only place"
    yield "where a feature is defined; models read the same definitions from the manifest. Windows of n days"
    yield "end on the as-of date."
    counted = [definition for definition in definitions if definition.model in COUNTED]
    for entity, groups in (("customer", GROUPS), ("transaction", TRANSACTION_GROUPS)):
        of_entity = [definition for definition in counted if definition.entity == entity]
        if not of_entity:
            continue
        yield ""
        yield f"## {len(of_entity)} of a {entity}"
        yield from _counts(of_entity, groups)
        if entity == "transaction":
            yield ""
            yield from ABOUT_GROUPS.splitlines()
        yield from _groups(of_entity, groups, entity)
    further = [definition for definition in definitions if definition.model not in COUNTED]
    if further:
        yield ""
        yield f"## Counted apart: {len(further)} more"
        yield ""
        yield f"Beside the {len(counted)} above, for the models that need them."
    for model in dict.fromkeys(one.model for one in further):
        of_model = [definition for definition in further if definition.model == model]
        found = tuple(dict.fromkeys(one.group for one in of_model))
        yield ""
        yield f"## `{model}`: {len(of_model)} of a {of_model[0].entity}"
        yield from _counts(of_model, found)
        yield from _groups(of_model, found, model)


def _counts(definitions: list[Definition], groups: tuple[str, ...]) -> Iterator[str]:
    counts = {group: sum(one.group == group for one in definitions) for group in groups}
    yield ""
    yield ", ".join(f"{group} {count}" for group, count in counts.items()) + "."


def _groups(definitions: list[Definition], groups: tuple[str, ...], whose: str) -> Iterator[str]:
    for group in groups:
        yield from _group(group, [one for one in definitions if one.group == group])
    yield ""
    yield f"### Why they cannot leak ({whose})"
    yield ""
    for reason, names in _reasons(definitions).items():
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
    parser = argparse.ArgumentParser(prog="nightledger.dbt.reference", description=__doc__)
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
