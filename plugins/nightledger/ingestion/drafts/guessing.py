"""Which column of a sample plays which role: guesses from names (`synonyms.yml`) and from contents."""

import difflib
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nightledger.ingestion.drafts import profiling
from nightledger.ingestion.drafts.profiling import Profile
from nightledger.ingestion.feeds import FEEDS

OUT = frozenset(
    (
        "debit", "d", "dr", "dbit", "withdrawal", "out", "outflow", "expense", "purchase", "payment", "paid",
        "soll", "s", "-",
    )
)  # fmt: skip
"""Words for money that leaves, in small letters."""
IN = frozenset(
    (
        "credit",
        "c",
        "cr",
        "crdt",
        "deposit",
        "in",
        "inflow",
        "income",
        "refund",
        "haben",
        "h",
        "+",
        "received",
    )
)
"""Words for money that comes."""
SINGLE = (
    "mcc", "merchant_id", "source_category", "balance_after", "fee_amount", "city", "country", "latitude",
    "longitude", "remarks",
)  # fmt: skip
"""Canonical columns that a column with the right name and kind fills as it is."""
CERTAIN = 90
"""Score of a name that leaves little doubt."""
KINDS = {
    "balance_after": ("integer", "decimal"),
    "fee_amount": ("integer", "decimal"),
    "latitude": ("decimal",),
    "longitude": ("decimal",),
    "merchant_id": ("text", "integer"),
    "mcc": ("integer",),
}


@dataclass
class Guesses:
    """A contract under construction: columns by role, spec by canonical column, doubts by key."""

    profiles: list[Profile]
    currency: str
    columns: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    sign: dict[str, Any] | None = None
    doubts: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def find(self, role: str, *kinds: str, fits: Any = None) -> Profile | None:
        """The unused column whose name says best that it plays a role, of one of these kinds."""
        best, most = None, 0.0
        for candidate in self.profiles:
            if candidate.name in self.used or (kinds and candidate.kind not in kinds):
                continue
            if fits is not None and not fits(candidate):
                continue
            own = score(candidate.name, role)
            if own > most:
                best, most = candidate, own
        return best

    def take(self, canonical: str, found: Profile, **spec: Any) -> None:
        """Fill a canonical column from a source column."""
        self.used.add(found.name)
        self.columns[canonical] = {"column": found.name, **spec} if spec else found.name


@functools.cache
def synonyms() -> dict[str, list[str]]:
    """What banks call a column, by role; and `personal`."""
    found: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("synonyms.yml").read_text())
    return found


@functools.cache
def score(name: str, role: str) -> float:
    """How well a name of a column says that it plays a role; 0: not at all."""
    own, best = profiling.plain(name), 0.0
    for place, word in enumerate(synonyms()[role]):
        if own == word or own.replace(" ", "") == word.replace(" ", ""):
            best = max(best, 100 - place)
        elif f" {word} " in f" {own} " and (len(word) > 3 or word == "amt"):
            best = max(best, 70 - place / 10 - 5 * (len(own.split()) - len(word.split())))
        elif len(word) > 5 and difflib.SequenceMatcher(None, own, word).ratio() > 0.88:
            best = max(best, 60 - place / 10)
    return best


def guess_amount(made: Guesses) -> bool:
    """Find the amount, or debit and credit, and which sign leaves; whether there is one."""
    debit, credit = made.find("debit", "integer", "decimal", "empty"), None
    if debit:
        made.used.add(debit.name)
        credit = made.find("credit", "integer", "decimal", "empty")
        made.used.discard(debit.name)
    if debit and credit and (debit.is_number or credit.is_number):
        made.sign = {"mode": "debit_credit", "debit": debit.name, "credit": credit.name}
        made.used |= {debit.name, credit.name}
        return True
    amount = made.find("amount", "integer", "decimal")
    if amount is None:
        return False
    made.take("amount", amount)
    direction = made.find("direction", fits=lambda p: p.words and {w.lower() for w in p.words} <= IN | OUT)
    if direction and amount.share_negative == 0:
        words = [word for word in direction.words if word.lower() in OUT]
        if words:
            made.sign = {"mode": "type_column", "column": direction.name, "outflow": words}
            made.used.add(direction.name)
            return True
    outflow = "negative" if amount.share_negative >= 0.2 else "positive"
    made.sign = {"mode": "signed", "outflow": outflow}
    if amount.share_negative in (0.0, 1.0) or outflow == "positive":
        made.doubts["sign"] = (
            f"{amount.share_negative:.0%} of the amounts are negative: "
            f"does a {outflow} one leave the customer?"
        )
    return True


def guess_day(made: Guesses) -> bool:
    """Find when it happened: a time, a day and a clock time, or a day; whether there is one."""
    day = made.find("date", "date", "timestamp")
    days = [candidate for candidate in made.profiles if candidate.is_day and candidate.name not in made.used]
    if day is None and len(days) == 1:
        day = days[0]
    if day is None:
        return False
    made.used.add(day.name)
    spec: dict[str, Any] = {"column": day.name, "format": day.format}
    time = made.find("time", "time") if day.kind == "date" else None
    if time:
        made.used.add(time.name)
        spec = {"columns": [day.name, time.name], "format": f"{day.format} {time.format}"}
    canonical = "event_at" if time or day.kind == "timestamp" else "business_date"
    made.columns[canonical] = spec
    others = [form for form in day.also if form.startswith(("%d", "%m"))]
    if others and str(day.format).startswith(("%d", "%m")):
        made.doubts[canonical] = f"{others[0]} reads every date of the sample as well"
    return True


