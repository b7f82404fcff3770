"""The wallet's files: one JSON object a line, times in seconds since 1970, unsigned amounts with a word
for the way.

Its users are customers of the same kind of hidden chain as the bank's (`latent`), who pay small amounts.
The purse is prepaid: when it does not reach, it is topped up first from the user's own bank account.
"""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from simulation.delivery import DataFile, Written, known_at, put_file
from simulation.events import draw_events, event_lines
from simulation.latent import State
from simulation.names import CITIES
from simulation.parameters import BLOCK_DAYS, TIMEZONE, Bank, Parameters
from simulation.profiles import closed_day
from simulation.purchases import draw_purchases
from simulation.randomness import Stream, generator
from simulation.rows import Channel, Kind, Mode, Rows
from simulation.text import Lines, rupees
from simulation.truth import write_truth
from simulation.world import World, build_world

SMALL = 0.3
"""Amounts beside those that a bank's customer pays for the same thing."""
STEP = 50_000
"""Top-ups are multiples of this many paise."""
CASHBACK_SHARE, CASHBACK_RATE = 0.08, 0.02
RECEIVED_SHARE = 0.06
"""Payments beside which a friend sends money too."""
LATE_SHARE, AGAIN_SHARE, CORRECTED_SHARE = 0.04, 0.03, 0.05
"""Files that come a day late, that are sent twice, and that are corrected three days later."""
CORRECTED_RECORDS = 3
MALFORMED_SHARE, MALFORMED_MIN_ROWS = 0.1, 120
OUT = ("PAID", "SENT")
IN = ("TOPUP", "RECEIVED", "CASHBACK")


