"""The lender's files: German CSV with decimal commas and two columns of amounts, and the bureau's JSON arrays."""

import calendar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulation import delivery
from simulation.lending import DEFAULT, Borrowers, Purses, Shown, draw_borrowers, months_of, show, simulate_purses
from simulation.parameters import Bank, Parameters
from simulation.randomness import Stream, generator

TIMEZONE = "Europe/Berlin"
ENCODING = "cp1252"
RETURN_FEE = 850  # cents
RETURNED_AFTER = 3
"""Days after which a direct debit comes back."""
DEFAULT_REPORTED_AFTER = (3, 20)
REPORTED_DEFAULTS = 0.97
"""Defaults of which the labels' feed ever hears."""
CITIES = ("München", "Köln", "Nürnberg", "Düsseldorf", "Würzburg", "Berlin", "Hamburg", "Leipzig")
LEDGER_HEADER = "Buchungsnr;Konto;Kunde;Buchungstag;Belastung;Gutschrift;Art;Verwendungszweck"
CUSTOMER_HEADER = "Kunde;Name;Kunde_seit;Geburtsjahr;Ort;Einkommen_netto"
LOAN_HEADER = "Vertrag;Kunde;Konto;Auszahlung;Betrag;Rate;Laufzeit;Status;Status_seit"
LABEL_HEADER = "Vertrag;Merkmal;Wert;Seit;Quelle"
NAMES = ("Jörg Müller", "Käthe Groß", "Anke Schröder", "Uwe Böhm", "Inge Weiß", "Rolf Jäger")


@dataclass
class _Day:
    """Lines of one day's files."""

    ledger: list[tuple[str, ...]] = field(default_factory=list)
    cents: int = 0
    customers: list[str] = field(default_factory=list)
    loans: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    portal: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Lending:
    """A lender in memory."""

    bank: Bank
    borrowers: Borrowers
    purses: Purses
    shown: Shown

    def month_of(self, day: date) -> int:
        """Number of a date's month; 0 is the first simulated one."""
        return (day.year - self.bank.start.year) * 12 + day.month - self.bank.start.month

    def date_of(self, month: int, day: int) -> date:
        """A day of a month, the last one if the month is shorter."""
        year, number = divmod(self.bank.start.month - 1 + month, 12)
        year += self.bank.start.year
        return date(year, number + 1, min(day, calendar.monthrange(year, number + 1)[1]))


def build_lending(bank: Bank, parameters: Parameters) -> Lending:
    """Draw a lender."""
    borrowers = draw_borrowers(bank)
    purses = simulate_purses(bank, borrowers)
    return Lending(bank, borrowers, purses, show(bank, parameters, borrowers, purses))


def write(bank: Bank, parameters: Parameters, files: Path, truth: Path, through: date) -> delivery.Written:
    """Write the lender's files up to a date; those that are there stay."""
    lending = build_lending(bank, parameters)
    truth.mkdir(parents=True, exist_ok=True)
    files.mkdir(parents=True, exist_ok=True)
    if not (truth / "months.parquet").exists():
        pq.write_table(_truth(lending), truth / "months.parquet")
    days = _Diary(lending).days
    written = delivery.Written()
    flaws: list[dict[str, Any]] = []
    for number in range((through - bank.start).days + 1):
        on = bank.start + timedelta(days=number)
        for file in _files(lending, on, days.get(on, _Day()), flaws):
            delivery.put(files, file, known_at(on), written)
        written.days += 1
    if not (truth / "planted.parquet").exists():
        _Diary.plant(lending, days, bank, truth)
    return written


def known_at(on: date) -> str:
    """When the files of a day are known: 01:00 local time of the next."""
    local = datetime.combine(on + timedelta(days=1), time(1, 0), ZoneInfo(TIMEZONE))
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def euros(cents: int) -> str:
    """An amount as German files write it: 1.234,56."""
    text = f"{Decimal(cents) / 100:,.2f}"
    return text.translate(str.maketrans(",.", ".,"))