def guess_transactions(made: Guesses, source: str) -> None:
    """Find the other columns of transactions; `source` stands where an account has no name."""
    if currency := made.find("currency", "currency"):
        words = currency.words or ()
        spec: dict[str, Any] = {} if currency.is_complete else {"default": made.currency}
        if any(word != word.upper() for word in words):
            spec["map"] = {word: word.upper() for word in words}
        made.take("currency", currency, **spec)
    if identity := made.find("transaction_id", fits=lambda p: p.is_unique and p.kind in ("text", "integer")):
        made.take("transaction_id", identity)
        made.doubts["key"] = "no value stands twice in the sample: is that so for good?"
    card = made.find("card_token", "text", "integer")
    if card and (card.personal or score(card.name, "card_token") >= CERTAIN):
        made.take("card_token", card)
    for canonical in ("account_id", "customer_id"):
        found = made.find(canonical, fits=lambda p: p.is_complete and p.kind in ("text", "integer"))
        if found:
            made.take(canonical, found)
    _stand_in(made, "account_id", ("card_token", "customer_id"), source)
    _stand_in(made, "customer_id", ("account_id",), source)
    described = made.find("description", "text")
    longest = [
        p for p in made.profiles if p.kind == "text" and p.name not in made.used and not is_personal(p)
    ]
    if described is None and longest:
        described = max(longest, key=lambda p: p.length)
        made.doubts["description"] = "the longest text, for want of a telling name"
    if described is None:
        made.columns["description"] = {"constant": source}
        made.doubts["description"] = "no text was found"
    else:
        made.take("description", described)
        if score(described.name, "merchant_name"):
            made.columns["merchant_name"] = described.name
        if is_personal(described):
            made.doubts.setdefault("description", "may name persons; then take another column")
    for canonical in SINGLE:
        found = made.find(canonical, *KINDS.get(canonical, ("text",)))
        if found and score(found.name, canonical) >= CERTAIN:
            made.take(canonical, found)
    if "card_token" in made.columns:
        made.columns["payment_mode"] = {"constant": "card"}


def _stand_in(made: Guesses, canonical: str, others: tuple[str, ...], source: str) -> None:
    """Fill a mandatory id from another one, or with a constant."""
    if canonical in made.columns:
        return
    stand_in = next((made.columns[name] for name in others if name in made.columns), None)
    made.columns[canonical] = stand_in or {"constant": source}
    made.doubts[canonical] = "no column names it" + ("" if stand_in else ": is the file about one account?")


def transactions(made: Guesses) -> dict[str, Any]:
    """The feed, from what was found."""
    order = {name: place for place, name in enumerate(FEEDS["transactions"].names)}
    feed: dict[str, Any] = {"key": ["transaction_id"] if "transaction_id" in made.columns else "occurrence"}
    feed["known_at"] = {"mode": "event", "lag": "1d"}
    made.doubts["known_at"] = "right for a history; `arrival` for files that come day by day"
    if made.sign:
        feed["sign"] = made.sign
    feed["columns"] = dict(sorted(made.columns.items(), key=lambda item: order[item[0]]))
    return feed


def labels(made: Guesses, fraud: Profile) -> dict[str, Any]:
    """The labels of the same records."""
    at = made.columns.get("event_at") or made.columns["business_date"]
    return {
        "known_at": {"mode": "event", "lag": "7d"},
        "columns": {
            "entity": {"constant": "transaction"},
            "entity_id": {"key_of": "transactions"},
            "label": {"constant": "fraud"},
            "value": fraud.name,
            "event_at": at,
        },
    }


def attributes(made: Guesses, has_day: bool) -> dict[str, Any]:
    """A wide table: no transactions are in the sample, as far as its columns tell."""
    day = made.columns.get("business_date") or made.columns.get("event_at")
    made.columns, made.sign = {}, None
    made.used = set(day["columns"] if "columns" in day else [day["column"]]) if day else set()
    made.doubts["attributes"] = "no amount with a date was found: a wide table of attributes"
    if any(found.is_money_with_a_sign for found in made.profiles):
        made.doubts["attributes"] = (
            "amounts carry a sign of currency, which nothing reads: ask for plain numbers"
        )
    key = made.find("customer_id", fits=lambda p: p.is_complete) or made.find(
        "transaction_id", fits=lambda p: p.is_unique
    )
    unique = key or next((p for p in made.profiles if p.is_unique and p.kind in ("text", "integer")), None)
    if unique:
        made.take("entity_id", unique)
        made.doubts["entity_id"] = "does it name the customer, account, loan or transaction of `entity`?"
    else:
        made.doubts["missing"] = (
            "feeds.attributes.columns.entity_id: which column names the customer or account?"
        )
    if not has_day or day is None:
        day = {"constant": "1970-01-01"}
        made.doubts["business_date"] = "no date was found: write the day that the table is about"
    columns = {"entity": {"constant": "customer"}, **made.columns, "business_date": day}
    return {"known_at": {"mode": "event", "lag": "1d"}, "columns": columns}


def is_personal(found: Profile) -> bool:
    """Whether a column's name or contents are those of persons."""
    return found.personal is not None or profiling.plain(found.name) in synonyms()["personal"]
