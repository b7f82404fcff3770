"""Vectorised text: columns of strings joined into descriptors and lines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]

TWO_DIGITS = pa.array([f"{number:02d}" for number in range(100)])


def join(*parts: Any, separator: str = "") -> pa.Array:
    """Join columns (Arrow arrays) and constants (str) element by element; nulls count as empty."""
    joined = pc.binary_join_element_wise(*parts, separator, null_handling="replace", null_replacement="")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def digits(numbers: Integers) -> pa.Array:
    """Integers as text."""
    return pa.array(numbers).cast(pa.string())


def pick(choices: Sequence[str | None], index: npt.NDArray[Any]) -> pa.Array:
    """One of a few constants per row; None for an empty field."""
    return pa.array(choices, pa.string()).take(pa.array(index))


def take(values: pa.Array, index: Integers) -> pa.Array:
    """`values[index]` per row; null where the index is negative."""
    return values.take(pa.array(index, mask=index < 0))


def last_digits(values: pa.Array, count: int) -> pa.Array:
    """The last characters of each text."""
    return pc.utf8_slice_codeunits(values, -count)


def amounts(paise: Integers) -> pa.Array:
    """Signed amounts in rupees with two decimals."""
    absolute = np.abs(paise)
    sign = pick(["", "-"], (paise < 0).astype(np.int64))
    return join(sign, digits(absolute // 100), ".", TWO_DIGITS.take(pa.array(absolute % 100)))


def rupees(paise: int) -> str:
    """One signed amount in rupees, as the manifests have it."""
    return f"{'-' if paise < 0 else ''}{abs(paise) // 100}.{abs(paise) % 100:02d}"


def local_times(start: np.datetime64, day: Integers, second: Integers) -> pa.Array:
    """`YYYY-MM-DD HH:MM:SS` of a second of a simulated day."""
    return pa.array(start + (day * 86_400 + second).astype("timedelta64[s]")).cast(pa.string())


def csv_field(values: pa.Array) -> pa.Array:
    """Quote the values that need it. None of our names holds a quotation mark."""
    return pc.if_else(pc.match_substring(values, ","), join('"', values, '"'), values)


class Lines:
    """Lines of text sorted by file day, whose bytes can be cut out day by day without a copy per line."""

    def __init__(self, lines: pa.Array, day: Integers) -> None:
        offsets, content = lines.buffers()[1:]
        self._day = day
        self._offsets = np.frombuffer(offsets, dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
        self._content = memoryview(content or b"")

    def rows(self, day: int) -> slice:
        """Which rows stand in the file of a day."""
        first, last = np.searchsorted(self._day, (day, day + 1)).tolist()
        return slice(first, last)

    def of(self, day: int) -> tuple[bytes, int]:
        """The text of the file of a day, and its number of lines."""
        rows = self.rows(day)
        text = self._content[self._offsets[rows.start] : self._offsets[rows.stop]]
        return bytes(text), rows.stop - rows.start
