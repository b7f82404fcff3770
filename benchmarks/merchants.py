"""How well merchants are resolved: `python -m benchmarks.merchants`, by labelled descriptors.

Needs the file that the labels were drawn from (`--texts`, a CSV with a column of descriptors).
"""

import argparse
import csv
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import duckdb

from nightledger.merchants.brands import fold
from nightledger.merchants.evaluation import (
    Answer,
    Label,
    Share,
    is_right,
    pairwise,
    read_labels,
    weighted,
    wilson,
)
from nightledger.merchants.suggesting import held_back, suggest
from nightledger.settings import PROJECT
from tests.helpers.real_files import SHARED
from tests.helpers.resolution import resolve

TIERS = ("rule", "alias", "exact", "prefix", "nearest", "name", "unknown")
LABELS = PROJECT / "tests" / "data" / "merchant_labels.csv"
PAGE = PROJECT / "benchmarks" / "merchants_head.md"


def measure(labels: Sequence[Label], rows: Mapping[str, int], answers: Mapping[str, Answer]) -> str:
    """The tables of the page, as Markdown.

    Args:
        labels: the judge.
        rows: transactions of each descriptor.
        answers: the proposal for each descriptor.
    """

    def right(label: Label) -> bool:
        return is_right(label, answers[label.descriptor])

    def of_right_kind(label: Label) -> bool:
        return answers[label.descriptor].subcategory in label.subcategories

    resolved = [label for label in labels if answers[label.descriptor].tier != "unknown"]
    told = [label for label in labels if label.subcategories and answers[label.descriptor].subcategory]
    together, found = pairwise(labels, answers)
    texts, transactions = Counter[str](), Counter[str]()
    for text, count in rows.items():
        texts[answers[text].tier] += 1
        transactions[answers[text].tier] += count

    def estimates(judged: Sequence[Label], holds: Callable[[Label], bool]) -> tuple[Share, Share]:
        return (
            weighted(judged, holds, lambda label: label.weight),
            weighted(judged, holds, lambda label: label.weight * label.transactions),
        )

    names = estimates(resolved, right)
    kinds = estimates(told, of_right_kind)
    covered = [1 - count["unknown"] / count.total() for count in (texts, transactions)]
    branded = [sum(count[tier] for tier in TIERS[:5]) / count.total() for count in (texts, transactions)]
    lines = [
        "| | of descriptors | of transactions |",
        "|---|---|---|",
        f"| resolved (known merchant or one clean name) | {covered[0]:.3f} | {covered[1]:.3f} |",
        f"| resolved to a known merchant | {branded[0]:.3f} | {branded[1]:.3f} |",
        f"| precision of what is resolved | {names[0]} | {names[1]} |",
        f"| precision of the category, where one is given | {kinds[0]} | {kinds[1]} |",
        "",
        f"Pairs of labelled descriptors: precision {together}, recall {found}.",
        "",
        "| tier | descriptors | transactions | labelled | merchant right | category right |",
        "|---|---|---|---|---|---|",
    ]
    for tier in TIERS:
        judged = [label for label in labels if answers[label.descriptor].tier == tier]
        with_kind = [label for label in told if answers[label.descriptor].tier == tier]
        lines.append(
            f"| {tier} | {texts[tier]:,} | {transactions[tier]:,} | {len(judged)} "
            f"| {wilson(sum(map(right, judged)), len(judged))} "
            f"| {wilson(sum(map(of_right_kind, with_kind)), len(with_kind))} |"
        )
    return "\n".join(lines)


def mistakes(labels: Sequence[Label], answers: Mapping[str, Answer]) -> str:
    """What the judge holds to be wrong, one line each."""
    return "\n".join(
        f"| `{label.descriptor}` | {label.transactions} | {label.merchants[0]} | "
        f"{answers[label.descriptor].merchant} | {answers[label.descriptor].tier} |"
        for label in labels
        if not is_right(label, answers[label.descriptor])
    )


def judge_suggestions(labels: Sequence[Label], answers: Mapping[str, Answer]) -> str:
    """How often words suggest a category, and the right one: brands held back whole, and labelled names."""
    with (PROJECT / "dbt_project" / "seeds" / "brands.csv").open(newline="", encoding="utf-8") as file:
        brands = list(csv.DictReader(file))
    keys, kinds = [b["brand_key"] for b in brands], [b["subcategory"] for b in brands]
    asked, suggested, right = held_back(keys, [b["merchant"] for b in brands], kinds)
    names = [label for label in labels if label.subcategories and answers[label.descriptor].tier == "name"]
    given = suggest([fold(answers[label.descriptor].merchant) for label in names], keys, kinds)
    hits = sum(s.subcategory in label.subcategories for s, label in zip(given, names, strict=True))
    told = sum(s.subcategory is not None for s in given)
    return (
        "| asked about | names | with a suggestion | of these right |\n"
        "|---|---|---|---|\n"
        f"| brands held back whole (five folds by merchant) | {asked:,} | {suggested / asked:.2f} "
        f"| {wilson(right, suggested)} |\n"
        f"| labelled descriptors of tier `name` | {len(names)} | {told / len(names):.2f} "
        f"| {wilson(hits, told)} |"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merchants", description=__doc__)
    parser.add_argument(
        "--texts", type=Path, default=SHARED / "birmingham" / "birmingham_2014-04_to_2015-03.csv.gz"
    )
    parser.add_argument("--column", default="MERCHANT NAME")
    parser.add_argument(
        "--country", default="GB", help="where the texts are from: decides which brands count"
    )
    parser.add_argument("--write", type=Path, help="page to write; else the tables are printed")
    arguments = parser.parse_args()
    read = duckdb.read_csv(str(arguments.texts), all_varchar=True)
    texts = read.aggregate(f'"{arguments.column}" as text, count(*) as rows').fetchall()
    rows: dict[str, int] = {text: count for text, count in texts if text}
    labels = read_labels(LABELS)
    with tempfile.TemporaryDirectory() as home:
        answers = resolve(Path(home), [*rows, *(label.descriptor for label in labels)], arguments.country)
    page = PAGE.read_text().format(
        figures=measure(labels, rows, answers),
        suggestions=judge_suggestions(labels, answers),
        mistakes=mistakes(labels, answers),
        transactions=sum(rows.values()),
        texts=len(rows),
    )
    if arguments.write:
        arguments.write.write_text(page)
    else:
        sys.stdout.write(page)


if __name__ == "__main__":
    main()
