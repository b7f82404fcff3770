"""What customers start themselves: payments to merchants and people, and cash.

They happen on the active days of the hidden chain and only there, at least one on each: so the hidden rates
are exactly the rates of the churn label.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulation import text
from simulation.latent import OFFER, SHOCK
from simulation.merchants import WAYS
from simulation.names import CITIES
from simulation.parameters import CATEGORIES
from simulation.people import Account, Booleans, Floats, Integers
from simulation.rows import Channel, Kind, Mode, Rows, rows
from simulation.world import CONTACTS, World

CASH = next(number for number, category in enumerate(CATEGORIES) if category.name == "cash")
PEOPLE = next(number for number, category in enumerate(CATEGORIES) if category.name == "people_transfers")

CASH_MACHINES = 40
"""Cash machines in one city."""
FIRST_CASH_MACHINE = 10**6

# (mode, channel) by the means of payment of a category: UPI, card at a terminal, card online, wallet.
MEANS_MODE = np.array([Mode.UPI, Mode.CARD, Mode.CARD, Mode.WALLET])
MEANS_CHANNEL = np.array([Channel.APP, Channel.POS, Channel.ECOM, Channel.APP])

RUPEES = np.array([category.rupees for category in CATEGORIES])
SIGMA = np.array([category.sigma for category in CATEGORIES])
HOUR = np.array([category.hour for category in CATEGORIES])
HOUR_SPREAD = np.array([category.hour_spread for category in CATEGORIES])

DEBIT_BIN, CREDIT_BIN = 4321, 5412


def skewed(rng: np.random.Generator, count: int, size: int) -> Integers:
    """Choices of 0 … size−1, the first ones more often."""
    return np.floor(size * rng.random(count) ** 2).astype(np.int64)


def draw_purchases(world: World, rng: np.random.Generator, first: int, last: int) -> Rows:
    """Payments of the days [first, last), sprees and twins included."""
    people, filing = world.people, world.parameters.filing
    visit_day, visitor = np.nonzero(world.latent.is_visit[first:last])
    payments = 1 + rng.poisson(people.payments_per_visit[visitor])
    day, customer = np.repeat(visit_day + first, payments), np.repeat(visitor, payments)
    drawn = draw_payments(world, rng, customer, day, draw_categories(world, rng, customer, day))

    sprees = np.flatnonzero(rng.random(len(visitor)) < world.parameters.theft.spree_share)
    spree = small_online(world, rng, visitor[sprees], visit_day[sprees] + first, SPREE)
    drawn = Rows.concat([drawn, spree])
    # A twin is the same payment made twice within a second: everything but its id is equal.
    twins = np.flatnonzero((rng.random(len(drawn)) < filing.twin_share) & (drawn.kind == Kind.PUR))
    return Rows.concat([drawn, drawn.pick(twins)])


def draw_categories(world: World, rng: np.random.Generator, customer: Integers, day: Integers) -> Integers:
    """What each payment is for: by taste, or because of what happens in the customer's life."""
    category = (rng.random(len(customer))[:, None] > world.people.tastes[customer]).sum(axis=1)
    # The last cumulative share may fall short of 1 by rounding.
    category = np.minimum(category, len(CATEGORIES) - 1)
    return world.lives.tilted(rng, category, day, customer)


