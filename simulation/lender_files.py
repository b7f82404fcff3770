"""The lender's files: German CSV with decimal commas and two columns of amounts, and the bureau's JSON
arrays."""

import calendar
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulation.delivery import DataFile, Written, known_at, put_file
from simulation.lending import (
    DEFAULT,
    Borrowers,
    Purses,
    Shown,
    draw_borrowers,
    months_of,
    show,
    simulate_purses,
)
from simulation.parameters import Bank, Parameters
from simulation.randomness import Stream, generator
from simulation.text import rupees

TIMEZONE, ENCODING = "Europe/Berlin", "cp1252"
RETURN_FEE = 850  # cents
RETURNED_AFTER = 3
"""Days after which a direct debit comes back."""
REPORTED_DEFAULTS = 0.97
"""Defaults of which the labels' feed ever hears."""
LATE_SHARE, AGAIN_SHARE = 0.05, 0.03
"""Ledger files that come a day late, and that are sent a second time under another name."""
MALFORMED_SHARE, MALFORMED_MIN_ROWS = 0.5, 101
CITIES = ("München", "Köln", "Nürnberg", "Düsseldorf", "Würzburg", "Berlin", "Hamburg", "Leipzig")
NAMES = ("Jörg Müller", "Käthe Groß", "Anke Schröder", "Uwe Böhm", "Inge Weiß", "Rolf Jäger")
HEADERS = {
    "umsaetze": "Buchungsnr;Konto;Kunde;Buchungstag;Belastung;Gutschrift;Art;Verwendungszweck",
    "kunden": "Kunde;Name;Kunde_seit;Geburtsjahr;Ort;Einkommen_netto",
    "konten": "Konto;Kunde;Typ;Eroeffnet",
    "vertraege": "Vertrag;Kunde;Konto;Auszahlung;Betrag;Rate;Laufzeit;Status;Status_seit",
    "ausfaelle": "Vertrag;Merkmal;Wert;Seit;Quelle",
}


@dataclass(frozen=True)
class Lending:
    """A lender in memory."""

    bank: Bank
    borrowers: Borrowers
    purses: Purses
    shown: Shown

    def date_of(self, month: int, day: int) -> date:
        """A day of a simulated month, the last one if the month is shorter."""
        year, number = divmod(self.bank.start.month - 1 + month, 12)
        year += self.bank.start.year
        return date(year, number + 1, min(day, calendar.monthrange(year, number + 1)[1]))


def build_lending(bank: Bank, parameters: Parameters) -> Lending:
    """Draw a lender."""
    borrowers = draw_borrowers(bank)
    purses = simulate_purses(bank, borrowers)
    return Lending(bank, borrowers, purses, show(bank, parameters, borrowers, purses))


@dataclass
class _Page:
    """Lines of one day's files, by file; `cents` is the signed sum of the ledger."""

    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    cents: int = 0


