"""What the monitoring drill plants, and how: faults and drifts, each of one kind, from one night on."""

import csv
import gzip
import io
import json
import re
import shutil
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import yaml

FIRST = date(2025, 5, 1)
"""Business date of the first night."""
START = date(2024, 1, 1)
SOURCES = ("accounts", "customers", "events", "labels", "transactions")
KNOWN_LOCAL = timedelta(hours=19, minutes=30)
"""01:00 of the next day in India, after midnight UTC of the business date."""


@dataclass(frozen=True)
class Plant:
    """One thing that goes wrong.

    Attributes:
        name: what a person would say.
        on: night from which it can be seen.
        kinds: kinds of incident that are about it.
        causes: kinds of cause that are right; `customers`: nothing upstream has changed.
        says: a word that the named cause must hold, where it has one.
        within: nights within which it must have been seen; slow drifts take longer.
        about: pattern of what it moves, by which an incident with another cause is known to be of it.
        until: night on which it is mended.
    """

    name: str
    on: date
    kinds: frozenset[str]
    causes: frozenset[str]
    says: str = ""
    within: int = 3
    about: str = ""
    until: date | None = None

    @property
    def ends(self) -> date:
        """Last night on which it goes on; what is mended is a change too, and may be seen once more."""
        return self.until or self.on


def night(number: int) -> date:
    """Date of a night of the drill, counted from 1."""
    return FIRST + timedelta(days=number - 1)


LATE, MISSING, CORRECTED, LAYOUT, REQUIRED = night(8), night(27), night(35), night(52), night(62)
CITY, ONLINE, PRICES = night(15), night(40), night(66)
DBT, DBT_BACK = night(84), night(85)
RULES, RULES_BACK = night(98), night(99)
MODEL, MODEL_BACK = night(76), night(112)
DRIFTS = {"city_missing": (0.5, CITY), "online": (0.4, ONLINE), "prices": (0.3, PRICES)}

PLANTS = (
    Plant(
        "a file comes three days late (events)",
        LATE,
        frozenset({"data"}),
        frozenset({"missing file", "late file"}),
        "app",
        about="^app:",
    ),
    Plant(
        "half of the payments lose their city",
        CITY,
        frozenset({"data", "drift"}),
        frozenset({"layout"}),
        "city",
        within=90,
        about="city|away_share",
    ),
    Plant(
        "a file never comes (events)",
        MISSING,
        frozenset({"data"}),
        frozenset({"missing file"}),
        "app",
        about="^app:",
    ),
    Plant(
        "a past day's file comes again with other amounts",
        CORRECTED,
        frozenset({"data"}),
        frozenset({"corrected file"}),
        "core_banking",
        about="^core_banking:",
    ),
    Plant(
        "40 % of payments at terminals move online",
        ONLINE,
        frozenset({"drift"}),
        frozenset({"customers"}),
        within=90,
        about="digital|online|night|top|mode",
    ),
    Plant(
        "a column of a file has another name, for three days (events)",
        LAYOUT,
        frozenset({"data"}),
        frozenset({"layout"}),
        "app",
        about="^app:",
        until=LAYOUT + timedelta(days=3),
    ),
    Plant(
        "the required transactions come a day late: the night fails",
        REQUIRED,
        frozenset({"night failed"}),
        frozenset({"missing file"}),
        "core_banking",
    ),
    Plant(
        "prices rise by 30 %",
        PRICES,
        frozenset({"drift"}),
        frozenset({"customers"}),
        within=90,
        about="amount|spend|balance|saving",
    ),
    Plant(
        "a mistake in dbt: weekends are counted twice; models refuse to score other features than theirs",
        DBT,
        frozenset({"night failed"}),
        frozenset({"dbt"}),
        "int_activity_windowed",
        until=DBT_BACK,
    ),
    Plant(
        "a release of merchant rules without a training: supermarkets are called department stores",
        RULES,
        frozenset({"night failed"}),
        frozenset({"dbt"}),
        "mcc_categories",
        until=RULES_BACK,
    ),
    Plant(
        "the newest champion of churn is taken back",
        MODEL_BACK,
        frozenset({"champion demoted", "drift"}),
        frozenset({"model"}),
        "churn",
        within=7,
    ),
)


def copy_project(source: Path, target: Path) -> None:
    """A dbt project of its own, which the drill may spoil."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("target", "logs", ".user.yml"))


def write_contracts(source: Path, target: Path) -> None:
    """The simulated bank's contracts, with a calendar for events, and transactions that may be corrected."""
    target.mkdir()
    for name in SOURCES:
        text = yaml.safe_load((source / f"demo_bank_{name}.yml").read_text())
        if name == "events":
            day = {"pattern": r"(\d{4}-\d{2}-\d{2})"}
            text["delivery"] |= {"calendar": "daily", "starts": FIRST.isoformat(), "day": day}
        if name == "transactions":
            text["delivery"]["mode"] = "upsert"
        (target / f"demo_bank_{name}.yml").write_text(yaml.safe_dump(text, sort_keys=False))


