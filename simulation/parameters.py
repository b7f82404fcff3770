"""Every number of the simulated bank, in one place.

The numbers were tuned on the churn task with a seed other than those of the demo and the tests, so that
recency alone is a fair but beatable baseline and the reachable ceiling stays clearly below 1
(`README.md`).
"""

from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from simulation.drift import Drift

TIMEZONE = "Asia/Kolkata"
CURRENCY = "INR"
TAIL_DAYS = 120
"""Days simulated beyond the asked ones: next nights come from them, and labels of the last dates."""

BLOCK_DAYS = 30
"""Days drawn at a time. No posting or refund may come later than this after its origin."""


@dataclass(frozen=True)
class Bank:
    """What identifies one simulated bank: the same values give the same bytes.

    Attributes:
        customers: customers signed up by the end of `days`; later days bring a few more at the same pace.
        start: first business date.
        days: length of the history.
        seed: seed of every random stream.
        difficulty: 0 (easy) to 1 (hard): how well leavers, thieves and borrowers hide (`Parameters.at`).
        drifts: what changes in the middle of it.
        more_events: whether there are the events and consents of `simulation.more` too.
    """

    customers: int
    start: date
    days: int
    seed: int
    difficulty: float = 0.5
    drifts: tuple[Drift, ...] = ()
    more_events: bool = False

    def __post_init__(self) -> None:
        if self.customers < 1 or self.days < 1:
            raise ValueError("a bank needs at least one customer and one day")
        if not 0 <= self.difficulty <= 1:
            raise ValueError("the difficulty is a number from 0 (easy) to 1 (hard)")

    def drift(self, kind: str, day: Any) -> Any:
        """Size of the planted drift of a kind on a day (or on each of some days); 0 before it begins."""
        size = 0.0 * np.asarray(day, dtype=np.float64)
        for drift in self.drifts:
            if drift.kind == kind:
                size = size + np.where(np.asarray(day) >= drift.day, drift.size, 0.0)
        return size

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Bank":
        """Inverse of `as_dict`."""
        drifts = tuple(Drift(**drift) for drift in values["drifts"])
        return cls(**{**values, "start": date.fromisoformat(values["start"]), "drifts": drifts})

    @property
    def horizon(self) -> int:
        """Number of simulated days, the tail included."""
        return self.days + TAIL_DAYS

    @property
    def last_day(self) -> date:
        """Last business date of the asked history."""
        return self.start + timedelta(days=self.days - 1)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, written beside the truth; without more events as it was before there were any."""
        values = {**asdict(self), "start": self.start.isoformat()}
        return values if self.more_events else {k: v for k, v in values.items() if k != "more_events"}


@dataclass(frozen=True)
class Category:
    """One kind of spending that a customer starts.

    Attributes:
        name: first level of the category taxonomy.
        weight: share of the average customer's transactions, before normalising.
        rupees: median amount of a customer with average means.
        sigma: standard deviation of ln(amount).
        hour: mean local hour of day; `hour_spread` its standard deviation.
        modes: probabilities of UPI, card at a terminal, card online, wallet; zeros: paid in its own way.
        chain_share: probability that the merchant is a chain; otherwise one of `local_size` in the city.
    """

    name: str
    weight: float
    rupees: float
    sigma: float
    hour: float
    hour_spread: float
    modes: tuple[float, float, float, float]
    chain_share: float
    local_size: int


CATEGORIES = (
    Category("groceries", 0.24, 420, 0.8, 17.5, 3.0, (0.62, 0.25, 0.10, 0.03), 0.40, 60),
    Category("dining", 0.17, 310, 0.7, 17.0, 4.2, (0.55, 0.20, 0.20, 0.05), 0.45, 80),
    Category("transport_fuel", 0.14, 190, 0.9, 13.5, 4.8, (0.55, 0.20, 0.20, 0.05), 0.65, 25),
    Category("travel", 0.015, 3600, 0.9, 14.0, 5.0, (0.20, 0.15, 0.65, 0.00), 0.75, 20),
    Category("shopping", 0.11, 950, 1.0, 16.5, 4.0, (0.30, 0.25, 0.43, 0.02), 0.60, 60),
    Category("luxury", 0.006, 6500, 0.9, 17.0, 2.5, (0.05, 0.75, 0.20, 0.00), 0.40, 12),
    Category("health", 0.045, 560, 0.9, 14.0, 4.0, (0.60, 0.30, 0.10, 0.00), 0.35, 40),
    Category("education_children", 0.012, 2400, 0.9, 12.0, 3.0, (0.45, 0.15, 0.40, 0.00), 0.20, 20),
    Category("entertainment", 0.035, 340, 0.6, 19.5, 3.2, (0.40, 0.20, 0.40, 0.00), 0.60, 20),
    Category("utilities_telecom", 0.05, 520, 0.6, 13.0, 4.5, (0.65, 0.00, 0.30, 0.05), 0.90, 6),
    Category("home_improvement", 0.012, 1900, 1.0, 14.5, 3.0, (0.40, 0.40, 0.20, 0.00), 0.25, 25),
    Category("cash", 0.045, 2200, 0.6, 14.0, 4.0, (0, 0, 0, 0), 0.0, 0),
    Category("people_transfers", 0.12, 850, 1.2, 15.5, 4.8, (0, 0, 0, 0), 0.0, 0),
)


@dataclass(frozen=True)
class Leaving:
    """The hidden chain behind leaving: daily probabilities, and what each state does to activity.

    The causes press on a customer who is active or paused; no file shows them. `*_onset` and `*_end` are
    daily probabilities; `*_hazard` multiply the daily probability of deciding to leave.
    """

    base_hazard: float = 0.00048
    hazard_spread: float = 0.6
    new_customer_hazard: float = 1.8
    new_customer_days: int = 180
    occasional_hazard: float = 1.5

    dissatisfied_onset: float = 1 / 420
    dissatisfied_end: float = 1 / 55
    dissatisfied_hazard: float = 9.0
    shock_onset: float = 1 / 900
    shock_end: float = 1 / 80
    shock_hazard: float = 4.0
    offer_onset: float = 1 / 480
    offer_end: float = 1 / 30
    offer_hazard: float = 9.0

    fade_share: float = 0.5
    fade_days: float = 75.0
    fade_days_spread: float = 0.5
    fade_recovery: float = 1 / 500

    pause_onset: float = 1 / 165
    pause_onset_spread: float = 0.9
    pause_pace: float = 3 / 34

    return_hazard: float = 1 / 2000
    stray_rate: float = 1 / 10_000
    closer_share: float = 0.92
    close_hazard: float = 1 / 10

    salary_moves_fading: float = 1 / 35
    salary_moves_leaving: float = 0.9
    salary_moves_anyway: float = 1 / 2400
    salary_lost_in_shock: float = 0.6

    dissatisfied_activity: float = 0.9
    shock_activity: float = 0.75
    offer_activity: float = 0.85
    fading_activity: tuple[float, float, float] = (0.6, 0.28, 0.09)
    login_activity: tuple[float, ...] = (1.0, 0.32, 0.32, 0.32, 0.55, 0.28, 0.12, 0.03, 0.0, 0.0)
    """Factor on the log-in rate by state, in the order of `latent.STATES`."""
    dissatisfied_logins: float = 0.8
    support_rate: float = 1 / 450
    dissatisfied_support: float = 7.0


@dataclass(frozen=True)
class Activity:
    """How often customers use the bank, before anything goes wrong."""

    initial_share: float = 0.7
    """Customers who were there before the first day, of those signed up by the last."""
    occasional_share: float = 0.12  # a second account: naturally long gaps
    occasional_visits: float = 1 / 7
    occasional_spread: float = 0.35
    regular_visits: float = 0.60
    regular_spread: float = 0.6
    seasonal_share: float = 0.2
    seasonal_amplitude: float = 0.7
    mild_amplitude: float = 0.2
    ramp_days: int = 10
    payments_per_visit: float = 0.55  # beyond the first
    logins: float = 0.22
    logins_spread: float = 1.1


@dataclass(frozen=True)
class Filing:
    """How the bank writes its files."""

    pending_share: float = 0.35
    posted_amount_differs: float = 0.04
    posting_days: tuple[float, ...] = (0.62, 0.28, 0.10)
    """Probabilities of posting 1, 2, 3 days later."""
    refund_share_online: float = 0.035
    refund_share_terminal: float = 0.008
    refund_days: int = 21
    reversal_share: float = 0.002
    twin_share: float = 1 / 25_000
    malformed_share: float = 1 / 20_000
    malformed_min_rows: int = 300
    """Smaller files carry no malformed record: one would be more than a contract lets pass."""


@dataclass(frozen=True)
class Theft:
    """Fraud: how often, how, and what becomes known of it. `*_onset` are probabilities per active day."""

    testing_onset: float = 1 / 2600
    takeover_onset: float = 1 / 1500
    leaks_a_month: float = 2.5
    leak_days: int = 12
    used_after_leak: float = 0.5
    like_the_owner: float = 0.2
    """Share of stolen payments that copy the owner's habits in shop, amount and hour."""
    spree_share: float = 0.012
    """Share of a genuine customer's active days with a burst of small payments online."""
    stranger_share: float = 0.2
    """Share of genuine transfers to people whom the customer has never paid before."""
    new_device_share: float = 0.05
    """Share of genuine log-ins from a device that was never seen."""
    takeover_device_share: float = 0.7
    """Take-overs that begin with a log-in from a new device; the others use the owner's own."""

    reported_share: float = 0.8
    report_days: float = 12.0
    report_spread: float = 0.8
    report_days_most: int = 60
    mistaken_share: float = 1 / 30_000
    """Genuine payments that are reported as fraud; half of them are withdrawn two weeks later."""


