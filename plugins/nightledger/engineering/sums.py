"""What the figures of a mart are the sum of: how its YAML says it, and the rows behind one of its cells.

The model's `meta.sums_of` names the rows, the columns by which they are grouped, their condition and their
period. A column's `meta.sums` is what is summed there, `meta.counts` the column of which different values are
counted. A figure that is no sum of rows says in `meta.instead` what to trace in its place.
"""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from nightledger.engineering.comparing import quoted
from nightledger.engineering.lineage import TraceError, relation

UNITS = ("day", "week", "month")


@dataclass(frozen=True)
class Figure:
    """A number and the rows that it is the sum of.

    `source` and `condition` are SQL with `parameters`; `measure` is what each row adds. A row of the source
    is a version of a transaction. `published` is the cell of the mart; None when the figure was asked for by
    its measure, so that no mart needs to hold it.
    """

    title: str
    mart: str
    model: str
    source: str
    measure: str
    condition: str
    parameters: dict[str, Any]
    published: Decimal | None = None
    is_cell: bool = False

    @property
    def rows(self) -> str:
        """Its rows as SQL with its parameters: transaction_key, version, and `counted`, what each adds."""
        return (
            f"select transaction_key, version, {self.measure} as counted"  # noqa: S608 - see above
            f" from {self.source} where {self.condition}"
        )

    @property
    def total(self) -> str:
        """SQL for the number of its rows and their sum."""
        return f"select count(*), coalesce(sum(counted), 0) from ({self.rows})"  # noqa: S608 - see `rows`


def traced(manifest: Mapping[str, Any], model: str) -> dict[str, dict[str, Any]]:
    """How each figure of a mart comes about, by column; none where its YAML does not say."""
    node = _node(manifest, model)
    common = (node["config"].get("meta") or {}).get("sums_of") or {}
    return {
        name: {**common, **meta}
        for name, meta in _metas(node).items()
        if common and ("sums" in meta or "counts" in meta)
    }


def spec_of(manifest: Mapping[str, Any], model: str, column: str) -> dict[str, Any]:
    """How one figure of a mart comes about.

    Raises:
        TraceError: its YAML does not say; names what to trace instead.
    """
    specs = traced(manifest, model)
    if column in specs:
        return specs[column]
    instead = _metas(_node(manifest, model)).get(column, {}).get("instead")
    if instead:
        raise TraceError(f"{model}.{column} is no sum of rows. Instead: {instead}")
    told = f" It says so of {', '.join(specs)}." if specs else ""
    raise TraceError(f"{model} does not say of {column} what it is the sum of (meta.sums).{told}")


def key_of(spec: Mapping[str, Any]) -> list[str]:
    """Columns that name a row of the mart, but for its date."""
    among = spec.get("among", {}).get("by", ())
    return list(dict.fromkeys((*spec["by"], *among, *(("level", "entity") if "levels" in spec else ()))))


def _node(manifest: Mapping[str, Any], model: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["name"] == model
    )
    return found


def _metas(node: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: (column.get("config") or {}).get("meta") or {} for name, column in node["columns"].items()}


def of_row(
    manifest: Mapping[str, Any], model: str, column: str, spec: Mapping[str, Any], row: Mapping[str, Any]
) -> Figure:
    """The figure in one column of one row of a mart.

    Args:
        manifest: of the publication.
        model: name of the mart.
        column: of the mart.
        spec: of the column, from `traced`.
        row: by column.

    Raises:
        TraceError: the YAML says something that nobody understands.
    """
    conditions = [f"({spec.get('where', 'true')})"]
    parameters: dict[str, Any] = {}
    for number, name in enumerate(spec["by"]):
        conditions.append(f"{quoted(name)} is not distinct from $by{number}")
        parameters[f"by{number}"] = row[name]
    if "among" in spec:
        # Only rows of those that another model puts into the mart's row, such as the members of a cohort.
        among = spec["among"]
        same = " and ".join(
            f"{quoted(name)} is not distinct from $among{n}" for n, name in enumerate(among["by"])
        )
        conditions.append(
            f"{quoted(among['column'])} in (select {quoted(among['column'])}"  # noqa: S608 - quoted names
            f" from {relation(manifest, among['model'])} where {same})"
        )
        parameters |= {f"among{n}": row[name] for n, name in enumerate(among["by"])}
    if "levels" in spec:
        # What `entity` is, is another column on each level of an aggregate.
        level = spec["levels"].get(row["level"])
        if level is None:
            raise TraceError(f"the YAML of {model} does not say what its level {row['level']} is")
        conditions.append(f"{level} is not distinct from $entity")
        parameters["entity"] = row["entity"]
    first, last = _bounds(model, column, spec, row)
    if first is not None:
        conditions.append("business_date >= $first")
        parameters["first"] = first
    if last is not None:
        conditions.append("business_date <= $last")
        parameters["last"] = last
    words = ", ".join(f"{name} {row[name]}" for name in key_of(spec))
    value = row[column]
    return Figure(
        title=f"{model}.{column} of {words}",
        mart=relation(manifest, model).replace('"', ""),
        model=spec["rows"],
        source=relation(manifest, spec["rows"]),
        measure=f"cast({_measure(spec)} as decimal(18, 4))",
        condition=" and ".join(conditions),
        parameters=parameters,
        published=None if value is None else Decimal(str(value)),
        is_cell=True,
    )


def _measure(spec: Mapping[str, Any]) -> str:
    """What a row adds; in a count of different values the first row of each adds 1, the others nothing."""
    if "counts" not in spec:
        return str(spec["sums"])
    order = f"partition by {quoted(spec['counts'])} order by business_date, transaction_key, version"
    return f"case when row_number() over ({order}) = 1 then 1 else 0 end"


def _bounds(
    model: str, column: str, spec: Mapping[str, Any], row: Mapping[str, Any]
) -> tuple[date | None, date | None]:
    """First and last business date of a row's figure: the days up to a date, or a calendar period."""
    if "period" in spec:
        first = row[spec["period"]["column"]]
        unit = spec["period"]["unit"]
        if unit not in UNITS or not isinstance(first, date):
            raise TraceError(f"the YAML of {model}.{column} has a period that is none of {', '.join(UNITS)}")
        if unit == "month":
            return first, first.replace(day=calendar.monthrange(first.year, first.month)[1])
        return first, first + timedelta(days=6 if unit == "week" else 0)
    if "until" in spec:
        last = row[spec["until"]]
        return (last - timedelta(days=spec["days"] - 1) if "days" in spec else None), last
    return None, None
