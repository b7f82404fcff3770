"""What no file shows: the causes that press on customers, and the chain of states that leads them away.

Each customer is a hidden Markov chain over days. While ACTIVE or PAUSED (in three stages, so that a pause
has a typical length), three causes come and go by themselves (dissatisfied, income shock, competitor's
offer); together with the customer's own disposition they set the probability of deciding to leave. Who
decides either stops at once (LEFT) or fades in three stages. Some come back; some close formally. In every
state the customer starts a transaction on a day with probability 1 − exp(−rate), independently given the
states. So the probability of silence over a window can be computed exactly: by `probability_of_silence`,
which is what the ceiling is made of.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from simulation.days import Days
from simulation.parameters import Bank, Leaving, Parameters
from simulation.people import People, Work
from simulation.randomness import Stream, generator

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


class State(IntEnum):
    """Where a customer stands. NOT_YET: before signing up."""

    ACTIVE = 0
    PAUSED_1 = 1
    PAUSED_2 = 2
    PAUSED_3 = 3
    FADING_1 = 4
    FADING_2 = 5
    FADING_3 = 6
    LEFT = 7
    CLOSED = 8
    NOT_YET = 9


PRESSED = (State.ACTIVE, State.PAUSED_1, State.PAUSED_2, State.PAUSED_3)
"""States in which the causes come and go."""
PAUSES = len(PRESSED) - 1

STATES = tuple(state.name.lower() for state in State)

DISSATISFIED, SHOCK, OFFER = 1, 2, 4
"""Bits of a cause code 0 … 7."""
CAUSES = 8
_BITS = np.array([[(code >> bit) & 1 for bit in range(3)] for code in range(CAUSES)], dtype=np.float64)


def _powers(factors: tuple[float, float, float]) -> Floats:
    """Product of the factors of the causes that are present, for each cause code."""
    product: Floats = np.prod(np.where(_BITS > 0, factors, 1.0), axis=1)
    return product


@dataclass(frozen=True)
class Dispositions:
    """What the chain needs to know about each customer; see `People`."""

    signed_up: Integers
    hazard: Floats
    pause_onset: Floats
    fade_pace: Floats
    closes: Booleans


class Chain:
    """Daily laws of the hidden chain: how states follow each other, and how active each state is."""

    def __init__(
        self, leaving: Leaving, dispositions: Dispositions, base_visits: npt.NDArray[np.float32]
    ) -> None:
        self.leaving = leaving
        self.of = dispositions
        self.base_visits = base_visits
        law = leaving
        self.hazard_factor = _powers((law.dissatisfied_hazard, law.shock_hazard, law.offer_hazard))
        self.visit_factor = _powers((law.dissatisfied_activity, law.shock_activity, law.offer_activity))
        onset = np.array([leaving.dissatisfied_onset, leaving.shock_onset, leaving.offer_onset])
        end = np.array([leaving.dissatisfied_end, leaving.shock_end, leaving.offer_end])
        self.cause_onset, self.cause_end = onset, end
        appears = np.where(_BITS > 0, 1 - end, onset)  # probability that a cause is present tomorrow, by code
        self.cause_step: Floats = np.prod(
            np.where(_BITS[None, :, :] > 0, appears[:, None, :], 1 - appears[:, None, :]), axis=2
        )

    def decision(self, day: int, causes: npt.NDArray[np.int64] | None = None) -> Floats:
        """Probability of deciding on `day` to leave, taking effect the next day.

        Args:
            day: simulated day.
            causes: cause code of each customer; None: for every code (customers × 8).
        """
        law = self.leaving
        is_new = day - self.of.signed_up < law.new_customer_days
        rate = law.base_hazard * self.of.hazard * np.where(is_new, law.new_customer_hazard, 1.0)
        if causes is None:
            return -np.expm1(-rate[:, None] * self.hazard_factor[None, :])
        return -np.expm1(-rate * self.hazard_factor[causes])

    def stray_rate(self, base: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Intensity of active days of a customer who has left without closing."""
        return np.minimum(base, np.float32(self.leaving.stray_rate))

    def visit_rate(
        self, day: int, state: npt.NDArray[np.int8], causes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Intensity of active days of each customer in its state."""
        base = self.base_visits[day]
        silent = [0.0] * State.FADING_1
        fading = np.array([*silent, *self.leaving.fading_activity, 0.0, 0.0, 0.0], dtype=np.float32)
        rate = base * fading[state]
        rate = np.where(state == State.ACTIVE, base * self.visit_factor[causes], rate)
        return np.where(state == State.LEFT, self.stray_rate(base), rate).astype(np.float32)


@dataclass(frozen=True)
class Latent:
    """The hidden truth by day and customer.

    Attributes:
        state: `State` codes.
        causes: cause codes; frozen at the decision while leaving, 0 after coming back.
        decision: probability of deciding to leave that day (0 unless active or paused).
        visit_rate: intensity of active days in the realised state.
        is_visit: whether the customer starts a transaction that day. A customer has a customer-initiated
            transaction on a day exactly when this is true.
        has_salary: whether a salary or pension comes to this bank.
    """

    state: npt.NDArray[np.int8]
    causes: npt.NDArray[np.int8]
    decision: npt.NDArray[np.float32]
    visit_rate: npt.NDArray[np.float32]
    is_visit: Booleans
    has_salary: Booleans

    @property
    def is_open(self) -> Booleans:
        """Whether the account is open."""
        return self.state < State.CLOSED


def chain_of(people: People, base_visits: npt.NDArray[np.float32], leaving: Leaving) -> Chain:
    """The chain of a bank's customers."""
    of = Dispositions(people.signed_up, people.hazard, people.pause_onset, people.fade_pace, people.closes)
    return Chain(leaving, of, base_visits)


def simulate(bank: Bank, parameters: Parameters, people: People, days: Days, chain: Chain) -> Latent:
    """Draw the hidden states of all customers over the whole horizon."""
    rng = generator(bank, Stream.LATENT)
    leaving, count = parameters.leaving, len(people)
    shape = (days.count, count)
    states, causes_at = np.empty(shape, np.int8), np.empty(shape, np.int8)
    decisions, rates = np.zeros(shape, np.float32), np.empty(shape, np.float32)
    salaries = np.empty(shape, np.bool_)

    state = np.full(count, State.NOT_YET, dtype=np.int8)
    # Who was there before the first day brings the causes' long-run mixture along.
    stationary = chain.cause_onset / (chain.cause_onset + chain.cause_end)
    causes = ((rng.random((count, 3)) < stationary) * (1, 2, 4)).sum(axis=1)
    causes[people.signed_up >= 0] = 0
    earns_here = np.isin(people.work, (Work.SALARIED, Work.PENSIONER)) & ~people.is_occasional
    job = earns_here.copy()
    lost_in_shock = np.zeros(count, dtype=np.bool_)

    for day in range(days.count):
        joins = people.signed_up == day if day else people.signed_up <= 0
        state[joins] = State.ACTIVE
        pressed = state <= State.PAUSED_3
        causes_at[day], states[day] = causes, state
        decisions[day] = np.where(pressed, chain.decision(day, causes), 0.0)
        rates[day] = chain.visit_rate(day, state, causes)
        salaries[day] = job & ~lost_in_shock & (state < State.CLOSED)

        # Into the next day: first the state, moved by today's causes; then the causes of who has stayed.
        draw, style = rng.random(count), rng.random(count)
        fading = (state >= State.FADING_1) & (state <= State.FADING_3)
        decides = pressed & (draw < decisions[day])
        pauses = (state == State.ACTIVE) & ~decides & (draw < decisions[day] + people.pause_onset)
        paused = pressed & (state != State.ACTIVE)
        moves_on = paused & ~decides & (draw < decisions[day] + leaving.pause_pace)
        resumes = moves_on & (state == State.PAUSED_3)
        advances = fading & (draw < people.fade_pace)
        recovers = fading & ~advances & (draw < people.fade_pace + leaving.fade_recovery)
        gone = state == State.LEFT
        closes = gone & people.closes & (draw < leaving.close_hazard)
        returns = gone & ~closes & (draw > 1 - leaving.return_hazard)
        to_fading = decides & (state == State.ACTIVE) & (style < leaving.fade_share)

        following = np.where(advances | moves_on, state + 1, state)
        following = np.where(decides, State.LEFT, following)
        following = np.where(to_fading, State.FADING_1, following)
        following = np.where(pauses, State.PAUSED_1, following)
        following = np.where(resumes | recovers | returns, State.ACTIVE, following)
        following = np.where(closes, State.CLOSED, following).astype(np.int8)

        chance = rng.random((count, 3))
        bits = ((causes[:, None] >> np.arange(3)) & 1) > 0
        present = np.where(bits, chance >= chain.cause_end, chance < chain.cause_onset)
        evolved = (present * (1, 2, 4)).sum(axis=1)
        stays = pressed & ~decides
        causes = np.where(stays, evolved, causes)
        causes[recovers | returns] = 0

        chance = rng.random(count)
        in_shock = (causes & SHOCK) > 0
        begins = in_shock & ~bits[:, 1] & stays
        lost_in_shock = np.where(begins, chance < leaving.salary_lost_in_shock, lost_in_shock & in_shock)
        arrives_left = (following == State.LEFT) & (state != State.LEFT)
        moves = arrives_left & (chance < leaving.salary_moves_leaving)
        moves |= fading & (chance < leaving.salary_moves_fading)
        moves |= chance < leaving.salary_moves_anyway
        job &= ~moves
        state = following

    is_visit = generator(bank, Stream.ACTIVITY).random(shape) < -np.expm1(-rates.astype(np.float64))
    return Latent(states, causes_at, decisions, rates, is_visit, salaries)


def probability_of_silence(
    chain: Chain,
    day: int,
    window: int,
    state: npt.NDArray[np.int8],
    causes: npt.NDArray[np.int64],
    passes: Floats | None = None,
) -> Floats:
    """Probability of no customer-initiated transaction on days `day`+1 … `day`+`window`, for every customer.

    It knows the hidden state and causes at the end of `day`, the customer's dispositions and the laws of the
    chain, and marginalises exactly over everything later, by backward recursion over the joint states.

    Args:
        chain: laws and dispositions.
        day: simulated day of the as-of date.
        window: number of days of the label's window.
        state: hidden state of each customer on `day`.
        causes: cause code of each customer on `day`.
        passes: days of the window × customers: probability that an active day counts as a silent one, where
            only some transactions are asked about; default: none does.

    Raises:
        ValueError: the window reaches beyond the simulated days.
    """
    if day + window >= len(chain.base_visits):
        raise ValueError(f"the window of {window} days after day {day} is beyond the simulated days")
    law, of = chain.leaving, chain.of
    count = len(state)
    if passes is None:
        passes = np.zeros((window, count))
    active, paused = np.ones((count, CAUSES)), np.ones((PAUSES, count, CAUSES))
    fading = np.ones((3, count))
    left = np.ones(count)
    pause, pace = of.pause_onset[:, None], of.fade_pace
    close = np.where(of.closes, law.close_hazard, 0.0)
    for tomorrow in range(day + window, day, -1):
        base = chain.base_visits[tomorrow].astype(np.float64)
        stray = chain.stray_rate(chain.base_visits[tomorrow]).astype(np.float64)
        ignored = passes[tomorrow - day - 1]
        # Silence from `tomorrow` on, by the state of `tomorrow`; paused and closed customers are silent.
        active = active * _silent(base[:, None] * chain.visit_factor[None, :], ignored[:, None])
        fading = fading * _silent(base[None, :] * np.array(law.fading_activity)[:, None], ignored[None, :])
        left = left * _silent(stray, ignored)

        leave = chain.decision(tomorrow - 1)
        if_active, if_paused = active @ chain.cause_step.T, paused @ chain.cause_step.T
        onwards_paused = np.concatenate([if_paused[1:], if_active[None]])
        back = active[:, 0]
        gone_slowly = law.fade_share * fading[0] + (1 - law.fade_share) * left
        pause_on = law.pause_pace
        paused = leave * left[:, None] + pause_on * onwards_paused + (1 - leave - pause_on) * if_paused
        active = leave * gone_slowly[:, None] + pause * if_paused[0] + (1 - leave - pause) * if_active
        onwards = np.vstack([fading[1:], left])
        fading = pace * onwards + law.fade_recovery * back + (1 - pace - law.fade_recovery) * fading
        left = close + law.return_hazard * back + (1 - close - law.return_hazard) * left
    everyone = np.arange(count)
    silence = np.ones(count)
    for value, code in zip((active, *paused), PRESSED, strict=True):
        silence = np.where(state == code, value[everyone, causes], silence)
    for stage, code in enumerate((State.FADING_1, State.FADING_2, State.FADING_3)):
        silence = np.where(state == code, fading[stage], silence)
    return np.where(state == State.LEFT, left, silence)


def _silent(rate: Floats, ignored: Floats) -> Floats:
    """Probability that a day is silent, or active with nothing that is asked about."""
    inactive: Floats = np.exp(-rate)
    return inactive + (1 - inactive) * ignored