def draw_payments(
    world: World, rng: np.random.Generator, customer: Integers, day: Integers, category: Integers
) -> Rows:
    """Payments as the customer makes them, for given categories."""
    people, bank, count = world.people, world.bank, len(day)
    is_cash, is_people = category == CASH, category == PEOPLE
    away = rng.random(count) < np.where(world.days.weekday[day] >= 5, 0.05, 0.025)
    home = world.city_of(customer, day)
    city = np.where(away, rng.integers(0, len(CITIES), count), home)

    cumulative = np.cumsum(shares_of_means(people.upi_lean[customer], category), axis=1)
    draw = rng.random(count) * cumulative[:, -1]
    means = np.minimum((draw[:, None] > cumulative).sum(axis=1), len(MEANS_MODE) - 1)
    means = np.where((means == 1) & (rng.random(count) < bank.drift("online", day)), 2, means)
    by_bank = is_people & (rng.random(count) < 0.12)
    mode = np.select([is_cash, by_bank, is_people], [Mode.CASH, Mode.NEFT, Mode.UPI], MEANS_MODE[means])
    channel = np.select([is_cash, is_people], [Channel.ATM, Channel.APP], MEANS_CHANNEL[means])

    rupees = np.exp(mean_log_rupees(world, customer, day, category))
    rupees *= np.exp(SIGMA[category] * rng.standard_normal(count))
    second = (((HOUR[category] + HOUR_SPREAD[category] * rng.standard_normal(count)) % 24) * 3600).astype(
        np.int64
    )

    strange = away | (home != people.city[customer])
    merchant = world.merchants.choose(rng, category, customer, city, strange)
    is_new = (merchant >= 0) & (rng.random(count) < bank.drift("merchants", day))
    merchant = np.where(is_new, world.merchants.newcomer(rng, category, city), merchant)
    is_card = mode == Mode.CARD
    on_credit = is_card & people.has_credit_card[customer] & (rng.random(count) < 0.65)
    terminal = np.where(channel == Channel.POS, merchant * 3 + rng.integers(0, 3, count), -1)
    machine = FIRST_CASH_MACHINE + city * CASH_MACHINES + skewed(rng, count, CASH_MACHINES)
    friend = customer * CONTACTS + skewed(rng, count, CONTACTS)
    is_stranger = rng.random(count) < world.parameters.theft.stranger_share
    contact = np.where(is_stranger, world.stranger(rng, count), friend)
    drawn = rows(
        customer,
        day,
        second,
        -_rounded(rng, rupees, is_cash, is_people),
        pa.nulls(count, pa.string()),
        account=np.where(on_credit, Account.CREDIT_CARD, Account.CURRENT),
        mode=mode,
        channel=channel,
        kind=np.select([is_cash, is_people], [Kind.CWD, Kind.P2P], Kind.PUR),
        merchant=merchant,
        city=city,
        contact=np.where(is_people, contact, -1),
        terminal=np.where(is_cash, machine, terminal),
        category=category,
        is_pending=is_card & (rng.random(count) < world.parameters.filing.pending_share),
    )
    drawn.description = describe(world, rng, drawn)
    return drawn


def shares_of_means(upi_lean: Floats, category: Integers) -> Floats:
    """Shares of UPI, card at a terminal, card online and wallet, not normalised."""
    shares = np.array([kind.modes for kind in CATEGORIES])[category]
    shares[:, 0] *= upi_lean
    return shares


def mean_log_rupees(world: World, customer: Integers, day: Integers, category: Integers) -> Floats:
    """Mean of ln(rupees) of a payment before it is rounded."""
    causes = world.latent.causes[day, customer]
    factor = np.where((causes & SHOCK) > 0, 0.8, 1.0) * np.where((causes & OFFER) > 0, 0.92, 1.0)
    factor *= 1 + world.bank.drift("prices", day)
    mean: Floats = np.log(RUPEES[category] * world.people.means[customer] * factor)
    return mean


@dataclass(frozen=True)
class Series:
    """A run of small payments online within minutes.

    Attributes:
        fewest, more: number of payments: fewest + Poisson(more).
        rupees, sigma: median and spread of the amounts.
        gap: mean seconds between them.
        hour, hour_spread: when it begins; spread 0: any hour.
    """

    fewest: int
    more: float
    rupees: float
    sigma: float
    gap: float
    hour: float
    hour_spread: float


SPREE = Series(2, 2.5, 110, 0.8, 240, 18.0, 4.0)
SMALL_CATEGORIES = tuple(
    number
    for number, category in enumerate(CATEGORIES)
    if category.name in ("entertainment", "utilities_telecom", "shopping")
)


def small_online(
    world: World, rng: np.random.Generator, customer: Integers, day: Integers, series: Series
) -> Rows:
    """One series of small card payments online for each customer and day."""
    size = series.fewest + rng.poisson(series.more, len(customer))
    begins = (series.hour + series.hour_spread * rng.standard_normal(len(customer))) % 24 * 3600
    begins = begins if series.hour_spread else rng.uniform(0, 86_400, len(customer))
    which = np.repeat(np.arange(len(customer)), size)
    gaps = rng.exponential(series.gap, len(which))
    elapsed = np.cumsum(gaps)
    starts = np.repeat(np.cumsum(size) - size, size)
    second = begins[which] + elapsed - elapsed[starts] if len(which) else elapsed
    drawn = draw_payments(world, rng, customer[which], day[which], rng.choice(SMALL_CATEGORIES, len(which)))
    rupees = series.rupees * np.exp(series.sigma * rng.standard_normal(len(which)))
    return as_online(world, rng, drawn, np.minimum(second, 86_399).astype(np.int64), rupees)


