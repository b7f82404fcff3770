"""Properties hold for any input, so hypothesis looks for one that breaks them; the same ones on every run."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.unit.ingestion.conftest import Bank

settings.register_profile(
    "fast",
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("fast")

FILES = 6
"""Examples of a property that loads files: each is a night."""


@pytest.fixture
def new_bank() -> Iterator[Callable[[], Bank]]:
    """Makes a bank of its own for each example."""
    made: list[Bank] = []
    with tempfile.TemporaryDirectory() as folder:
        numbers = itertools.count()

        def make() -> Bank:
            made.append(Bank(Path(folder) / str(next(numbers))))
            return made[-1]

        yield make
        for bank in made:
            bank.connection.close()


@pytest.fixture
def bank(new_bank: Callable[[], Bank]) -> Bank:
    """One bank for all examples of a property that keeps nothing in it."""
    return new_bank()
