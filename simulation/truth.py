"""The truth folder: what no file of the bank shows. Ingestion never reads it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from simulation.events import Events
from simulation.latent import DISSATISFIED, OFFER, SHOCK, STATES, Chain, Dispositions, State
from simulation.life import Life
from simulation.more import MoreLife
from simulation.parameters import BLOCK_DAYS, Bank, Parameters
from simulation.profiles import closed_day
from simulation.rows import Rows
from simulation.statements import Flaw, Statements
from simulation.transactions import Block
from simulation.world import CONTACTS, World

BANK, CUSTOMERS, DAYS, PLANTED = "bank.json", "customers.parquet", "days.parquet", "planted"
PAYMENTS, EXPOSED, NEW_DEVICES, LIVES = "payments", "exposed", "new_devices", "lives.parquet"


class TruthError(ValueError):
    """The truth folder cannot answer; the message says why and what to do."""


def holds_truth(folder: Path, bank: Bank, parameters: Parameters) -> bool:
    """Whether the truth of this bank is there already.

    Raises:
        TruthError: the folder belongs to another bank or other parameters.
    """
    if not (folder / BANK).exists():
        return False
    if (folder / BANK).read_text() != _identity(bank, parameters):
        raise TruthError(
            f"{folder} holds the truth of another bank (customers, start, days, seed or parameters differ); "
            "use the same values or another directory"
        )
    return True


def _identity(bank: Bank, parameters: Parameters) -> str:
    return json.dumps({"bank": bank.as_dict(), "parameters": parameters.as_dict()}, indent=2)


def write_truth(world: World, folder: Path) -> None:
    """Write the truth over the whole horizon, whatever part of the files is written."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(_customers(world), folder / CUSTOMERS)
    pq.write_table(_days(world), folder / DAYS)
    pq.write_table(_lives(world), folder / LIVES)
    write_identity(folder, world.bank, world.parameters)


def write_identity(folder: Path, bank: Bank, parameters: Parameters) -> None:
    """Say whose truth it is; written last, so its presence says that the rest is whole."""
    (folder / BANK).write_text(_identity(bank, parameters))


def write_block(
    world: World, folder: Path, number: int, drawn: Block, rows: Rows, statements: Statements, events: Events
) -> None:
    """Write what is true of a block's files: malformed records, thefts, what payments are for."""
    targets = [
        folder / name / f"block_{number:03d}.parquet" for name in (PLANTED, PAYMENTS, EXPOSED, NEW_DEVICES)
    ]
    for target in targets:
        target.parent.mkdir(exist_ok=True)
    if not targets[0].exists():
        pq.write_table(_planted(world, statements, number), targets[0])
    if not targets[1].exists():
        chosen = np.flatnonzero((rows.category >= 0) & (rows.paise < 0) & ~rows.is_pending)
        columns = (
            "number",
            "customer",
            "day",
            "second",
            "file_day",
            "category",
            "paise",
            "mode",
            "channel",
            "fraud",
        )
        table = {name: getattr(rows, name)[chosen].astype(np.int64) for name in columns}
        table["is_stranger"] = rows.contact[chosen] >= len(world.people) * CONTACTS
        pq.write_table(pa.table(table), targets[1])
    if not targets[2].exists():
        pq.write_table(pa.table({"customer": drawn.exposed.customer, "day": drawn.exposed.day}), targets[2])
    if not targets[3].exists():
        new = events.is_new_device
        pq.write_table(pa.table({"customer": events.customer[new], "day": events.day[new]}), targets[3])


def _planted(world: World, statements: Statements, block: int) -> pa.Table:
    """The malformed records: file, record (1 = first after the header), flaw."""
    planted: list[dict[str, Any]] = []
    for day in range(block * BLOCK_DAYS, min((block + 1) * BLOCK_DAYS, world.days.count)):
        flaws = statements.flaw[statements.lines.rows(day)]
        planted += [
            {
                "file": f"transactions_{world.days.date(day)}.csv.gz",
                "record": record + 1,
                "flaw": Flaw(flaws[record]).name.lower(),
            }
            for record in np.flatnonzero(flaws).tolist()
        ]
    schema = pa.schema([("file", pa.string()), ("record", pa.int64()), ("flaw", pa.string())])
    return pa.Table.from_pylist(planted, schema)


def _date_of(world: World, day: npt.NDArray[np.int64], mask: Any) -> pa.Array:
    start = world.days.datetime64[0].astype("datetime64[D]")
    return pa.array(start + day.astype("timedelta64[D]"), mask=mask)


