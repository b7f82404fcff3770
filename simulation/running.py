"""Running balances of many accounts at once."""

import numpy as np

from simulation.people import Integers


def running(balance: Integers, account: Integers, paise: Integers) -> Integers:
    """Balance of each row's account after the row.

    Args:
        balance: of each account before; changed into the balance after all rows.
        account: of each row, in the order in which they are booked.
        paise: signed amount of each row.
    """
    order = np.argsort(account, kind="stable")
    sums, sorted_account = np.cumsum(paise[order]), account[order]
    is_first = np.diff(sorted_account, prepend=-1) != 0
    starts = np.flatnonzero(is_first)
    before = (sums - paise[order])[starts]
    after = np.empty(len(account), dtype=np.int64)
    after[order] = balance[sorted_account] + sums - before[np.cumsum(is_first) - 1]
    np.add.at(balance, account, paise)
    return after