def _change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    if before not in text:
        raise RuntimeError(f"{path} has no {before!r}: plant something else")
    path.write_text(text.replace(before, after))


WEEKENDS = ("intermediate/as_of/int_activity_windowed.sql", "transactions_6 + transactions_7")
MCC = ("5411,supermarket", "5411,department_store")


def spoil_project(project: Path, day: date) -> None:
    """Plant the mistake in dbt and the release of rules on their nights, and mend them on theirs."""
    path, right = project / "models" / WEEKENDS[0], WEEKENDS[1]
    wrong = f"2 * ({right})"
    if day == DBT:
        _change(path, right, wrong)
    if day == DBT_BACK:
        _change(path, wrong, right)
    if day == RULES:
        _change(project / "seeds" / "mcc_categories.csv", *MCC)
    if day == RULES_BACK:
        _change(project / "seeds" / "mcc_categories.csv", *reversed(MCC))


@dataclass
class Delivery:
    """Moves the bank's files into the inbox as the nights go on, disturbed as planted."""

    files: Path
    inbox: Path
    waiting: list[tuple[date, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inbox.mkdir()
        for path in self.files.iterdir():
            found = re.search(r"\d{4}-\d{2}-\d{2}", path.name)
            if found and not path.name.endswith(".manifest.json"):
                self.waiting.append((_arrives(path.name, date.fromisoformat(found[0])), path.name))
        self.waiting.sort(reverse=True)

    def through(self, day: date) -> None:
        """Put into the inbox what arrives up to a night."""
        while self.waiting and self.waiting[-1][0] <= day:
            arrives, name = self.waiting.pop()
            self._put(name, arrives)
        if day == CORRECTED:
            self._correct(f"transactions_{CORRECTED - timedelta(days=10)}.csv.gz", day)
        if day == LAYOUT + timedelta(days=3):  # the bank sends the three days again as they should be
            for ago in range(3):
                self._put(f"events_{LAYOUT + timedelta(days=ago)}.jsonl.gz", day, is_again=True)

    def _put(self, name: str, arrives: date, *, is_again: bool = False) -> None:
        content = (self.files / name).read_bytes()
        manifest = json.loads((self.files / f"{name}.manifest.json").read_text())
        own_day = date.fromisoformat(re.search(r"\d{4}-\d{2}-\d{2}", name)[0])  # type: ignore[index]
        if arrives > own_day:
            manifest["known_at"] = _known(arrives)
        is_disturbed = name.startswith("events_") and LAYOUT <= own_day < LAYOUT + timedelta(days=3)
        if is_disturbed and not is_again:
            text = gzip.decompress(content).decode().replace('"event_type":', '"kind_of_event":')
            content = gzip.compress(text.encode(), mtime=0)
        self._write(name, content, manifest)

    def _correct(self, name: str, day: date) -> None:
        """The file of a past day again: every tenth card payment was 10 more, and so was the sum."""
        manifest = json.loads((self.files / f"{name}.manifest.json").read_text())
        rows = list(csv.DictReader(io.StringIO(gzip.decompress((self.files / name).read_bytes()).decode())))
        for row in [row for row in rows if row["txn_type"] == "PUR"][::10]:
            row["amount"] = str(Decimal(row["amount"]) - 10)
        out = io.StringIO()
        writer = csv.DictWriter(out, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        manifest |= {"known_at": _known(day), "sum": str(_sum(rows))}
        self._write(name, gzip.compress(out.getvalue().encode(), mtime=0), manifest)

    def _write(self, name: str, content: bytes, manifest: dict[str, object]) -> None:
        (self.inbox / f"{name}.manifest.json").write_text(json.dumps(manifest))
        (self.inbox / name).write_bytes(content)


def _sum(rows: list[dict[str, str]]) -> Decimal:
    """Sum of the amounts that can be read; a malformed one is no part of what the bank states."""
    total = Decimal(0)
    for row in rows:
        if re.fullmatch(r"-?\d+(\.\d+)?", row["amount"]):
            total += Decimal(row["amount"])
    return total


def _known(day: date) -> str:
    return (datetime.combine(day, time(), UTC) + KNOWN_LOCAL).strftime("%Y-%m-%dT%H:%M:%SZ")


def _arrives(name: str, day: date) -> date:
    """Night by which a file is there."""
    if name.startswith("events_") and day == LATE:
        return day + timedelta(days=3)
    if name.startswith("events_") and day == MISSING:
        return date.max
    if name.startswith("transactions_") and day == REQUIRED:
        return day + timedelta(days=1)
    return day