def _customers(world: World) -> pa.Table:
    """One row per customer: dispositions, and when and why they went for the first time."""
    people, latent = world.people, world.latent
    gone = (latent.state == State.LEFT) | (latent.state == State.CLOSED)
    has_left = gone.any(axis=0)
    left = gone.argmax(axis=0)
    deciding = (latent.state >= State.FADING_1) & (latent.state <= State.LEFT)
    decided = deciding.argmax(axis=0)
    # Causes are frozen from the decision on, so those of the first day after it are the ones that led to it.
    causes = latent.causes[decided, np.arange(len(people))]
    causes = np.where(deciding.any(axis=0), causes, 0)
    closed = closed_day(world)
    columns: dict[str, Any] = {
        "customer_id": people.customer_id,
        "signed_up_day": people.signed_up,
        "work": people.work,
        "is_occasional": people.is_occasional,
        "visit_rate": people.visit_rate,
        "payments_per_visit": people.payments_per_visit,
        "login_rate": people.login_rate,
        "hazard": people.hazard,
        "pause_onset": people.pause_onset,
        "fade_pace": people.fade_pace,
        "closes": people.closes,
        "decided_on": _date_of(world, decided, ~deciding.any(axis=0)),
        "left_on": _date_of(world, left, ~has_left),
        "closed_on": _date_of(world, closed, closed < 0),
        "left_while_dissatisfied": (causes & DISSATISFIED) > 0,
        "left_in_income_shock": (causes & SHOCK) > 0,
        "left_with_offer": (causes & OFFER) > 0,
    }
    return pa.table(columns)


def _lives(world: World) -> pa.Table:
    """One row per life event or intent: customer, kind, date."""
    names, days = [one.name.lower() for one in Life], world.lives.day
    if world.more is not None:
        names, days = [*names, *(one.name.lower() for one in MoreLife)], np.vstack([days, world.more.day])
    kind, customer = np.nonzero(days < world.days.count)
    day = days[kind, customer]
    return pa.table(
        {
            "customer_id": pa.array(world.people.customer_id).take(customer),
            "kind": pa.array(names).take(kind),
            "date": _date_of(world, day, np.zeros(len(day), dtype=np.bool_)),
        }
    )


def _days(world: World) -> pa.Table:
    """One row per day and customer, day by day in the order of `customers.parquet`.

    `visit_rate` and `base_visit_rate` are intensities of days on which the customer starts a transaction, in
    the realised state and if nothing pressed; `expected_transactions` is the mean number started that day.
    """
    latent, shape = world.latent, world.latent.state.shape
    number = np.repeat(np.arange(shape[0], dtype=np.int32), shape[1])
    who = pa.array(np.tile(np.arange(shape[1], dtype=np.int32), shape[0]))
    expected = -np.expm1(-latent.visit_rate) * (1 + world.people.payments_per_visit)
    return pa.table(
        {
            "date": _date_of(world, number.astype(np.int64), np.zeros(len(number), dtype=np.bool_)),
            "customer_id": pa.DictionaryArray.from_arrays(who, pa.array(world.people.customer_id)),
            "state": pa.DictionaryArray.from_arrays(pa.array(latent.state.ravel()), pa.array(STATES)),
            "causes": latent.causes.ravel(),
            "leave_probability": latent.decision.ravel(),
            "base_visit_rate": world.chain.base_visits.ravel(),
            "visit_rate": latent.visit_rate.ravel(),
            "expected_transactions": expected.astype(np.float32).ravel(),
            "is_visit": latent.is_visit.ravel(),
        }
    )


@dataclass(frozen=True)
class Truth:
    """A truth folder as the ceiling needs it."""

    bank: Bank
    chain: Chain
    customer_id: list[str]
    state: npt.NDArray[np.int8]
    causes: npt.NDArray[np.int64]


def read_truth(folder: Path) -> Truth:
    """Read a truth folder.

    Raises:
        TruthError: there is no whole truth in the folder.
    """
    if not (folder / BANK).exists():
        raise TruthError(f"{folder} holds no {BANK}: make the bank first (python -m simulation make)")
    identity = json.loads((folder / BANK).read_text())
    bank = Bank.from_dict(identity["bank"])
    parameters = Parameters.from_dict(identity["parameters"])
    customers = pq.read_table(folder / CUSTOMERS)
    days = pq.read_table(folder / DAYS, columns=["state", "causes", "base_visit_rate"])
    shape = (bank.horizon, customers.num_rows)

    def column(name: str) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = customers[name].to_numpy()
        return values

    states = days["state"].combine_chunks()
    codes = np.array([STATES.index(name) for name in states.dictionary.to_pylist()], dtype=np.int8)
    dispositions = ("signed_up_day", "hazard", "pause_onset", "fade_pace", "closes")
    return Truth(
        bank=bank,
        chain=Chain(
            parameters.leaving,
            Dispositions(*(column(name) for name in dispositions)),
            days["base_visit_rate"].to_numpy().reshape(shape),
        ),
        customer_id=customers["customer_id"].to_pylist(),
        state=codes[states.indices.to_numpy()].reshape(shape),
        causes=days["causes"].to_numpy().astype(np.int64).reshape(shape),
    )
