"""Columns that say who somebody is: what no model may learn from, and what may stand in for it.

A model is compared by such groups (`ml.scores.fairness`) and never sees them. The feature tables have none;
a table of attributes has whatever its source sent, so its columns are told by their names, in English. A
column of another name or language is not told: the YAML lists it under `attributes.fairness`.
"""

import re
from collections.abc import Iterable

_WHO = (
    *("age", "sex", "gender", "race", "ethnicity", "ethnic", "ethnic_origin", "skin_colour", "skin_color"),
    *("religion", "faith", "creed", "caste", "nationality", "citizenship", "national_origin", "region"),
    *("disability", "disabled", "health", "pregnancy", "pregnant", "sexual_orientation", "orientation"),
    *("marital_status", "marital", "married", "civil_status", "political_opinion", "trade_union"),
    *("birth_date", "birthdate", "birthday", "date_of_birth", "dob", "birth_year", "year_of_birth", "yob"),
    *("birthplace", "place_of_birth", "country_of_birth"),
)
_PROTECTED = re.compile(
    rf"((customer|client|applicant|borrower|person|personal|holder|owner|cust|is|at)_)*({'|'.join(_WHO)})"
    r"(_(band|group|class|bucket|bin|code|name|flag|status|years|in_years|at_\w+|on_\w+|\d+))*",
    re.IGNORECASE,
)
_STAND_INS = frozenset(
    (
        *("postcode", "postal", "zip", "zipcode", "city", "town", "village", "county", "district", "state"),
        *(
            "province",
            "address",
            "street",
            "latitude",
            "longitude",
            "language",
            "name",
            "surname",
            "forename",
        ),
        *("title", "salutation", "children", "dependants", "dependents", "household", "spouse", "school"),
    )
)


def says_who(name: str) -> bool:
    """Whether a column of this name is taken for age, sex, gender, region, religion, origin or health."""
    return _PROTECTED.fullmatch(name) is not None


def stand_ins(names: Iterable[str]) -> str:
    """What may stand in for such a column, as a postcode does for a region, in words; empty: nothing."""
    words = _STAND_INS | {*_WHO} - {"age", "health"}
    found = [name for name in names if words & set(name.lower().split("_"))]
    if not found:
        return ""
    return (
        f"{', '.join(found)} may stand in for who somebody is (region, sex, origin, family): look whether "
        "groups are treated alike, or name them under attributes.fairness."
    )
