"""The bank's calendar: which payments fall on which day."""

from datetime import date, timedelta
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from simulation.parameters import Bank


class Shift(IntEnum):
    """Where a payment goes whose nominal day is a Saturday or Sunday."""

    NONE = 0
    PREVIOUS_WORKDAY = 1
    NEXT_WORKDAY = 2


class Days:
    """Arrays over the simulated days 0 … horizon−1."""

    def __init__(self, bank: Bank) -> None:
        self.start = bank.start
        self.count = bank.horizon
        dates = [bank.start + timedelta(days=number) for number in range(bank.horizon)]
        self.datetime64: npt.NDArray[np.datetime64] = np.array(dates, dtype="datetime64[s]")
        self.weekday = np.array([day.weekday() for day in dates])
        self.day_of_month = np.array([day.day for day in dates])
        self.day_of_year = np.array([day.timetuple().tm_yday for day in dates])
        self.month = np.array([day.month for day in dates])
        self.pay_rises = np.array([day.year - bank.start.year + (day.month >= 4) for day in dates])
        self.month_label = [f"{day:%b %Y}".upper() for day in dates]
        self.falls_due = self._falls_due()

    def _falls_due(self) -> npt.NDArray[np.bool_]:
        """Whether a monthly payment with this shift and nominal day of the month is made on that day."""
        due = np.zeros((len(Shift), 32, self.count), dtype=np.bool_)
        first = self.start - timedelta(days=40)
        months = sorted(
            {(day.year, day.month) for day in (first + timedelta(days=n) for n in range(0, self.count + 80))}
        )
        for year, month in months:
            length = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
            for nominal in range(1, 32):
                day = date(year, month, min(nominal, length))
                weekend = max(0, day.weekday() - 4)  # 1 on Saturday, 2 on Sunday
                moves = (0, -weekend, (3 - weekend) % 3)
                for shift, move in zip(Shift, moves, strict=True):
                    number = (day - self.start).days + move
                    if 0 <= number < self.count:
                        due[shift, nominal, number] = True
        return due

    def date(self, number: int) -> date:
        """Business date of a simulated day."""
        return self.start + timedelta(days=number)