class _Purse:
    """Balances of all users, in paise, and the records that change them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.balance = [0] * len(world.people)
        self.midnight = [int(known_seconds(world.days.date(day))) for day in range(world.days.count)]

    def records(self, drawn: Rows, block: int) -> Iterator[tuple[int, dict[str, Any], int]]:
        """(day, record, signed paise) of a block's payments in the order of time, top-ups before them."""
        rng = generator(self.world.bank, Stream.WALLET, block)
        count = len(drawn)
        cashback = (rng.random(count) < CASHBACK_SHARE) & (drawn.kind == Kind.PUR)
        received = rng.random(count) < RECEIVED_SHARE
        paise = np.maximum(np.round(-drawn.paise * SMALL / 100), 1).astype(np.int64) * 100
        gift = np.maximum(np.round(150 * np.exp(rng.standard_normal(count))), 1).astype(np.int64) * 100
        notes, names = drawn.description.to_pylist(), self.world.contact_phone
        extra = STEP * (1 + rng.integers(0, 4, count))
        for row in np.lexsort((drawn.customer, drawn.second, drawn.day)).tolist():
            user, day, second = int(drawn.customer[row]), int(drawn.day[row]), int(drawn.second[row])
            amount, key = int(paise[row]), f"W{block:03d}{row:07d}"
            short = amount - self.balance[user]
            if short > 0:
                top_up = -(-short // STEP) * STEP + int(extra[row])
                yield self._record(
                    f"{key}T", user, day, second, top_up, "TOPUP", "ADD MONEY", peer=f"OWN{user:06d}"
                )
            is_sent = drawn.kind[row] == Kind.P2P
            peer = names[int(drawn.contact[row])].as_py() if is_sent else None
            merchant = int(drawn.merchant[row])
            way = "UPI" if drawn.mode[row] == Mode.UPI else "WALLET"
            place = "ONLINE" if drawn.channel[row] == Channel.ECOM else "QR"
            yield self._record(
                f"{key}P",
                user,
                day,
                second,
                -amount,
                "SENT" if is_sent else "PAID",
                notes[row],
                peer=peer,
                merchant=None if merchant < 0 else self.world.merchants.ids[merchant].as_py(),
                code=None if merchant < 0 else self.world.merchants.codes[merchant].as_py(),
                way=way,
                place=place,
            )
            if cashback[row]:
                back = max(round(amount * CASHBACK_RATE / 100), 1) * 100
                yield self._record(
                    f"{key}C", user, day, second, back, "CASHBACK", "CASHBACK", origin=f"{key}P"
                )
            if received[row]:
                yield self._record(
                    f"{key}R",
                    user,
                    day,
                    second,
                    int(gift[row]),
                    "RECEIVED",
                    "FROM FRIEND",
                    peer=names[user * 6].as_py(),
                )

    def _record(
        self, key: str, user: int, day: int, second: int, paise: int, word: str, note: str, **more: Any
    ) -> tuple[int, dict[str, Any], int]:
        self.balance[user] += paise
        record = {
            "id": key,
            "wallet": f"WL{user:07d}",
            "user": self.world.people.customer_id[user],
            "ts": self.midnight[day] + second,
            "amt": rupees(abs(paise)),
            "ty": word,
            "note": note,
            "bal": rupees(self.balance[user]),
            "city": CITIES[int(self.world.people.city[user])][0],
            **{"peer": None, "merchant": None, "code": None, "way": "WALLET", "place": None, "origin": None},
            **more,
        }
        return day, record, paise


def known_seconds(on: date) -> float:
    """Seconds since 1970 of a local midnight: an hour before the files of the day before are known."""
    from datetime import datetime

    return datetime.fromisoformat(known_at(on - timedelta(days=1), TIMEZONE)).timestamp() - 3600


def write(bank: Bank, parameters: Parameters, files: Path, truth: Path, through: date) -> Written:
    """Write the wallet's files up to a date; those that are there stay."""
    world = build_world(bank, parameters)
    write_truth(world, truth)
    files.mkdir(parents=True, exist_ok=True)
    purse, written = _Purse(world), Written()
    rng = generator(bank, Stream.DELIVERY, 1)
    planted: list[dict[str, Any]] = []
    closed_on = closed_day(world)
    no_campaigns = np.zeros((world.days.count, len(world.people)), dtype=np.bool_)
    days = (through - bank.start).days + 1
    for block in range((world.days.count + BLOCK_DAYS - 1) // BLOCK_DAYS):
        first, last = block * BLOCK_DAYS, min((block + 1) * BLOCK_DAYS, world.days.count)
        drawn = draw_purchases(world, generator(bank, Stream.TRANSACTIONS, block), first, last)
        drawn = drawn.pick(np.flatnonzero(drawn.kind != Kind.CWD))
        pages: dict[int, list[tuple[dict[str, Any], int]]] = {day: [] for day in range(first, last)}
        for day, record, paise in purse.records(drawn, block):
            pages[day].append((record, paise))
        events = draw_events(world, no_campaigns, block)
        happened = Lines(event_lines(world, events), events.day)
        for day in range(first, last):
            chance = rng.random(4)
            copies = _passbook(world, day, pages[day], chance, planted)
            if day >= days:
                continue
            copies += _users(world, closed_on, day)
            body, count = happened.of(day)
            copies.append(
                (0, DataFile(f"activity_{world.days.date(day)}.jsonl.gz", body, count, feed="events"))
            )
            for delay, file in copies:
                arrival = world.days.date(day) + timedelta(days=delay)
                if arrival <= through:
                    put_file(files, file, known_at(arrival, TIMEZONE), written)
    written.days = days
    (truth / "planted.json").write_text(json.dumps(planted, indent=1))
    return written


def _passbook(
    world: World,
    day: int,
    page: list[tuple[dict[str, Any], int]],
    chance: Any,
    planted: list[dict[str, Any]],
) -> list[tuple[int, DataFile]]:
    """(days until it arrives, file): the day's passbook, maybe late, again or corrected."""
    on = world.days.date(day)
    name, total = f"passbook_{on}.jsonl.gz", sum(abs(paise) for _, paise in page)
    lines = [json.dumps(record, ensure_ascii=False) for record, _ in page]
    late = int(chance[0] < LATE_SHARE)
    if len(lines) >= MALFORMED_MIN_ROWS and chance[1] < MALFORMED_SHARE:
        place = len(lines) // 3
        record = page[place][0]
        lines[place] = json.dumps(record | {"ts": "yesterday"}, ensure_ascii=False)
        planted.append({"file": name, "record": place + 1, "flaw": "time"})
    file = DataFile(name, _text(lines), len(lines), rupees(total), "transactions")
    files = [(late, file)]
    if chance[2] < AGAIN_SHARE:
        files.append(
            (late + 1, DataFile(name.replace(".jsonl", "_again.jsonl"), file.text, file.rows, file.total))
        )
    if chance[3] < CORRECTED_SHARE and len(page) > CORRECTED_RECORDS:
        again = [
            (record | {"note": f"{record['note']} (CORRECTED)"}, paise)
            for record, paise in page[:CORRECTED_RECORDS]
        ]
        body = _text([json.dumps(record, ensure_ascii=False) for record, _ in again])
        total = sum(abs(paise) for _, paise in again)
        files.append((3, DataFile(f"passbook_{on}_corrected.jsonl.gz", body, len(again), rupees(total))))
    return files


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _users(world: World, closed_on: Any, day: int) -> list[tuple[int, DataFile]]:
    """New and closed users with their wallets; all of them on the first day."""
    state, people = world.latent.state, world.people
    is_new = (state[0] != State.NOT_YET) if day == 0 else (people.signed_up == day)
    who = np.flatnonzero(is_new | (closed_on == day))
    if not len(who):
        return []
    on, start = world.days.date(day), world.bank.start
    lines = [
        json.dumps(
            {
                "user": people.customer_id[user],
                "wallet": f"WL{user:07d}",
                "since": (start + timedelta(days=int(people.signed_up[user]))).isoformat(),
                "until": on.isoformat() if closed_on[user] == day else None,
                "born": int(people.birth_year[user]),
                "city": CITIES[int(people.city[user])][0],
            }
        )
        for user in who.tolist()
    ]
    return [(0, DataFile(f"users_{on}.jsonl.gz", _text(lines), len(lines), feed="customers"))]