@dataclass(frozen=True)
class Parameters:
    """All numbers of the simulation."""

    leaving: Leaving = field(default_factory=Leaving)
    activity: Activity = field(default_factory=Activity)
    filing: Filing = field(default_factory=Filing)
    theft: Theft = field(default_factory=Theft)
    life_share: float = 1.0
    lending_noise: float = 1.0
    """Factors on what life events change, and on the noise between a borrower's purse and the bureau."""

    def at(self, difficulty: float) -> "Parameters":
        """These numbers at another difficulty than the 0.5 that they are meant for."""
        harder = 2 * (difficulty - 0.5)
        if harder == 0:
            return self
        leaving, theft = self.leaving, self.theft
        return replace(
            self,
            leaving=replace(
                leaving,
                pause_onset=leaving.pause_onset * 2**harder,
                closer_share=min(leaving.closer_share + 0.08 * harder, 1.0),
                salary_moves_leaving=min(leaving.salary_moves_leaving - 0.25 * harder, 1.0),
                dissatisfied_support=leaving.dissatisfied_support * 2**-harder,
                fade_share=leaving.fade_share - 0.25 * harder,
            ),
            theft=replace(
                theft,
                like_the_owner=theft.like_the_owner + 0.22 * harder,
                spree_share=theft.spree_share * 2**harder,
                stranger_share=theft.stranger_share * 2 ** (harder / 2),
                new_device_share=theft.new_device_share * 2**harder,
            ),
            life_share=self.life_share * 2**-harder,
            lending_noise=self.lending_noise * 2**harder,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, kept with the truth: a ceiling uses the numbers the files were made with."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Parameters":
        """Inverse of `as_dict`."""

        def tupled(group: dict[str, Any]) -> dict[str, Any]:
            return {key: tuple(value) if isinstance(value, list) else value for key, value in group.items()}

        return cls(
            leaving=Leaving(**tupled(values["leaving"])),
            activity=Activity(**tupled(values["activity"])),
            filing=Filing(**tupled(values["filing"])),
            theft=Theft(**values["theft"]),
            life_share=values["life_share"],
            lending_noise=values["lending_noise"],
        )
