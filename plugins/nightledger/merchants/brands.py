"""Make the seed `brands` from the name-suggestion-index: `python -m nightledger.merchants.brands FOLDER`.

The seed is committed; this is run when a newer index is taken over.
"""

import argparse
import csv
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

KINDS = Path(__file__).with_name("kinds.yml")
NAMES = ("brand", "name", "brand:en", "name:en", "short_name", "official_name", "alt_name")
SHORTEST = 4
"""A name of one word must be this long to be found at the beginning of longer text."""
COMMON_FREQUENCY = 3.0
"""Zipf frequency (once in a million words) from which on a single word means more than a brand."""
TOO_COMMON_FREQUENCY = 4.0
"""From here on a single word says nothing, even alone, and is left out: box, national, spectrum."""
COMMON_STEM_FREQUENCY = 3.5
"""The same for what is left without a final s: first and family names, which many shops bear."""


@dataclass(frozen=True)
class Brand:
    """One way of writing a brand.

    Attributes:
        key: the name as descriptors are folded (`fold`).
        merchant: the name as people read it.
        subcategory: what most is bought there.
        is_common: whether the key means other things as well, so that only the whole text may match it.
        countries: where it is found, two letters each; empty: on a whole continent or more.
    """

    key: str
    merchant: str
    subcategory: str
    is_common: bool
    countries: tuple[str, ...]


def fold(text: str) -> str:
    """Lower case without accents, apostrophes and punctuation: the macro `fold`, in Python."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    plain = re.sub("['’`]", "", re.sub("[0-9]{4,}", "#", plain))
    kept = (letter if letter == "#" or unicodedata.category(letter)[0] in "LMN" else " " for letter in plain)
    return " ".join("".join(kept).split())


def read(folder: Path, frequency: Callable[[str], float]) -> list[Brand]:
    """All brands of an index, one for each key and country, in order.

    Args:
        folder: the index's folder `data/brands`.
        frequency: Zipf frequency of a word in English text.
    """
    kinds: dict[str, list[str]] = yaml.safe_load(KINDS.read_text())
    found: dict[tuple[str, str], tuple[tuple[int, int, str], str, str]] = {}
    for order, (subcategory, path) in enumerate((s, path) for s, paths in kinds.items() for path in paths):
        items: list[dict[str, Any]] = json.loads((folder / f"{path}.json").read_text())["items"]
        for item in items:
            for key, merchant, rank in _keys(item):
                for country in _countries(item):
                    candidate = ((rank, order, merchant), merchant, subcategory)
                    found[key, country] = min(candidate, found.get((key, country), candidate))
    countries: dict[tuple[str, str, str], list[str]] = {}
    for (key, country), candidate in found.items():
        # A worldwide name means the worldwide brand, unless a country has one that bears it more rightly.
        if country and (key, "") in found and candidate >= found[key, ""]:
            continue
        _, merchant, subcategory = candidate
        countries.setdefault((key, merchant, subcategory), []).append(country)
    return [
        Brand(*names, _is_common(names[0], frequency), () if "" in where else tuple(sorted(where)))
        for names, where in sorted(countries.items())
        if " " in names[0] or frequency(names[0]) < TOO_COMMON_FREQUENCY
    ]


def _keys(item: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Key, merchant and how far the key is from the brand's own name."""
    if "tags" not in item:  # a template, which the index expands for each place
        return
    tags = item["tags"]
    merchant = tags.get("brand:en") or tags.get("name:en") or tags.get("brand") or item["displayName"]
    names = [(tags[name], 1) for name in NAMES if name in tags]
    for text, rank in [*names, *((name, 2) for name in (*item.get("matchNames", []), item["displayName"]))]:
        for part in text.split(";"):
            key = fold(part)
            if len(key) > 2 and any(letter.isalpha() for letter in key):
                yield key, merchant, 0 if key == fold(merchant) else rank


def _countries(item: dict[str, Any]) -> set[str]:
    """Two letters for each place; the empty text for regions of many countries."""
    places = [str(place) for place in item.get("locationSet", {}).get("include", ["001"])]
    return {
        "" if place.isdigit() else place[:2].replace("fx", "fr")
        for place in places
        if place.isdigit() or re.match("[a-z]{2}($|-)", place)
    }


def _is_common(key: str, frequency: Callable[[str], float]) -> bool:
    words = key.split()
    if len(words) > 1:
        rest = words[1:] if words[0] == "the" else words
        return max(map(len, words)) <= 2 or (len(rest) == 1 and _is_common(rest[0], frequency))
    if len(key) < SHORTEST or frequency(key) >= COMMON_FREQUENCY:
        return True
    return key.endswith("s") and frequency(key[:-1]) >= COMMON_STEM_FREQUENCY


def write(brands: list[Brand], seed: Path) -> None:
    """Write the seed."""
    with seed.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["brand_key", "merchant", "subcategory", "is_common", "countries"])
        rows.writerows(
            (b.key, b.merchant, b.subcategory, str(b.is_common).lower(), " ".join(b.countries))
            for b in brands
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m nightledger.merchants.brands", description=__doc__)
    parser.add_argument("index", type=Path, help="folder data/brands of the name-suggestion-index")
    parser.add_argument("--seed", type=Path, default=Path("dbt_project/seeds/brands.csv"))
    arguments = parser.parse_args()
    from wordfreq import zipf_frequency  # type: ignore[import-not-found] # only to make the seed

    write(read(arguments.index, lambda word: float(zipf_frequency(word, "en"))), arguments.seed)


if __name__ == "__main__":
    main()
