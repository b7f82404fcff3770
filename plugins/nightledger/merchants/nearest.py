"""The nearest brand of a name that SQL has not found among the brands, by the letters that they share.

The vectors are fitted on the seed `brands` alone: what a name resolves to never depends on the other names of
the night, so a history load and daily arrival give the same answer.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from nightledger.merchants.suggesting import suggest

ACCEPTED_SIMILARITY = 0.6
"""Cosine from which on the nearest brand is the merchant, if it is also the same but for slips."""
REVIEWED_SIMILARITY = 0.4
"""Cosine from which on the nearest brand is worth a person's look."""
LETTERS_PER_SLIP = 8
"""For so many letters of the brand one may be missing, added, wrong or swapped; shorter brands bear none."""
LETTERS_PER_SLIP_IN_PART = 10
"""The same where more words follow."""
SHORTEST_SLIPPED = 5
"""Letters of a word that may hold a slip."""
NEAREST_VERSION = "1"
"""Raised with any change of this module's answers; part of the stored rules version."""
BATCH = 2_000
"""Names compared at once: 2,000 × 20,000 similarities, sparse."""


@dataclass(frozen=True)
class Nearest:
    """What a night's resolution did.

    Attributes:
        resolved: descriptors worked on.
        accepted: of these, the ones whose nearest brand is close enough.
        to_review: of these, the ones that a person should look at.
    """

    resolved: int
    accepted: int
    to_review: int


def create_table(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `enrichment.nearest_brands`, which dbt reads as a source, if it is not there."""
    connection.execute("""
        create schema if not exists enrichment;
        create table if not exists enrichment.nearest_brands (
            descriptor varchar primary key, name varchar, merchant varchar, subcategory varchar,
            similarity decimal(4, 3), is_accepted boolean,
            likely_subcategory varchar, likelihood decimal(4, 3), rules_version varchar)
    """)


def resolve_nearest(connection: duckdb.DuckDBPyConnection) -> Nearest:
    """Find the nearest brand of each descriptor that `int_merchant_matches` leaves without one.

    Only descriptors without an answer of these rules are worked on; each different name is compared once.

    Args:
        connection: the open build, writable, after the dbt selection `merchants`.
    """
    create_table(connection)
    connection.execute(
        """
        delete from enrichment.nearest_brands where (descriptor, rules_version) not in (
            select descriptor, rules_version || '.' || ? from intermediate.int_merchant_matches
            where tier is null)
        """,
        [NEAREST_VERSION],
    )
    todo = connection.execute(
        """
        select distinct name from intermediate.int_merchant_matches
        where tier is null and descriptor not in (select descriptor from enrichment.nearest_brands)
        order by name
        """
    ).fetchall()
    brands = connection.execute(
        """
        select written_key, merchant, subcategory from intermediate.int_merchant_keys
        where position in ('start', 'anywhere') order by written_key, merchant
        """
    ).fetchall()
    if not todo or not brands:
        return Nearest(0, 0, 0)
    names = [name for (name,) in todo]
    index, similarity = nearest_keys(names, [key for key, _, _ in brands])
    accepted = [
        bool(near >= ACCEPTED_SIMILARITY and differs_by_slips(name, brands[i][0]))
        for name, i, near in zip(names, index, similarity, strict=True)
    ]
    spellings = connection.execute(
        "select brand_key, subcategory from staging.brands order by all"
    ).fetchall()
    likely = suggest(names, [key for key, _ in spellings], [subcategory for _, subcategory in spellings])
    found = pa.table(
        {
            "name": names,
            "merchant": [brands[i][1] for i in index],
            "subcategory": [brands[i][2] for i in index],
            "similarity": similarity,
            "is_accepted": accepted,
            "likely_subcategory": [suggestion.subcategory for suggestion in likely],
            "likelihood": [suggestion.probability for suggestion in likely],
        }
    )
    connection.register("found_brands", found)
    connection.execute(
        """
        insert into enrichment.nearest_brands
        select descriptor, name, found_brands.merchant, found_brands.subcategory,
               cast(similarity as decimal(4, 3)), is_accepted, likely_subcategory,
               cast(likelihood as decimal(4, 3)), rules_version || '.' || ?
        from intermediate.int_merchant_matches inner join found_brands using (name)
        where int_merchant_matches.tier is null
            and descriptor not in (select descriptor from enrichment.nearest_brands)
        order by descriptor
        """,
        [NEAREST_VERSION],
    )
    connection.unregister("found_brands")
    to_review = (similarity >= REVIEWED_SIMILARITY) & ~np.array(accepted)
    return Nearest(len(names), sum(accepted), int(to_review.sum()))


def differs_by_slips(name: str, key: str) -> bool:
    """Whether a name begins with a brand but for slips of the pen: letters and their order, blanks aside.

    Near vectors alone are no proof: `coop restaurant` is near to every restaurant.
    """
    brand = key.replace(" ", "")
    words = name.split()
    # A slip inside a long word is one; in a short one it makes another word: inn and ink.
    safe = [word in key.split() or len(word) >= SHORTEST_SLIPPED for word in words]
    beginnings = {"".join(words[:count]) for count in range(1, len(words) + 1) if all(safe[:count])}
    for text in beginnings:
        slips = len(brand) // (
            LETTERS_PER_SLIP if len(text) == len("".join(words)) else LETTERS_PER_SLIP_IN_PART
        )
        if text[:1] == brand[:1] and abs(len(text) - len(brand)) <= slips >= slips_between(text, brand):
            return True
    return False


def slips_between(left: str, right: str) -> int:
    """Letters to add, drop, change or swap with their neighbour to make one text of the other.

    Optimal string alignment distance (a Damerau-Levenshtein distance in which no letter is touched twice).
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, letter in enumerate(left, start=1):
        before, above, row = row, before, [i]
        for j, other in enumerate(right, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == right[j - 2] and left[i - 2] == other:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]


def nearest_keys(
    names: list[str], keys: list[str]
) -> tuple[list[int], "np.ndarray[tuple[int], np.dtype[np.float64]]"]:
    """Position of the nearest key of each name, and the cosine between them (rounded to thousandths).

    Args:
        names: what to look for.
        keys: what is known; the first of equally near ones counts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    known = vectors.fit_transform(keys).T.tocsr()
    index: list[int] = []
    similarity: list[float] = []
    for start in range(0, len(names), BATCH):
        products = (vectors.transform(names[start : start + BATCH]) @ known).tocsr()
        for row in range(products.shape[0]):
            values = np.round(products.data[products.indptr[row] : products.indptr[row + 1]], 3)
            columns = products.indices[products.indptr[row] : products.indptr[row + 1]]
            best = values.max(initial=0.0)
            index.append(int(columns[values == best].min()) if len(columns) else 0)
            similarity.append(float(best))
    return index, np.array(similarity)
