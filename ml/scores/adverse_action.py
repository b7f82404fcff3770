"""Reasons that an applicant may be given for a decline, from a catalogue that people have reviewed.

What is explained is the distance from those who were approved, not from zero: a feature counts by its
contribution less its mean contribution over the approved rows of the training. Contributions of the features
that name one cause are added up, only positive sums (towards default) are reasons, and the largest come
first. The official interpretation of 12 CFR 1002.9(b)(2) measures from an average of others likewise.

The catalogue is the seed `adverse_action_reasons`. Every feature that the credit model may use stands in it,
either under the one code that it can be a reason of, or as one that may never be given.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

TOP = 4
"""Reasons that an applicant is told at most."""
LEAST = 1e-6
"""Log-odds that a cause must weigh: what is less is the rounding of 32-bit contributions."""
COLUMNS = ("code", "cause", "feature", "direction", "sentence", "may_be_given")


class CatalogueError(ValueError):
    """The catalogue cannot be used; the message names the row and what is wrong."""


@dataclass(frozen=True)
class Reason:
    """One reason of one applicant."""

    code: str
    sentence: str
    """As the applicant is told it."""
    feature: str
    """Of the code's features the one that counts most."""
    weight: float
    """Log-odds of default by which the cause sets the applicant apart from the approved; positive."""


@dataclass(frozen=True)
class Catalogue:
    """Codes and the features that speak for them."""

    sentences: Mapping[str, str]
    """By code, in the catalogue's order."""
    causes: Mapping[str, str]
    """By code."""
    codes: Mapping[str, str]
    """By feature, of those that may be given."""
    directions: Mapping[str, int]
    """By feature, of those that may be given: 1 if more of it raises the risk, -1 if less does."""
    withheld: frozenset[str]
    """Features that are never given."""

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[object]]) -> "Catalogue":
        """The catalogue from rows of `COLUMNS`.

        Raises:
            CatalogueError: a feature stands twice, a code has two causes or sentences, two codes share one,
            or
                a reason lacks a direction.
        """
        sentences: dict[str, str] = {}
        causes: dict[str, str] = {}
        codes: dict[str, str] = {}
        directions: dict[str, int] = {}
        withheld: set[str] = set()
        for row in rows:
            code, cause, feature, direction, sentence, may_be_given = (
                "" if cell is None else str(cell).strip() for cell in row
            )
            if feature in codes or feature in withheld:
                raise CatalogueError(f"{feature} stands twice in the catalogue")
            if may_be_given.lower() != "true":
                withheld.add(feature)
                continue
            if direction not in ("1", "-1") or not (code and cause and sentence):
                raise CatalogueError(
                    f"{feature} may be given, but has no code, cause, direction (1, -1) or sentence"
                )
            if (causes.setdefault(code, cause), sentences.setdefault(code, sentence)) != (cause, sentence):
                raise CatalogueError(f"{code} has another cause or sentence for {feature} than before")
            codes[feature], directions[feature] = code, int(direction)
        if len(set(causes.values())) < len(causes) or len(set(sentences.values())) < len(sentences):
            raise CatalogueError("two codes share a cause or a sentence")
        return cls(sentences, causes, codes, directions, frozenset(withheld))

    @classmethod
    def from_file(cls, path: Path) -> "Catalogue":
        """The catalogue of a CSV file with `COLUMNS`."""
        with path.open(newline="", encoding="utf-8") as file:
            return cls.from_rows([tuple(row[name] for name in COLUMNS) for row in csv.DictReader(file)])

    @classmethod
    def from_build(cls, connection: duckdb.DuckDBPyConnection) -> "Catalogue":
        """The catalogue that a build or publication was made with."""
        found = connection.execute(
            "select code, cause, feature, direction, sentence, may_be_given"
            " from staging.adverse_action_reasons order by code, feature"
        )
        return cls.from_rows(found.fetchall())

    def rows(self) -> list[list[str]]:
        """Rows that `from_rows` makes the same catalogue of."""
        given = [
            [code, self.causes[code], feature, str(self.directions[feature]), self.sentences[code], "true"]
            for feature, code in self.codes.items()
        ]
        return given + [["", "", feature, "", "", "false"] for feature in sorted(self.withheld)]

    def unknown(self, features: Iterable[str]) -> list[str]:
        """Features of a model that the catalogue does not mention at all."""
        return sorted(set(features) - set(self.codes) - self.withheld)


def mean_of_approved(
    contributions: NDArray[np.floating], features: Sequence[str], approved: NDArray[np.bool_]
) -> dict[str, float]:
    """Mean contribution of each feature over the approved rows: what reasons are counted from.

    Args:
        contributions: rows × features, log-odds of default.
        features: names of the columns.
        approved: which rows would have been approved.

    Returns:
        By feature, rounded so that the order of sums cannot make another model; empty without an approved
        row.
    """
    if not approved.any():
        return {}
    means = contributions[approved].astype(np.float64).mean(axis=0)
    return {name: round(float(mean), 9) for name, mean in zip(features, means, strict=True)}


def reasons(
    contributions: NDArray[np.floating],
    features: Sequence[str],
    reference: Mapping[str, float],
    catalogue: Catalogue,
    top: int = TOP,
) -> list[list[Reason]]:
    """The reasons of each row, strongest first; at most `top`, and only what speaks against the applicant.

    Args:
        contributions: rows × features, log-odds of default; positive = riskier.
        features: names of the columns.
        reference: mean contribution over the approved, by feature (`mean_of_approved`).
        catalogue: which features may be given, under which code.
        top: reasons a row.

    Raises:
        CatalogueError: nobody has decided whether a feature of the model may be a reason.
    """
    if unknown := catalogue.unknown(features):
        raise CatalogueError(f"the catalogue does not say whether {', '.join(unknown)} may be a reason")
    apart = contributions.astype(np.float64) - np.array([reference.get(name, 0.0) for name in features])
    order = list(catalogue.sentences)
    columns = {
        code: [i for i, name in enumerate(features) if catalogue.codes.get(name) == code] for code in order
    }
    sums = np.column_stack([apart[:, columns[code]].sum(axis=1) for code in order])
    ranks = np.argsort(-sums, axis=1, kind="stable")[:, :top]
    told = []
    for row, ranked in enumerate(ranks):
        given = []
        for place in ranked:
            if sums[row, place] < LEAST:
                break
            code = order[place]
            strongest = max(columns[code], key=lambda i: apart[row, i])
            given.append(
                Reason(code, catalogue.sentences[code], features[strongest], float(sums[row, place]))
            )
        told.append(given)
    return told
