"""The three clients: a neobank, a wallet and a lender, each with its own customers, files and truth."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from simulation import files, lender_files, wallet_files
from simulation.parameters import Bank, Parameters
from simulation.truth import holds_truth, write_identity

CLIENTS = ("neobank", "wallet", "lender")
SIZES = {"neobank": 1.0, "wallet": 0.125, "lender": 0.25}
"""Customers beside those of the neobank."""
SEEDS = {"neobank": 0, "wallet": 1_000_001, "lender": 2_000_003}
"""Added to the seed, so that no client is another's twin."""
WRITERS = {"wallet": wallet_files.write, "lender": lender_files.write}


def bank_of(bank: Bank, client: str) -> Bank:
    """The bank of one client: its own size and seed."""
    return replace(
        bank,
        customers=max(round(bank.customers * SIZES[client]), 20),
        seed=bank.seed + SEEDS[client],
        more_events=bank.more_events and client == "neobank",
    )


def make_clients(
    bank: Bank, out: Path, clients: Sequence[str], through: date | None = None
) -> dict[str, Any]:
    """Write the files of some clients up to a date.

    The neobank's stand in `files/` and `truth/`, the others' in folders of their name below them.

    Returns:
        Numbers of what was written: the neobank's as they are, the others' under their name.

    Raises:
        ValueError: there is no such client, or the date is outside the simulated days.
        TruthError: `out` belongs to another bank.
    """
    unknown = [client for client in clients if client not in CLIENTS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no client; the clients are {', '.join(CLIENTS)}")
    through = through or bank.last_day
    if not 0 <= (through - bank.start).days < bank.horizon:
        raise ValueError(f"{through} is outside the {bank.horizon} simulated days from {bank.start}")
    result: dict[str, Any] = {}
    for client in clients:
        own = bank_of(bank, client)
        if client == "neobank":
            result |= files.make(own, out, through).as_dict()
            continue
        parameters = Parameters().at(own.difficulty)
        truth = out / "truth" / client
        holds_truth(truth, own, parameters)
        written = WRITERS[client](own, parameters, out / "files" / client, truth, through)
        write_identity(truth, own, parameters)
        result[client] = written.as_dict()
    return result
