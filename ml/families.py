"""What each family of models brings to the one path from configuration to published rows.

A family is a package `ml/<family>` with `config.py` (what its YAML may say) and `steps.py`, which offers the
functions of `Steps`. Training, registry, decisions, pins and the night are the same for all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import duckdb
import pyarrow as pa
from rich.console import Console

from ml.artefacts import sha256
from ml.config import Described
from ml.datasets import Publication
from ml.features import Feature
from ml.partitions import Pin
from ml.registry import Registered, version_id
from nightledger import revision
from nightledger.settings import Settings

if TYPE_CHECKING:
    from ml.evaluate import Asked


class TooLittle(Exception):
    """There is not enough to learn from, or to judge by; the message says what is missing."""


class Refused(RuntimeError):
    """A model cannot be evaluated as asked; the message says why and what could be changed."""


D_co = TypeVar("D_co", bound=Described, covariant=True)


@dataclass(frozen=True)
class Job(Generic[D_co]):
    """One training: what is trained, on what."""

    settings: Settings
    name: str
    """As the registry calls it: the model's file, or `<file>.<member>` where the scope is not global."""
    described: D_co
    publication: Publication
    features: tuple[Feature, ...]
    """Empty where the model reads no feature table."""

    def version(self, files: Mapping[str, bytes]) -> str:
        """Id of the version whose artefact these files are."""
        return version_id(self.publication.as_of_date, sha256(files))

    def origin(self) -> list[tuple[str, str]]:
        """Rows of a model card: on what it is trained, and by which code."""
        publication = self.publication
        return [
            ("publication", f"{publication.id} (made by code {publication.code_revision})"),
            ("trained by code", revision.of(self.settings)),
        ]


@dataclass(frozen=True)
class Trained:
    """A fitted and judged version, not registered yet."""

    files: Mapping[str, bytes]
    """The artefact; the hash of its `model.json`, which holds those of the others, is the version's."""
    heldout: pa.Table
    """What it said of rows that nothing was fitted on."""
    params: Mapping[str, Any]
    """What it was made from, beside what every version keeps."""
    metrics: Sequence[Mapping[str, Any]]
    """Rows of the table `ml.metrics` without model and version."""
    documents: Mapping[str, str]
    """For people: `model_card.md` at least."""
    verdict: str
    """What becomes of it by the rules: promoted, kept_as_challenger or refused (`ml.promotion`)."""
    reason: str
    """Why, in a sentence with the figures."""
    importances: Sequence[Mapping[str, Any]] = ()
    """By feature: `feature`, `feature_group`, `importance`."""
    guardrails: Sequence[str] = ()
    """Those it breaks, in words."""

    def numbers(self) -> dict[str, float]:
        """The finite numbers among the metrics by name, for the registry."""
        return {
            ".".join(
                filter(None, (row["baseline"], row["client_id"], row["dataset"], row["metric"], end))
            ): row[end or "value"]
            for row in self.metrics
            for end in ("", "lo", "hi")
            if row[end or "value"] is not None
        }


class Steps(Protocol):
    """What `ml/<family>/steps.py` offers."""

    def train(self, job: Job[Any], member: str, champion: Registered | None) -> Trained:
        """Fit and judge.

        Args:
            job: what, on what.
            member: of the model's scope; empty: all.
            champion: the version that it is compared with, if any.

        Raises:
            TooLittle: says what is missing.
        """

    def why_not(
        self,
        connection: duckdb.DuckDBPyConnection,
        build: Path,
        described: Described,
        as_of_date: date,
        files: Mapping[str, bytes],
    ) -> str:
        """Why a version cannot work on a date of a build; empty when it can.

        Args:
            connection: on the build or publication.
            build: its directory.
            described: the model.
            as_of_date: which date of it.
            files: of the version's artefact, their hashes checked.
        """

    def score(
        self,
        connection: duckdb.DuckDBPyConnection,
        settings: Settings,
        build: Path,
        pin: Pin,
        described: Described,
        files: Mapping[str, bytes],
    ) -> int:
        """Write a date's rows into the build's lake (`ml.partitions`); a repeated run writes the same bytes.

        Returns:
            Rows written.
        """

    def evaluate(self, settings: Settings, asked: "Asked", console: Console) -> None:
        """Train on what was known before the first day, judge on the days after it, write files, print.

        Raises:
            Refused: too few days or rows.
        """


def of(described: Described) -> Steps:
    """The steps of a model's family."""
    return cast(Steps, import_module(f"ml.{described.family}.steps"))