def as_online(
    world: World, rng: np.random.Generator, drawn: Rows, second: Integers, rupees: Floats, **columns: Any
) -> Rows:
    """The same payments by card online, at other times and amounts."""
    online = drawn.pick(
        np.arange(len(drawn)),
        mode=Mode.CARD,
        channel=Channel.ECOM,
        terminal=-1,
        second=second,
        booked_second=second,
        paise=-np.maximum(np.round(rupees * 100), 100).astype(np.int64),
        **columns,
    )
    online.description = describe(world, rng, online)
    return online


def _rounded(rng: np.random.Generator, rupees: Floats, is_cash: Booleans, is_people: Booleans) -> Integers:
    """Amounts in paise as people and shops choose them: notes from machines, round sums, prices."""
    draw = rng.random(len(rupees))
    step = np.select(
        [is_cash, is_people & (draw < 0.6), is_people, draw < 0.12, draw < 0.55], [500, 100, 1, 10, 1], 0.01
    )
    rounded = np.maximum(np.round(rupees / step), 1) * step
    paise: Integers = np.minimum(np.round(rounded * 100), 10**8).astype(np.int64)
    return paise


def describe(world: World, rng: np.random.Generator, drawn: Rows) -> pa.Array:
    """Statement texts as UPI, terminals, acquirers, web shops, wallets and cash machines write them."""
    merchants, count = world.merchants, len(drawn)
    has_merchant = drawn.merchant >= 0
    is_chain = has_merchant & merchants.is_chain[drawn.merchant]
    is_pos, is_web = drawn.channel == Channel.POS, drawn.channel == Channel.ECOM
    draw = rng.random(count)
    # (rows, head, what stands between head and name, between name and tail); the first that fits
    styles = (
        ((drawn.mode == Mode.UPI) & has_merchant, "UPI/P2M/", "/", "/"),
        (drawn.mode == Mode.UPI, "UPI/P2P/", "/", "/"),
        (drawn.kind == Kind.P2P, "IMPS/P2A/", "/", ""),
        (drawn.kind == Kind.CWD, "ATM WDL/S1AW", "/", ""),
        (drawn.mode == Mode.WALLET, "WALLET/", "/", ""),
        (is_pos & ~is_chain & (draw < 0.3), "SQ *", "", " "),
        (is_pos, "POS ", "XXXX ", " "),
        (is_web & ~is_chain & (draw < 0.5), "RAZ*", "", " "),
        (is_web & (draw < 0.45), "ECOM PUR/", "", "/"),
        (is_web & (draw < 0.65), "PAYU*", "", ""),
        (is_web, "", "", " "),
    )
    p2m, p2p, imps, atm, wallet, square, pos, razor, ecom, _, web = range(len(styles))
    style = np.select([fits for fits, *_ in styles], list(range(len(styles))))

    bin_code = np.where(drawn.account == Account.CREDIT_CARD, CREDIT_BIN, DEBIT_BIN)
    number = np.select([style == pos, style == atm], [bin_code, 1000 + drawn.terminal % 9000], 0)
    number = np.where(
        np.isin(style, (p2m, p2p, imps, wallet)), rng.integers(100_000, 1_000_000, count), number
    )
    way = np.where(has_merchant, drawn.merchant * WAYS + rng.integers(0, WAYS, count), -1)
    cities = pa.array([city for city, _, _ in CITIES])
    name = pc.coalesce(
        text.take(cities, np.where(style == atm, drawn.city, -1)),
        text.take(world.contact_name, drawn.contact),
        text.take(merchants.names, way),
    )
    branch = (drawn.merchant * 31 + drawn.city * 7 + np.maximum(drawn.terminal, 0) % 3) % 9000 + 1000
    shows_branch = np.isin(style, (square, razor)) | ((style == pos) & is_chain)
    shows_city = ((style == pos) & ~is_chain) | (style == ecom)
    tail = pc.coalesce(
        text.take(merchants.handles, np.where(style == p2m, drawn.merchant, -1)),
        text.take(world.contact_handle, np.where(style == p2p, drawn.contact, -1)),
        pa.array(branch, mask=~shows_branch).cast(pa.string()),
        text.take(cities, np.where(shows_city, drawn.city, -1)),
        text.take(pa.array(["IN"]), np.where(style == web, 0, -1)),
    )
    return text.join(
        text.pick([head for _, head, _, _ in styles], style),
        pa.array(number, mask=number == 0).cast(pa.string()),
        text.pick([before for _, _, before, _ in styles], style),
        name,
        text.pick([after for *_, after in styles], style),
        tail,
    )
