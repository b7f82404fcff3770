"""The merchants: a few chains that everybody uses, and a long tail of local ones."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from simulation.names import CHAINS, CITIES, LOCAL_FIRST, LOCAL_KIND
from simulation.parameters import CATEGORIES, Bank
from simulation.randomness import Stream, generator

ZIPF = 1.05
"""Exponent of popularity by rank within a category, chains and locals alike."""
FAVOURITES = 3
FAVOURITE_SHARE = 0.65
WAYS = 3
"""Ways in which one merchant's name can be written."""


@dataclass(frozen=True)
class Merchants:
    """All merchants, chains first, category by category.

    Attributes:
        names: Arrow strings, WAYS for each merchant (`WAYS · merchant + way`).
        handles: UPI handle of each merchant.
        codes: merchant category code of each merchant.
        ids: acquirer's id of each merchant.
        is_chain: whether it has branches everywhere.
        home_city: city of a local merchant, −1 for a chain.
        favourites: merchants that a customer prefers, by customer, category and slot; −1 where none apply.
    """

    names: pa.Array
    handles: pa.Array
    codes: pa.Array
    ids: pa.Array
    is_chain: npt.NDArray[np.bool_]
    home_city: npt.NDArray[np.int64]
    favourites: npt.NDArray[np.int64]
    _chain_base: npt.NDArray[np.int64]
    _local_base: npt.NDArray[np.int64]

    def choose(
        self,
        rng: np.random.Generator,
        category: npt.NDArray[np.int64],
        customer: npt.NDArray[np.int64],
        city: npt.NDArray[np.int64],
        away: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        """One merchant for each payment; −1 for cash and transfers. Favourites are only chosen at home."""
        anyone = _draw(rng, category, city, self._chain_base, self._local_base)
        slot = rng.integers(0, FAVOURITES, len(category))
        is_favourite = (rng.random(len(category)) < FAVOURITE_SHARE) & ~away
        return np.where(is_favourite, self.favourites[customer, category, slot], anyone)

    def newcomer(
        self, rng: np.random.Generator, category: npt.NDArray[np.int64], city: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """A merchant without a history: one of those held back in each city and category."""
        held = np.array([_held_back(kind.local_size) for kind in CATEGORIES])[category]
        locals_ = np.array([kind.local_size for kind in CATEGORIES])[category]
        rank = locals_ - 1 - (rng.random(len(category)) * np.maximum(held, 1)).astype(np.int64)
        return np.where(locals_ == 0, -1, self._local_base[category] + city * locals_ + rank)


def _held_back(local_size: int) -> int:
    """How many local merchants of a city nobody goes to, unless a drift brings them in."""
    return local_size // 10


def _zipf(rng: np.random.Generator, size: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rank 0 … size−1 with a long tail (inverse of the continuous Zipf distribution)."""
    power = 1 - ZIPF
    uniform = rng.random(len(size))
    rank = (1 + uniform * ((size + 1.0) ** power - 1)) ** (1 / power) - 1
    return np.minimum(rank.astype(np.int64), size - 1)


def _draw(
    rng: np.random.Generator,
    category: npt.NDArray[np.int64],
    city: npt.NDArray[np.int64],
    chain_base: npt.NDArray[np.int64],
    local_base: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    chains = np.diff(chain_base)[category]
    locals_ = np.array([kind.local_size for kind in CATEGORIES])[category]
    known = np.array([kind.local_size - _held_back(kind.local_size) for kind in CATEGORIES])[category]
    chain_share = np.array([kind.chain_share for kind in CATEGORIES])[category]
    is_chain = rng.random(len(category)) < chain_share
    rank = _zipf(rng, np.maximum(np.where(is_chain, chains, known), 1))
    merchant = np.where(is_chain, chain_base[category] + rank, local_base[category] + city * locals_ + rank)
    return np.where(locals_ == 0, -1, merchant)


def open_merchants(bank: Bank, home_city: npt.NDArray[np.int64]) -> Merchants:
    """The merchants of one bank, and the ones each customer prefers."""
    rng = generator(bank, Stream.MERCHANTS)
    names: list[str] = []
    handles: list[str] = []
    codes: list[str] = []
    cities: list[int] = []
    chain_base = [0]
    for category in CATEGORIES:
        for ways, code, handle in CHAINS.get(category.name, ()):
            spellings = ways.split("|")
            names.extend(spellings[way % len(spellings)] for way in range(WAYS))
            handles.append(handle)
            codes.append(code)
            cities.append(-1)
        chain_base.append(len(handles))
    local_base = []
    for category in CATEGORIES:
        local_base.append(len(handles))
        if category.local_size == 0:
            continue
        kinds, code = LOCAL_KIND[category.name]
        pairs = len(LOCAL_FIRST) * len(kinds)
        for city in range(len(CITIES)):
            for pair in rng.permutation(pairs)[: category.local_size]:
                first, kind = LOCAL_FIRST[pair // len(kinds)], kinds[pair % len(kinds)]
                names.extend([f"{first} {kind}"] * WAYS)
                number = int(rng.integers(10**9, 10**10))
                issuers = (f"paytmqr{number}@paytm", f"q{number % 10**9}@ybl", f"bharatpe.{number}@fbpe")
                handles.append(issuers[pair % 3])
                codes.append(code)
                cities.append(city)
    bases = np.array(chain_base), np.array(local_base)
    customers = len(home_city)
    shape = (customers, len(CATEGORIES), FAVOURITES)
    favourites = _draw(
        rng,
        np.broadcast_to(np.arange(len(CATEGORIES))[None, :, None], shape).ravel(),
        np.broadcast_to(home_city[:, None, None], shape).ravel(),
        *bases,
    ).reshape(shape)
    return Merchants(
        names=pa.array(names),
        handles=pa.array(handles),
        codes=pa.array(codes),
        ids=pa.array([f"M{number * 7919 + 100_003:010d}" for number in range(len(handles))]),
        is_chain=np.array(cities) < 0,
        home_city=np.array(cities),
        favourites=favourites,
        _chain_base=bases[0],
        _local_base=bases[1],
    )
