"""The reachable ceiling of the churn task: what somebody who sees the hidden state would score.

For each row (customer, as-of date D) the true probability of no customer-initiated transaction on D+1 …
D+60 is computed from the hidden state on D, the customer's dispositions and the laws of the chain,
marginalising over everything after D. No model sees the hidden state, so in expectation none ranks better;
on a finite set of rows one can be ahead by luck only. The ceiling is below 1 because the future itself is
uncertain: a customer who has left may come back, one who pauses may stay away for long, an occasional one
may just happen to be silent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from simulation.latent import probability_of_silence
from simulation.parameters import Bank
from simulation.truth import Truth, TruthError, read_truth

WINDOW_DAYS = 60


@dataclass(frozen=True)
class Ceiling:
    """Average precision of the true probability, beside that of the model, on the same rows.

    Attributes:
        rows: number of rows.
        base_rate: share of rows whose label is 1.
        expected_base_rate: mean true probability; near `base_rate` when the labels follow the bank's rule.
        average_precision: of the true probability; the ceiling.
        model_average_precision: of the column `score`.
    """

    rows: int
    base_rate: float
    expected_base_rate: float
    average_precision: float
    model_average_precision: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def compute_ceiling(
    truth_folder: Path | Mapping[str, Path],
    predictions: Path,
    window: int = WINDOW_DAYS,
    write: Path | None = None,
) -> Ceiling:
    """The ceiling on exactly the rows of a predictions file.

    Args:
        truth_folder: as written by `make`; or one for each `client_id` of the predictions.
        predictions: Parquet with customer_id, as_of_date, label (0/1), score (higher = likelier to leave).
        window: days of the label's window.
        write: see `judge`.

    Raises:
        TruthError: a customer or date is not in the truth, or a window reaches beyond the simulated days.
    """

    def of_rows(folder: Path, rows: pa.Table) -> npt.NDArray[np.float64]:
        return true_probabilities(read_truth(folder), rows["customer_id"], rows["as_of_date"], window)

    return judge(truth_folder, predictions, of_rows, write)


def judge(
    truth_folder: Path | Mapping[str, Path],
    predictions: Path,
    of_rows: Callable[[Path, pa.Table], npt.NDArray[np.float64]],
    write: Path | None = None,
) -> Ceiling:
    """True probabilities beside a model's scores on exactly the rows of a predictions file.

    Args:
        truth_folder: as written by `make`; or one for each `client_id` of the predictions.
        predictions: Parquet with customer_id, as_of_date, label (0/1), score (higher = likelier).
        of_rows: true probability of each row of predictions, from a truth folder.
        write: gets the rows as Parquet, with the true probability as their score.

    Raises:
        TruthError: a client's truth was not given, or it does not know a row.
    """
    # Takes seconds to import, and only this command needs it.
    from sklearn.metrics import average_precision_score

    table = pq.read_table(predictions)
    label = table["label"].to_numpy().astype(np.int64)
    if isinstance(truth_folder, Path):
        probability = of_rows(truth_folder, table)
    else:
        probability = _of_clients(truth_folder, table, of_rows)
    if write is not None:
        at = table.column_names.index("score")
        pq.write_table(table.set_column(at, "score", pa.array(probability)), write)
    return Ceiling(
        rows=len(label),
        base_rate=float(label.mean()),
        expected_base_rate=float(probability.mean()),
        average_precision=float(average_precision_score(label, probability)),
        model_average_precision=float(average_precision_score(label, table["score"].to_numpy())),
    )


def _of_clients(
    folders: Mapping[str, Path],
    table: pa.Table,
    of_rows: Callable[[Path, pa.Table], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float64]:
    client = np.array(table["client_id"].to_pylist())
    unknown = sorted(set(client.tolist()) - set(folders))
    if unknown:
        raise TruthError(f"the predictions have rows of {unknown[0]}, whose truth was not given")
    probability = np.empty(len(client))
    for name in np.unique(client).tolist():
        rows = np.flatnonzero(client == name)
        probability[rows] = of_rows(folders[name], table.take(rows))
    return probability


def true_probabilities(
    truth: Truth, customer_id: Any, as_of_date: Any, window: int = WINDOW_DAYS
) -> npt.NDArray[np.float64]:
    """True probability of silence for each row of two Arrow columns.

    Raises:
        TruthError: a customer or date is not in the truth, or a window reaches beyond the simulated days.
    """

    def of_day(day: int) -> npt.NDArray[np.float64]:
        return probability_of_silence(truth.chain, day, window, truth.state[day], truth.causes[day])

    return of_customers_and_days(truth.bank, truth.customer_id, customer_id, as_of_date, window, of_day)


def of_customers_and_days(
    bank: Bank,
    customers: Sequence[str],
    customer_id: Any,
    as_of_date: Any,
    window: int,
    of_day: Callable[[int], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float64]:
    """What is true of each row of two Arrow columns.

    Args:
        bank: whose truth it is.
        customers: its customers' ids, in their order.
        customer_id: of the rows.
        as_of_date: of the rows.
        window: days after the as-of date that it is about.
        of_day: what is true of every customer on a simulated day.

    Raises:
        TruthError: a customer or date is not in the truth, or a window reaches beyond the simulated days.
    """
    position = {one: number for number, one in enumerate(customers)}
    customer = np.array([position.get(one, -1) for one in customer_id.to_pylist()], dtype=np.int64)
    if (customer < 0).any():
        raise TruthError(f"{int((customer < 0).sum())} rows have a customer that this bank never had")
    dates = np.array(as_of_date.cast(pa.date32()).to_pylist(), dtype="datetime64[D]")
    day = (dates - np.datetime64(bank.start, "D")).astype(np.int64)
    outside = (day < 0) | (day + window >= bank.horizon)
    if outside.any():
        raise TruthError(
            f"{int(outside.sum())} rows have an as-of date whose {window} days are outside the "
            f"{bank.horizon} simulated days from {bank.start}"
        )
    found = np.empty(len(day))
    for one in np.unique(day).tolist():
        rows = day == one
        found[rows] = of_day(one)[customer[rows]]
    return found
