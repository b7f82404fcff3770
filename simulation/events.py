"""What the app records: log-ins, openings, support contacts, campaigns."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa

from simulation import text
from simulation.fraud import Kind, attacks
from simulation.latent import DISSATISFIED
from simulation.parameters import BLOCK_DAYS
from simulation.people import Booleans, Integers
from simulation.randomness import Stream, generator
from simulation.world import World

OPENS_ON_ACTIVE_DAY = 0.35
"""Probability that the app is opened on a day on which the customer pays."""
CAMPAIGN_DAYS = (4, 18)
CAMPAIGN_SHARE, RESPONSE_SHARE = 0.25, 0.04


class Event(IntEnum):
    """Types of events; the files' code is the name in lower case."""

    LOGIN = 0
    APP_OPEN = 1
    SUPPORT_CONTACT = 2
    CAMPAIGN_SENT = 3
    CAMPAIGN_RESPONSE = 4


CHANNEL = ("app", "app", "call_centre", "email", "app")
"""Channel of each type."""


@dataclass(frozen=True)
class Events:
    """Events of one block, sorted by day and time."""

    customer: Integers
    day: Integers
    second: Integers
    kind: Integers
    device: Integers
    is_new_device: Booleans

    def __len__(self) -> int:
        return len(self.customer)


def draw_events(world: World, consents: Booleans, block: int) -> Events:
    """Events of a block of days; none depends on another block."""
    first = block * BLOCK_DAYS
    last = min(first + BLOCK_DAYS, world.days.count)
    rng = generator(world.bank, Stream.EVENTS, block)
    leaving, people, latent = world.parameters.leaving, world.people, world.latent
    state = latent.state[first:last]
    dissatisfied = (latent.causes[first:last] & DISSATISFIED) > 0
    is_open = latent.is_open[first:last]

    rate = people.login_rate * np.array(leaving.login_activity)[state]
    rate = rate * np.where(dissatisfied, leaving.dissatisfied_logins, 1.0)
    log_ins = rng.poisson(rate) * is_open
    opens = latent.is_visit[first:last] & (rng.random(state.shape) < OPENS_ON_ACTIVE_DAY)
    unhappy = np.where(dissatisfied, leaving.dissatisfied_support, 1.0)
    contacts = (rng.random(state.shape) < leaving.support_rate * unhappy) & is_open
    campaign = np.isin(world.days.day_of_month[first:last], CAMPAIGN_DAYS)[:, None]
    sent = campaign & is_open & consents[first:last] & (rng.random(state.shape) < CAMPAIGN_SHARE)
    responds = sent & latent.is_visit[first:last] & (rng.random(state.shape) < RESPONSE_SHARE * 4)

    day, customer, kind = [], [], []
    for event, times in zip(Event, (log_ins, opens, contacts, sent, responds), strict=True):
        step, who = np.nonzero(times)
        repeats = times[step, who].astype(np.int64)
        day.append(np.repeat(step + first, repeats))
        customer.append(np.repeat(who, repeats))
        kind.append(np.full(int(repeats.sum()), event))
    taken = attacks(world, block)[Kind.TAKEOVER]
    day.append(taken.day)
    customer.append(taken.customer)
    kind.append(np.full(len(taken.day), Event.LOGIN))
    days, customers, kinds = np.concatenate(day), np.concatenate(customer), np.concatenate(kind)
    count = len(days)
    is_thief = np.arange(count) >= count - len(taken.day)
    second = np.where(
        kinds == Event.CAMPAIGN_SENT,
        10 * 3_600 + rng.integers(0, 1_800, count),
        ((15.5 + 4.5 * rng.standard_normal(count)) % 24 * 3_600).astype(np.int64),
    )
    has_device = np.isin(kinds, (Event.LOGIN, Event.APP_OPEN, Event.CAMPAIGN_RESPONSE))
    second[is_thief] = taken.second
    device = np.where(has_device, customers * 2 + (rng.random(count) < 0.12), -1)
    brings_device = is_thief & (rng.random(count) < world.parameters.theft.takeover_device_share)
    is_new = brings_device | (
        has_device & ~is_thief & (rng.random(count) < world.parameters.theft.new_device_share)
    )
    device = np.where(is_new, 2 * len(world.people) + rng.integers(0, 10**7, count), device)
    order = np.lexsort((kinds, customers, second, days))
    return Events(customers[order], days[order], second[order], kinds[order], device[order], is_new[order])


def event_lines(world: World, events: Events) -> pa.Array:
    """One JSON object per event."""
    ids = pa.array(world.people.customer_id)
    device = pa.array(0xA5_0000_0000 + events.device * 48_271, mask=events.device < 0).cast(pa.string())
    return text.join(
        '{"customer_id":"',
        text.take(ids, events.customer),
        '","event_at":"',
        text.local_times(world.days.datetime64[0], events.day, events.second),
        '","event_type":"',
        text.pick([event.name.lower() for event in Event], events.kind),
        '","channel":"',
        text.pick(list(CHANNEL), events.kind),
        text.pick(['","device_id":"', '","device_id":null'], (events.device < 0).astype(np.int64)),
        device,
        text.pick(['"}\n', "}\n"], (events.device < 0).astype(np.int64)),
    )
