"""What a version was trained on, bin by bin, and tonight's rows beside it: what drift is told by.

At training, `reference` counts the rows by client and feature in the deciles of the client's own training
rows; the registry keeps that beside the version as `profile.json`. Each night, `write` counts all scored rows
of the date in the same bins, by one statement a client over the file of vectors, and those of the same season
a year before. The indices come from the counts in SQL (`fct_drift`); docs/reference/drift.md says how.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml import stability
from ml.dates import register_dates
from ml.features import Feature
from ml.partitions import Pin, folder, partition
from ml.scores.config import UseCase
from ml.statements import chosen_sql, module_sql, vectors_sql
from nightledger import warehouse
from nightledger.settings import Settings

DOCUMENT = "profile.json"
"""Its name in the registry; a version that was trained before there was one has no drift."""
KIND = "profiles"
SCORE = "score"
"""Stands for a feature's name where the model's own scores are counted."""
EVERYBODY = ""
"""Client whose counts stand for one of whom nothing was trained on."""
MOST_CODES = 30
"""A text with more values is put into deciles of its codes."""
LEAST_OF_A_DAY = 30
"""Training days with fewer rows do not tell how far a day usually is from the others."""
USUAL_QUANTILE = 0.95
OF_ONE_DAY = 0.8
"""Share of each day's rows in one bin, another one from day to day, of a feature that tells the day."""

Counts = NDArray[np.int64]


def reference(
    rows: pa.Table,
    features: Sequence[str],
    texts: Mapping[str, Sequence[str]],
    scored: pa.Table,
    ages: Collection[str] = (),
) -> str:
    """Profile of a training, as JSON.

    Args:
        rows: the training rows: client_id, day and the features (FLOAT, null = missing).
        features: their names.
        texts: of each text among them, the values that have a code.
        scored: client_id, day and `score` of rows that nothing was fitted on.
        ages: features that time alone moves.

    Returns:
        `{client: {feature or "score": {"edges", "counts", "usual"}}}`; client "" stands for all. `edges` are
        the upper ends of all bins but the last, `counts` the rows of each bin, missing ones last. `usual`:
        what 95 % of the training days do not exceed, as the stability index of a day against the other days,
        less what chance alone would give; null of what is to move: `ages`, and features that tell the day and
        not the row, since nearly all rows of a day lie in one bin.
    """
    found: dict[str, dict[str, Any]] = {}
    for table, names in ((rows, features), (scored, (SCORE,))):
        clients = np.asarray(table["client_id"].to_pylist(), dtype=object)
        days = table["day"].to_numpy().astype("datetime64[D]").astype(np.int64)
        for client in (EVERYBODY, *sorted(set(clients))):
            mine = np.ones(len(clients), dtype=bool) if client == EVERYBODY else clients == client
            own = found.setdefault(client, {})
            for name in names:
                values = np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)[mine]
                own[name] = _binned(values, days[mine], len(texts.get(name, ())))
                if name in ages:
                    own[name]["usual"] = None
    return json.dumps(found)


def _binned(values: NDArray[np.float64], days: Counts, codes: int) -> dict[str, Any]:
    edges = np.arange(1.0, codes) if 0 < codes <= MOST_CODES else stability.edges(values)
    # Bins are told by FLOAT, as the night's rows are.
    edges = np.unique(edges.astype(np.float32)).astype(np.float64)
    bins = np.searchsorted(edges, values, side="left")
    bins[np.isnan(values)] = len(edges) + 1
    _, day = np.unique(days, return_inverse=True)
    size = len(edges) + 2
    of_days = np.bincount(day * size + bins, minlength=size * (int(day.max(initial=-1)) + 1)).reshape(
        -1, size
    )
    total = of_days.sum(axis=0)
    apart = [excess(total - one, one) for one in of_days if LEAST_OF_A_DAY <= one.sum() < total.sum()]
    usual = round(float(np.quantile(apart, USUAL_QUANTILE)), 6) if apart else 0.0
    modes = of_days.argmax(axis=1)
    is_one = of_days.max(axis=1) >= OF_ONE_DAY * of_days.sum(axis=1)
    tells_the_day = bool(is_one.all()) and len(set(modes)) > 1
    return {
        "edges": edges.tolist(),
        "counts": total.tolist(),
        "usual": None if tells_the_day and len(apart) > 1 else usual,
    }