class _Diary:
    """What happens on each day, written into pages month by month."""

    def __init__(self, lending: Lending) -> None:
        self.lending = lending
        self.pages: dict[date, _Page] = defaultdict(_Page)
        self.rng = generator(lending.bank, Stream.LENDING, 3)
        self.first = lending.bank.start
        for borrower in range(len(lending.borrowers)):
            self._grant(borrower)
        for month in range(months_of(lending.bank)):
            self._month(month)

    def _page(self, on: date) -> _Page:
        return self.pages[max(on, self.first)]

    def _grant(self, who: int) -> None:
        of = self.lending.borrowers
        granted = self.lending.date_of(int(of.granted[who]), int(of.due_day[who]))
        page, customer, account = self._page(granted), of.customer_id[who], _account(of, who)
        name, city = NAMES[who % len(NAMES)], CITIES[of.city[who]]
        page.lines["kunden"].append(
            f"{customer};{name};{_german(granted)};{of.birth_year[who]};{city};{euros(int(of.declared_income[who]))}"
        )
        page.lines["konten"].append(f"{account};{customer};Darlehen;{_german(granted)}")
        page.lines["vertraege"].append(self._contract(who, granted, "laufend", granted))
        if granted >= self.first:
            principal = int(of.instalment[who] * of.term[who] * 0.85)
            self._book(who, granted, principal, "AUSZ", f"Auszahlung Darlehen {of.loan_id[who]}")

    def _contract(self, who: int, granted: date, status: str, since: date) -> str:
        of = self.lending.borrowers
        principal = euros(int(of.instalment[who] * of.term[who] * 0.85))
        return (
            f"{of.loan_id[who]};{of.customer_id[who]};{_account(of, who)};{_german(granted)};{principal};"
            f"{euros(int(of.instalment[who]))};{of.term[who]};{status};{_german(since)}"
        )

    def _book(self, who: int, on: date, cents: int, kind: str, words: str) -> None:
        """One line of the ledger; negative leaves the customer."""
        of, page = self.lending.borrowers, self._page(on)
        number = f"B{on:%y%m%d}{who:05d}{kind}"
        debit, credit = (euros(-cents), "") if cents < 0 else ("", euros(cents))
        page.cents += cents
        fields = (number, _account(of, who), of.customer_id[who], _german(on), debit, credit, kind, words)
        page.lines["umsaetze"].append(";".join(fields))

    def _month(self, month: int) -> None:
        lending = self.lending
        of, purses, shown = lending.borrowers, lending.purses, lending.shown
        reported = self.rng.random(len(of)) < REPORTED_DEFAULTS
        waits = self.rng.integers(3, 20, len(of))
        for who in np.flatnonzero(of.granted < month).tolist():
            before = int(purses.owed[month - 1, who]) if month else 0
            owed, paid, late = (int(a[month, who]) for a in (purses.owed, purses.paid, shown.late_days))
            due, rate = lending.date_of(month, int(of.due_day[who])), int(of.instalment[who])
            if before >= DEFAULT:
                continue
            words = f"Rate Darlehen {of.loan_id[who]}"
            if paid and not late:
                self._book(who, due, -rate * paid, "RATE", words)
            else:
                back = due + timedelta(days=RETURNED_AFTER)
                self._book(who, due, -rate, "RATE", words)
                self._book(who, back, rate, "RLS", f"Rücklastschrift {of.loan_id[who]}")
                self._book(who, back, -RETURN_FEE, "GEB", "Gebühr Rücklastschrift")
                if paid:
                    self._book(
                        who,
                        back + timedelta(days=late),
                        -rate * paid,
                        "ZWEI",
                        f"Zweiteinzug {of.loan_id[who]}",
                    )
            granted = lending.date_of(int(of.granted[who]), int(of.due_day[who]))
            status = "ausgefallen" if owed >= DEFAULT else "verzug" if owed >= 2 else "laufend"
            was = "verzug" if before >= 2 else "laufend"
            if status != was:
                self._page(due).lines["vertraege"].append(self._contract(who, granted, status, due))
            if owed >= DEFAULT and reported[who]:
                told = due + timedelta(days=int(waits[who]))
                self._page(told).lines["ausfaelle"].append(
                    f"{of.loan_id[who]};ausfall;ja;{_german(due)};Inkasso"
                )
        self._portal(month)
        self._bureau(month)

    def _portal(self, month: int) -> None:
        """The portal's log comes once a month, on its last day."""
        lending = self.lending
        runs = lending.borrowers.granted <= month
        for kind, counts in (("login", lending.shown.logins), ("support_contact", lending.shown.contacts)):
            for who, times in enumerate((counts[month] * runs).tolist()):
                for _ in range(times):
                    on = lending.date_of(month, int(self.rng.integers(1, 29)))
                    second = int(self.rng.integers(7 * 3600, 22 * 3600))
                    if on >= self.first:
                        at = f"{on} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
                        event = {"kunde": lending.borrowers.customer_id[who], "zeit": at, "art": kind}
                        self._page(lending.date_of(month, 31)).lines["portal"].append(json.dumps(event))

    def _bureau(self, month: int) -> None:
        """What the bureau says of a month comes on the fifth of the next."""
        lending, of, shown = self.lending, self.lending.borrowers, self.lending.shown
        stand = lending.date_of(month, 31)
        page = self._page(lending.date_of(month + 1, 5))
        for who in np.flatnonzero(of.granted <= month).tolist():
            limit = int(of.limit_elsewhere[who])
            record = {
                "kunde": of.customer_id[who],
                "stand": stand.isoformat(),
                "saldo": f"{round(limit * float(shown.used_elsewhere[month, who])) / 100:.2f}",
                "rahmen": f"{limit / 100:.2f}",
                "konten": int(of.accounts_elsewhere[who]),
                "rueckstaende": int(shown.arrears_elsewhere[month, who]),
            }
            page.lines["auskunft"].append(json.dumps(record))


