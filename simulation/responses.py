"""A planted campaign: customers of a target list, a known share of whom does as hoped because of the contact.

`python -m simulation contact` notes a list among the truth; the days that are made afterwards show who buys a
first insurance. Responders are drawn among those who have none, so that nobody of them would have bought it
without the contact: the share of the contacted who respond is the campaign's true effect on them.
"""

import csv
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from simulation import text
from simulation.latent import State
from simulation.life import NEVER
from simulation.more import MoreLife
from simulation.parameters import BLOCK_DAYS
from simulation.people import Integers
from simulation.randomness import Stream, generator
from simulation.rows import Kind, Mode, Rows, rows
from simulation.schedule import in_paise
from simulation.truth import TruthError
from simulation.world import World

CONTACTED = "contacted.parquet"
WITHIN_DAYS = 14
"""Who responds pays from the second day after the contact to this one."""
_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("contacted_on", pa.date32()),
        ("responds_on", pa.date32()),
    ]
)


@dataclass(frozen=True)
class Responses:
    """Who responds, and on which simulated day."""

    customer: Integers
    day: Integers

    def rows(self, world: World, block: int, first: int, last: int) -> Rows:
        """The first premiums of the days [first, last), which are a block."""
        due = (self.day >= first) & (self.day < last)
        customer, day = self.customer[due], self.day[due]
        rng = generator(world.bank, Stream.RESPONSES, block + 1)
        return rows(
            customer,
            day,
            rng.integers(4 * 3600, 9 * 3600, len(day)),
            -in_paise(np.round(1_500 * world.people.means[customer])),
            text.join("ACH D- LIC OF INDIA-", text.digits(customer * 11 + 800_000)),
            mode=Mode.NACH,
            kind=Kind.INS,
        )


def contact(world: World, out: Path, targets: Path, on: date, uplift: float) -> dict[str, float]:
    """Note that the customers of a list are contacted on a date.

    Args:
        world: the bank.
        out: its folder, with `files/` and `truth/`.
        targets: CSV with `customer_id`, as `make targets` writes it.
        on: the as-of date of the list.
        uplift: share of the contacted who do as hoped because of it.

    Returns:
        contacted, responding, and the effect: their quotient.

    Raises:
        ValueError: days after the contact are there already, a customer is unknown, or too few can respond.
        TruthError: the folder holds no truth.
    """
    truth = out / "truth"
    if not truth.exists():
        raise TruthError(f"{truth} is not there: make the bank first (python -m simulation make)")
    if not 0 <= uplift <= 1:
        raise ValueError("the uplift is a share from 0 to 1")
    there = sorted((out / "files").glob("transactions_*.csv.gz"))
    if there and _day(there[-1]) > on:
        raise ValueError(f"{there[-1].name} is there already: contact customers before later days are made")
    with targets.open(newline="", encoding="utf-8") as file:
        named = sorted({row["customer_id"] for row in csv.DictReader(file)})
    place = {name: number for number, name in enumerate(world.people.customer_id)}
    if unknown := [name for name in named if name not in place]:
        raise ValueError(f"{targets}: {unknown[0]} is no customer of this bank")
    customer = np.array([place[name] for name in named], dtype=np.int64)
    day = (on - world.bank.start).days
    last = min(day + WITHIN_DAYS, world.days.count - 1)
    can = (world.people.premium[customer] == 0) & (world.latent.state[last, customer] < State.LEFT)
    if world.more is not None:
        can &= world.more.day[MoreLife.CAR, customer] == NEVER
    wanted = round(uplift * len(customer))
    if wanted > can.sum():
        raise ValueError(f"{wanted} of {len(customer)} are to respond; only {can.sum()} can")
    rng = generator(world.bank, Stream.RESPONSES, 10**6 + day)
    responds = np.sort(rng.permutation(np.flatnonzero(can))[:wanted])
    when = dict(zip(responds.tolist(), rng.integers(2, WITHIN_DAYS + 1, wanted).tolist(), strict=True))
    found = [
        {
            "customer_id": name,
            "contacted_on": on,
            "responds_on": on + timedelta(days=when[at]) if at in when else None,
        }
        for at, name in enumerate(named)
    ]
    known = _read(truth)
    known = known.filter(pc.not_equal(known["contacted_on"], pa.scalar(on)))
    pq.write_table(pa.concat_tables([known, pa.Table.from_pylist(found, _SCHEMA)]), truth / CONTACTED)
    # What is true of the rest of this block follows from its rows: it is written again with them.
    for path in truth.glob(f"*/block_{(day + 1) // BLOCK_DAYS:03d}.parquet"):
        path.unlink()
    return {"contacted": len(named), "responding": wanted, "effect": wanted / max(len(named), 1)}


def read_responses(world: World, truth: Path) -> Responses | None:
    """Who responds to the campaigns that were noted; None where there were none."""
    table = _read(truth)
    if not table.num_rows:
        return None
    place = {name: number for number, name in enumerate(world.people.customer_id)}
    pairs = [
        (place[row["customer_id"]], (row["responds_on"] - world.bank.start).days)
        for row in table.to_pylist()
        if row["responds_on"] is not None
    ]
    customer, day = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Responses(customer, day)


def _read(truth: Path) -> pa.Table:
    path = truth / CONTACTED
    return pq.read_table(path) if path.exists() else _SCHEMA.empty_table()


def _day(path: Path) -> date:
    return date.fromisoformat(path.name.removeprefix("transactions_").removesuffix(".csv.gz"))
