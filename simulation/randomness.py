"""Independent, reproducible random streams."""

from enum import IntEnum

import numpy as np

from simulation.parameters import Bank


class Stream(IntEnum):
    """One number per use, so that a new use never shifts the draws of another."""

    PEOPLE = 1
    LATENT = 2
    MERCHANTS = 3
    TRANSACTIONS = 4
    EVENTS = 5
    PROFILES = 6
    ACTIVITY = 7
    FLAWS = 8
    LIFE = 9
    FRAUD = 10
    BOOKS = 11
    LABELS = 12
    WALLET = 13
    LENDING = 14
    DELIVERY = 15
    LEAKS = 16
    THEFTS = 17
    DEVICES = 18
    MORE = 19
    RESPONSES = 20


def generator(bank: Bank, stream: Stream, block: int = 0) -> np.random.Generator:
    """Generator of one stream (and block of days) of one bank."""
    return np.random.default_rng([bank.seed, int(stream), block])