def write(bank: Bank, parameters: Parameters, files: Path, truth: Path, through: date) -> Written:
    """Write the lender's files up to a date; those that are there stay."""
    lending = build_lending(bank, parameters)
    truth.mkdir(parents=True, exist_ok=True)
    files.mkdir(parents=True, exist_ok=True)
    pages = _Diary(lending).pages
    rng = generator(bank, Stream.DELIVERY, 2)
    written = Written()
    planted: list[dict[str, Any]] = []
    for number in range(bank.horizon):
        on = bank.start + timedelta(days=number)
        chance = rng.random(3)
        for file in _files(on, pages.get(on, _Page()), float(chance[2]), planted):
            is_ledger = file.name.startswith("umsaetze")
            arrives = on + timedelta(days=int(is_ledger and chance[0] < LATE_SHARE))
            copies = [(file, arrives)]
            if is_ledger and chance[1] < AGAIN_SHARE:
                again = DataFile(file.name.replace(".csv", "_nochmal.csv"), file.text, file.rows, file.total)
                copies.append((again, arrives + timedelta(days=1)))
            for one, arrival in copies:
                if arrival <= through:
                    put_file(files, one, known_at(arrival, TIMEZONE), written)
    written.days = (through - bank.start).days + 1
    schema = pa.schema([("file", pa.string()), ("record", pa.int64()), ("flaw", pa.string())])
    pq.write_table(pa.Table.from_pylist(planted, schema), truth / "planted.parquet")
    pq.write_table(_truth(lending), truth / "months.parquet")
    return written


def _files(on: date, page: _Page, chance: float, planted: list[dict[str, Any]]) -> list[DataFile]:
    files = []
    for kind, header in HEADERS.items():
        lines = list(page.lines.get(kind, ()))
        if not lines:
            continue
        name, total = f"{kind}_{on}.csv", None
        if kind == "umsaetze":
            total = rupees(page.cents)
            if len(lines) >= MALFORMED_MIN_ROWS and chance < MALFORMED_SHARE:
                place = len(lines) // 2
                lines[place] = lines[place].replace(_german(on), f"31.02.{on:%Y}")
                planted.append({"file": name, "record": place + 1, "flaw": "time"})
        body = "\r\n".join([header, *lines, ""]).encode(ENCODING)
        counted = {"umsaetze": "transactions", "kunden": "customers"}.get(kind, "")
        files.append(DataFile(name, body, len(lines), total, counted))
    portal = page.lines.get("portal", [])
    if portal:
        body = "".join(f"{line}\n" for line in sorted(portal)).encode()
        files.append(DataFile(f"portal_{on}.jsonl", body, len(portal), feed="events"))
    bureau = page.lines.get("auskunft", [])
    if bureau:
        body = f'{{"auskunftei": "Demo", "personen": [{", ".join(bureau)}]}}'.encode()
        files.append(DataFile(f"auskunft_{on}.json", body, len(bureau)))
    return files


def _truth(lending: Lending) -> pa.Table:
    """One row per month and borrower with a running loan: the hidden purse, income and what is owed."""
    of, purses = lending.borrowers, lending.purses
    month, who = np.nonzero(np.arange(len(purses.owed))[:, None] >= of.granted[None, :])
    return pa.table(
        {
            "month": [lending.date_of(number, 31) for number in month.tolist()],
            "customer_id": pa.array(of.customer_id).take(who),
            "loan_id": pa.array(of.loan_id).take(who),
            "income": purses.income[month, who],
            "purse": purses.purse[month, who],
            "owed": purses.owed[month, who],
        }
    )


def _account(of: Borrowers, who: int) -> str:
    return f"DE{of.loan_id[who][2:]}01"


def _german(on: date) -> str:
    return f"{on:%d.%m.%Y}"


def euros(cents: int) -> str:
    """An amount as German files write it: 1.234,56."""
    return f"{cents / 100:,.2f}".translate(str.maketrans(",.", ".,"))
