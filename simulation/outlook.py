"""What somebody who knows the hidden state expects a customer to spend, and on what: the best there is."""

import numpy as np
import numpy.typing as npt

from simulation.latent import (
    CAUSES,
    OFFER,
    PAUSES,
    PRESSED,
    SHOCK,
    Chain,
    State,
    probability_of_silence,
)
from simulation.life import LAWS, SHOWN, mixture
from simulation.parameters import CATEGORIES
from simulation.purchases import RUPEES, SIGMA, SPREE
from simulation.world import World

Floats = npt.NDArray[np.float64]
FACTOR = np.array(
    [(0.8 if code & SHOCK else 1.0) * (0.92 if code & OFFER else 1.0) for code in range(CAUSES)]
)
"""What the causes do to amounts; see `purchases.mean_log_rupees`."""


def expected_spend(world: World, day: int, window: int) -> Floats:
    """Expected rupees that each customer pays on `day`+1 … `day`+`window`, given the state on `day`.

    Life events and what stands in a window already are not looked at.

    Raises:
        ValueError: the window reaches beyond the simulated days.
    """
    people, theft = world.people, world.parameters.theft
    tastes = np.diff(people.tastes, axis=1, prepend=0.0)
    mean = tastes @ (RUPEES * np.exp(SIGMA**2 / 2)) * people.means
    mean *= 1 + world.bank.drift("prices", day)
    spree = theft.spree_share * (SPREE.fewest + SPREE.more) * SPREE.rupees * np.exp(SPREE.sigma**2 / 2)
    causes = world.latent.causes[day].astype(np.int64)
    visits = expected_visits(world.chain, day, window, world.latent.state[day], causes)
    rupees: Floats = visits * ((1 + people.payments_per_visit) * mean + spree)
    return rupees


def probability_of_purchase(world: World, day: int, window: int, category: str) -> Floats:
    """Probability of buying in a category on `day`+1 … `day`+`window` for each customer, given the `day`.

    Known are tastes, and life events whose weeks have begun; later ones by their chance, as if each day drew
    anew whether one has begun. Thefts and sprees are left out.

    Raises:
        ValueError: no such category, or the window reaches beyond the simulated days.
    """
    people, lives, horizon = world.people, world.lives, world.bank.horizon
    number = [one.name for one in CATEGORIES].index(category)
    tastes = np.diff(people.tastes, axis=1, prepend=0.0)[:, number]
    everyone = np.arange(len(people))
    passes = np.empty((window, len(people)))
    for ahead in range(1, window + 1):
        share = tastes
        for kind in SHOWN:
            has_begun = lives.day[kind] - LAWS[kind].lead <= day
            is_on = lives.in_window(kind, np.full(len(people), day + ahead), everyone) & has_begun
            chance, over = lives.chance[kind], min(max(day + LAWS[kind].lead + 1, 0), horizon) / horizon
            begins = np.where(has_begun, 0.0, chance * ahead / horizon / (1 - chance * over))
            taken = lives.share[kind] * (is_on + begins)
            share = share * (1 - taken) + taken * mixture(kind)[number]
        # An active day has one payment, and a Poisson number of further ones.
        passes[ahead - 1] = (1 - share) * np.exp(-people.payments_per_visit * share)
    state, causes = world.latent.state[day], world.latent.causes[day].astype(np.int64)
    bought: Floats = 1 - probability_of_silence(world.chain, day, window, state, causes, passes)
    return bought


def expected_visits(
    chain: Chain, day: int, window: int, state: npt.NDArray[np.int8], causes: npt.NDArray[np.int64]
) -> Floats:
    """Expected number of active days, each weighted with what the causes do to amounts.

    Raises:
        ValueError: the window reaches beyond the simulated days.
    """
    if day + window >= len(chain.base_visits):
        raise ValueError(f"the window of {window} days after day {day} is beyond the simulated days")
    law, of, count = chain.leaving, chain.of, len(state)
    active, paused = np.zeros((count, CAUSES)), np.zeros((PAUSES, count, CAUSES))
    fading, left = np.zeros((3, count)), np.zeros(count)
    pause, pace, on = of.pause_onset[:, None], of.fade_pace, law.pause_pace
    close = np.where(of.closes, law.close_hazard, 0.0)
    for tomorrow in range(day + window, day, -1):
        base = chain.base_visits[tomorrow].astype(np.float64)
        active = active - np.expm1(-base[:, None] * chain.visit_factor[None, :]) * FACTOR
        fading = fading - np.expm1(-base[None, :] * np.array(law.fading_activity)[:, None])
        left = left - np.expm1(-chain.stray_rate(chain.base_visits[tomorrow]).astype(np.float64))

        leave = chain.decision(tomorrow - 1)
        if_active, if_paused = active @ chain.cause_step.T, paused @ chain.cause_step.T
        onwards_paused = np.concatenate([if_paused[1:], if_active[None]])
        back = active[:, 0]
        gone = law.fade_share * fading[0] + (1 - law.fade_share) * left
        paused = leave * left[:, None] + on * onwards_paused + (1 - leave - on) * if_paused
        active = leave * gone[:, None] + pause * if_paused[0] + (1 - leave - pause) * if_active
        onwards = np.vstack([fading[1:], left])
        fading = pace * onwards + law.fade_recovery * back + (1 - pace - law.fade_recovery) * fading
        left = law.return_hazard * back + (1 - close - law.return_hazard) * left
    everyone, visits = np.arange(count), np.zeros(count)
    for value, code in zip((active, *paused), PRESSED, strict=True):
        visits = np.where(state == code, value[everyone, causes], visits)
    for stage, code in enumerate((State.FADING_1, State.FADING_2, State.FADING_3)):
        visits = np.where(state == code, fading[stage], visits)
    return np.where(state == State.LEFT, left, visits)
