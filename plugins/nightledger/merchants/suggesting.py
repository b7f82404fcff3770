"""A category that the words of a name suggest: for a person to confirm, never for a transaction.

It is asked about merchants that it has not seen, so it is judged on merchants held back whole: random
cross-validation would show it brands that it knows by another spelling.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WORD = r"\w{3,}"
LEAST_PROBABILITY = 0.6
"""Below it nothing is suggested."""


@dataclass(frozen=True)
class Suggestion:
    """The likeliest category, or None, and its probability as the model sees it."""

    subcategory: str | None
    probability: float


def suggest(names: Sequence[str], keys: Sequence[str], subcategories: Sequence[str]) -> list[Suggestion]:
    """Suggest a category for each name, from the words of brands alone.

    Args:
        names: folded names.
        keys: folded names of brands.
        subcategories: what most is bought at each of them.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import MultinomialNB

    vectors = TfidfVectorizer(token_pattern=WORD, min_df=3, sublinear_tf=True)
    model = MultinomialNB(alpha=0.05).fit(vectors.fit_transform(keys), subcategories)
    words = vectors.transform(names)
    probabilities = np.round(model.predict_proba(words), 3)
    is_told = (
        np.asarray(words.sum(axis=1)).ravel() > 0
    )  # without a word that it knows it would answer by habit
    best = probabilities.argmax(axis=1)
    return [
        Suggestion(str(model.classes_[column]), float(row[column]))
        if told and row[column] >= LEAST_PROBABILITY
        else Suggestion(None, 0.0)
        for row, column, told in zip(probabilities, best, is_told, strict=True)
    ]


def held_back(
    keys: Sequence[str], merchants: Sequence[str], subcategories: Sequence[str], folds: int = 5
) -> tuple[int, int, int]:
    """Judge the suggestions on brands none of whose spellings were seen.

    Returns:
        Names asked about, names with a suggestion, and names with the right one.
    """
    from sklearn.model_selection import GroupKFold

    texts, kinds = np.array(keys), np.array(subcategories)
    suggested = right = 0
    for seen, asked in GroupKFold(folds).split(texts, kinds, np.array(merchants)):
        answers = suggest(texts[asked].tolist(), texts[seen].tolist(), kinds[seen].tolist())
        for answer, kind in zip(answers, kinds[asked], strict=True):
            suggested += answer.subcategory is not None
            right += answer.subcategory == kind
    return len(keys), suggested, right
