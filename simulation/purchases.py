"""What customers start themselves: payments to merchants and people, and cash.

They happen on the active days of the hidden chain and only there, at least one on each: so the hidden rates
are exactly the rates of the churn label.
"""

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

DEBIT_BIN, CREDIT_BIN = 4321, 5412


def skewed(rng: np.random.Generator, count: int, size: int) -> Integers:
    """Choices of 0 … size−1, the first ones more often."""
    return np.floor(size * rng.random(count) ** 2).astype(np.int64)


def draw_purchases(world: World, rng: np.random.Generator, first: int, last: int) -> Rows:
    """Payments of the days [first, last), twins included."""
    people, filing = world.people, world.parameters.filing
    visit_day, visitor = np.nonzero(world.latent.is_visit[first:last])
    payments = 1 + rng.poisson(people.payments_per_visit[visitor])
    day, customer = np.repeat(visit_day + first, payments), np.repeat(visitor, payments)
    count = len(day)

    category = (rng.random(count)[:, None] > people.tastes[customer]).sum(axis=1)
    # The last cumulative share may fall short of 1 by rounding.
    category = np.minimum(category, len(CATEGORIES) - 1)
    is_cash, is_people = category == CASH, category == PEOPLE
    away = rng.random(count) < np.where(world.days.weekday[day] >= 5, 0.05, 0.025)
    city = np.where(away, rng.integers(0, len(CITIES), count), people.city[customer])

    shares = np.array([kind.modes for kind in CATEGORIES])[category]
    shares[:, 0] *= people.upi_lean[customer]
    cumulative = np.cumsum(shares, axis=1)
    draw = rng.random(count) * cumulative[:, -1]
    means = np.minimum((draw[:, None] > cumulative).sum(axis=1), len(MEANS_MODE) - 1)
    by_bank = is_people & (rng.random(count) < 0.12)
    mode = np.select([is_cash, by_bank, is_people], [Mode.CASH, Mode.NEFT, Mode.UPI], MEANS_MODE[means])
    channel = np.select([is_cash, is_people], [Channel.ATM, Channel.APP], MEANS_CHANNEL[means])

    rupees = np.array([kind.rupees for kind in CATEGORIES])[category] * people.means[customer]
    rupees *= np.exp(np.array([kind.sigma for kind in CATEGORIES])[category] * rng.standard_normal(count))
    causes = world.latent.causes[day, customer]
    rupees *= np.where((causes & SHOCK) > 0, 0.8, 1.0) * np.where((causes & OFFER) > 0, 0.92, 1.0)
    hour = np.array([kind.hour for kind in CATEGORIES])[category]
    spread = np.array([kind.hour_spread for kind in CATEGORIES])[category]
    second = (((hour + spread * rng.standard_normal(count)) % 24) * 3600).astype(np.int64)

    merchant = world.merchants.choose(rng, category, customer, city, away)
    is_card = mode == Mode.CARD
    on_credit = is_card & people.has_credit_card[customer] & (rng.random(count) < 0.65)
    terminal = np.where(channel == Channel.POS, merchant * 3 + rng.integers(0, 3, count), -1)
    machine = FIRST_CASH_MACHINE + city * CASH_MACHINES + skewed(rng, count, CASH_MACHINES)
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
        contact=np.where(is_people, customer * CONTACTS + skewed(rng, count, CONTACTS), -1),
        terminal=np.where(is_cash, machine, terminal),
        is_pending=is_card & (rng.random(count) < filing.pending_share),
    )
    drawn.description = _describe(world, rng, drawn)
    # A twin is the same payment made twice within a second: everything but its id is equal.
    twins = np.flatnonzero((rng.random(count) < filing.twin_share) & (drawn.kind == Kind.PUR))
    return Rows.concat([drawn, drawn.pick(twins)])


def _rounded(rng: np.random.Generator, rupees: Floats, is_cash: Booleans, is_people: Booleans) -> Integers:
    """Amounts in paise as people and shops choose them: notes from machines, round sums, prices."""
    draw = rng.random(len(rupees))
    step = np.select(
        [is_cash, is_people & (draw < 0.6), is_people, draw < 0.12, draw < 0.55], [500, 100, 1, 10, 1], 0.01
    )
    rounded = np.maximum(np.round(rupees / step), 1) * step
    paise: Integers = np.minimum(np.round(rounded * 100), 10**8).astype(np.int64)
    return paise


def _describe(world: World, rng: np.random.Generator, drawn: Rows) -> pa.Array:
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