def excess(before: Counts, after: Counts) -> float:
    """Population stability index less what chance gives it, at least 0; `fct_drift` computes it likewise.

    A share counts as half a row at least, and as 1 in 10,000. Without any shift the index is about
    (bins − 1) × (1/n + 1/m) on average (Yurdakul 2018, "Statistical properties of population stability
    index").

    Args:
        before: rows by bin, not all 0.
        after: likewise.
    """
    n, m = int(before.sum()), int(after.sum())
    used = (before > 0) | (after > 0)
    was = np.maximum(before[used] / n, max(stability.LEAST_SHARE, 0.5 / n))
    is_now = np.maximum(after[used] / m, max(stability.LEAST_SHARE, 0.5 / m))
    psi = float(np.sum((is_now - was) * np.log(is_now / was)))
    return max(psi - (int(used.sum()) - 1) * (1 / n + 1 / m), 0.0)


def write(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    build: Path,
    pin: Pin,
    use_case: UseCase,
    features: Sequence[Feature],
    profile: str,
) -> int:
    """Count the scored rows of a date beside the training's and last year's, into the lake as `profiles`.

    A client of which the version has seen no training row is counted in the bins of all, beside last year's
    rows only: other clients' rows are nothing that its own could have drifted from.

    Args:
        connection: on the open build, with `_chosen` as `ml.scoring.choose_rows` makes it.
        settings: of the installation.
        build: its lake holds scores and vectors of the pin.
        pin: version and date.
        use_case: the model.
        features: in the model's order, texts with their codes.
        profile: what `reference` gave.

    Returns:
        Rows written: one a client, feature and bin.
    """
    trained = json.loads(profile)
    vectors, scores = (
        "read_parquet('{}')".format(
            str(folder(build / "lake", kind, pin) / "part.parquet").replace("'", "''")
        )
        for kind in ("vectors", "scores")
    )
    clients = [
        client
        for (client,) in connection.execute(f"select distinct client_id from {scores} order by 1").fetchall()  # noqa: S608
    ]
    strange = _strange(connection, use_case, features)
    before = _a_year_before(connection, use_case, pin, clients) if pin.role == "champion" else {}
    names = [feature.name for feature in features]
    now = {
        client: _counted(connection, vectors, client, names, trained)
        | _counted(connection, scores, client, [SCORE], trained)
        for client in clients
    }
    then: dict[str, dict[str, Counts]] = {}
    if before:
        _choose_rows_of(connection, settings, use_case, pin, features, before)
        for client, day in before.items():
            then[client] = _counted(connection, "_before", client, names, trained)
            then[client] |= _scores_of(connection, pin, client, day, trained)
        connection.execute("drop table _before")
    columns: dict[str, list[Any]] = {name: [] for name in warehouse.LAKE_SCHEMAS[KIND].names}
    for client in clients:
        for name, counts in now[client].items():
            kept = _of(trained, client, name)
            is_known = name in trained.get(client, {})
            uppers = [*kept["edges"], None, None, None]
            kinds = ["value"] * (len(kept["edges"]) + 1) + ["missing", "new"]
            was = then.get(client, {}).get(name)
            new = strange.get((client, name), 0)
            for place, kind in enumerate(kinds):
                columns["client_id"].append(client)
                columns["feature"].append(name)
                columns["bin"].append(place)
                columns["bin_kind"].append(kind)
                columns["upper_edge"].append(uppers[place])
                # A value without a code has come as missing; it is not.
                columns["rows"].append(
                    new if kind == "new" else int(counts[place]) - (new if kind == "missing" else 0)
                )
                columns["training_rows"].append(kept["counts"][place] if is_known and kind != "new" else 0)
                columns["last_year_rows"].append(
                    None if was is None else 0 if kind == "new" else int(was[place])
                )
                columns["last_year_date"].append(None if was is None else before[client])
                columns["usual_psi"].append(kept["usual"] if is_known else None)
    size = len(columns["client_id"])
    for name, value in (
        ("model", pin.name),
        ("model_version", pin.version),
        ("role", pin.role),
        ("as_of_date", pin.as_of_date),
    ):
        columns[name] = [value] * size
    with partition(build / "lake", KIND, pin, warehouse.LAKE_SCHEMAS[KIND]) as writer:
        writer.write_table(pa.table(columns, schema=warehouse.LAKE_SCHEMAS[KIND]))
    return size


