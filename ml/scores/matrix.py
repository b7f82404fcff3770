"""Features as numbers: how rows of Arrow columns become the matrix that estimators read."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


def matrix_of(table: pa.Table, features: Sequence[str]) -> Matrix:
    """Features of a table, rows × features in this order whatever the table's; missing is nan."""
    columns = [np.asarray(table[name].to_numpy(), dtype=np.float32) for name in features]
    return np.column_stack(columns) if columns else np.zeros((table.num_rows, 0), np.float32)


def table_of(matrix: Matrix, features: Sequence[str]) -> pa.Table:
    """The same as Arrow columns; missing is null."""
    return pa.table({name: pa.array(matrix[:, at], from_pandas=True) for at, name in enumerate(features)})
