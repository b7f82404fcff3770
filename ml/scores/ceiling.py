"""Another's probabilities of the rows that a model is judged on, such as the true ones of a simulation.

`python -m ml.scores.ceiling MODEL --predictions FILE --scores FILE` prints as JSON every metric that they
reach on the rows that a registered version was judged on. Nothing learns from them, and nothing keeps them.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml import config
from ml.datasets import KEY, Rows
from ml.families import Refused
from ml.scores import evaluation, metrics
from ml.scores.alerts import Context
from ml.scores.baselines import Predicted
from nightledger.settings import Settings, SettingsError, read_settings

NAME = "ceiling"


def read(path: Path, rows: Rows) -> Predicted:
    """Somebody else's probabilities of exactly these rows.

    Args:
        path: Parquet or CSV with KEY and `score`.
        rows: that are judged.

    Raises:
        Refused: the file is not there, has other columns, or not exactly one score for each of the rows.
    """
    if not path.exists():
        raise Refused(f"CEILING={path} is not there")
    with duckdb.connect() as connection:
        connection.register(
            "test", rows.table.select(list(KEY)).append_column("_place", pa.array(range(len(rows))))
        )
        try:
            given = (
                connection.read_parquet(str(path))
                if path.suffix == ".parquet"
                else connection.read_csv(str(path))
            )
            connection.register("given", given.to_arrow_table())
            scores = connection.execute(
                "select any_value(given.score)::double as score, count(given.score) as n from test"
                " left join given on given.client_id = test.client_id and given.entity_id = test.entity_id"
                " and given.as_of_date::date = test.as_of_date group by _place order by _place"
            ).to_arrow_table()
        except duckdb.Error as error:
            raise Refused(
                f"CEILING={path} must have the columns {', '.join(KEY)} and score: {error}"
            ) from error
    if wrong := int(np.sum(scores["n"].to_numpy() != 1)):
        raise Refused(f"CEILING={path} does not have exactly one score for {wrong:,} of {len(rows):,} rows")
    return Predicted(
        scores["score"].to_numpy(), f"Scores of {path.name}, which nobody can have at the time.", {}
    )


def measure(settings: Settings, model: str, predictions: Path, scores: Path) -> dict[str, metrics.Estimate]:
    """What others' scores reach on the rows of a version, by the model's own budgets and the same draws.

    Args:
        settings: of the installation; clients' budgets and costs of alerts are today's.
        model: as the registry calls it.
        predictions: of the version, as the registry keeps them. Those of an older release have neither cards
            nor exposures: then there is nothing to say of alerts and money.
        scores: as `read` wants them.

    Raises:
        Refused: the scores are not those of the rows.
        ml.config.ConfigError: no such model, or none that gives scores.
    """
    use_case = config.load(model.partition(".")[0])
    if use_case.evaluation is None:
        raise Refused(f"{model} learns from no labels: it has no ceiling")
    rows = Rows(pq.read_table(predictions), (), "")
    context = Context()
    if "exposure" in rows.table.column_names:
        context = evaluation.context_of(use_case, rows, evaluation.alert_rules(settings))
    found = metrics.evaluate(
        rows.labels(),
        {NAME: read(scores, rows).scores},
        rows.customers(),
        use_case.evaluation,
        use_case.seed,
        context=context,
    )
    return found.metrics[NAME]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ml.scores.ceiling", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--predictions", type=Path, required=True, help="of the rows judged: Parquet")
    parser.add_argument("--scores", type=Path, required=True, help="another's of the same rows")
    given = parser.parse_args(arguments)
    try:
        found = measure(read_settings(), given.model, given.predictions, given.scores)
    except (Refused, config.ConfigError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    told = {
        metric: {end: value if math.isfinite(value) else None for end, value in asdict(estimate).items()}
        for metric, estimate in found.items()
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