def _of(trained: Mapping[str, Any], client: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = trained.get(client, {}).get(name) or trained[EVERYBODY][name]
    return found


def _counted(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    client: str,
    names: Sequence[str],
    trained: Mapping[str, Any],
) -> dict[str, Counts]:
    """Rows of a client by bin, missing ones last, of all columns in one pass."""
    edges = {name: _of(trained, client, name)["edges"] for name in names}
    asked = ", ".join(f'count("{name}"), histogram("{name}"::float, {_list(edges[name])})' for name in names)
    row = connection.execute(
        f"select count(*), {asked} from {relation} where client_id = ?",  # noqa: S608 - names of the manifest
        [client],
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has a row
    found = {}
    for at, name in enumerate(names):
        known, bins = row[1 + 2 * at], row[2 + 2 * at] or {}
        below = list(bins.values())[: len(edges[name])] or [0] * len(edges[name])
        found[name] = np.array([*below, known - sum(below), row[0] - known], dtype=np.int64)
    return found


def _list(edges: Sequence[float]) -> str:
    # With an exponent they are doubles: a decimal of so many digits would be rounded to its neighbour.
    return "[" + ", ".join(f"{edge:.17e}" for edge in edges) + "]::float[]"


def _strange(
    connection: duckdb.DuckDBPyConnection, use_case: UseCase, features: Sequence[Feature]
) -> dict[tuple[str, str], int]:
    """Rows by client and text whose value the model does not know."""
    texts = [feature for feature in features if feature.is_text and feature.values is not None]
    if not texts:
        return {}
    told = [replace(feature, values=None) for feature in texts]
    counts = ", ".join(
        f'count(*) filter (where given."{feature.name}" is not null'
        f' and not list_contains($_{place}, given."{feature.name}"))'
        for place, feature in enumerate(texts)
    )
    rows = connection.execute(
        f"select client_id, {counts} from ({vectors_sql(use_case, told)}) as given"  # noqa: S608 - as above
        " inner join _chosen using (client_id, entity_id, as_of_date) group by 1",
        {f"_{place}": list(feature.values or ()) for place, feature in enumerate(texts)},
    ).fetchall()
    return {
        (client, feature.name): count
        for client, *found in rows
        for feature, count in zip(texts, found, strict=True)
    }


def _a_year_before(
    connection: duckdb.DuckDBPyConnection, use_case: UseCase, pin: Pin, clients: Sequence[str]
) -> dict[str, date]:
    """By client, the as-of date of the same month a year before that is nearest to the same day."""
    if use_case.features[0].startswith("attributes."):
        return {}
    found = connection.execute(
        f"""
        select client_id, arg_min(as_of_date, (abs(as_of_date - ($day - interval 1 year)::date), as_of_date))
        from (select distinct client_id, as_of_date from features."{use_case.features[0]}")
        where date_trunc('month', as_of_date) = date_trunc('month', $day - interval 1 year)
        group by client_id
        """,  # noqa: S608 - from the YAML
        {"day": pin.as_of_date},
    ).fetchall()
    return {client: day for client, day in sorted(found) if client in clients}


def _choose_rows_of(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    use_case: UseCase,
    pin: Pin,
    features: Sequence[Feature],
    dates: Mapping[str, date],
) -> None:
    """Make the table `_before`: client_id and the features of whom the model would have scored then."""
    register_dates(connection, settings, use_case, dates.items())
    chosen, parameters = chosen_sql(connection, use_case, module_sql(use_case, "POPULATION"))
    if pin.member:
        chosen, parameters = f"from ({chosen}) where scope = $_member", parameters | {"_member": pin.member}
    names = ", ".join(f'vectors."{feature.name}"' for feature in features)
    connection.execute(
        f"""
        create or replace temp table _before as
        select chosen.client_id, {names}
        from ({vectors_sql(use_case, features)}) as vectors
        inner join ({chosen}) as chosen using (client_id, entity_id, as_of_date)
        """,  # noqa: S608 - as above
        parameters,
    )


def _scores_of(
    connection: duckdb.DuckDBPyConnection, pin: Pin, client: str, day: date, trained: Mapping[str, Any]
) -> dict[str, Counts]:
    """What was published as the champion's scores of a date, if anything."""
    if not connection.execute(
        "select 1 from information_schema.tables where table_schema = 'marts' and table_name = 'fct_scores'"
    ).fetchone():
        return {}
    published = (
        f"(select * from marts.fct_scores where model = '{pin.name}' and role = 'champion'"  # noqa: S608
        f" and as_of_date = date '{day}')"
    )
    counts = _counted(connection, published, client, [SCORE], trained)
    return counts if counts[SCORE].sum() else {}
