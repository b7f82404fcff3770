"""What comes regularly: income, mandates, payments by hand, charges; and what people send."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulation import text
from simulation.days import Shift
from simulation.latent import State
from simulation.life import NEVER, Life
from simulation.names import EMPLOYERS, SUBSCRIPTIONS
from simulation.people import Account, Floats, Integers, Work
from simulation.purchases import skewed
from simulation.rows import Channel, Kind, Mode, Rows, rows
from simulation.schedule import Schedule, in_paise
from simulation.world import CONTACTS

BETWEEN_JOBS_DAYS = 40
PENSION_SHARE = 0.5
RENT_DAY, SWEEP_DAY = 3, 8
SMS_CHARGE = 1_770  # paise


class Regular(Schedule):
    """Draws the regular transactions of the days [first, last)."""

    def draw(self) -> Iterator[Rows]:
        """All of them, kind by kind."""
        yield self._salaries()
        yield self._earnings()
        yield from self._rent()
        yield self._instalments()
        yield self._loans()
        yield self._investments()
        yield from self._subscriptions()
        yield self._premiums()
        yield self._sweeps()
        yield from self._card_repayments()
        yield self._charges()
        yield self._from_people()

    def _salaries(self) -> Rows:
        people = self.people
        earns = np.isin(people.work, (Work.SALARIED, Work.PENSIONER))
        customer, day = self.due(people.pay_shift, people.pay_day, earns, self.first)
        keep = self.latent.has_salary[day, customer]
        customer, day = customer[keep], day[keep]
        raised = people.income[customer] * 1.06 ** self.world.days.pay_rises[day]
        raised = raised * (1 + self.world.bank.drift("income", day))
        lives = self.world.lives
        since = day - lives.day[Life.JOB_CHANGE, customer]
        between_jobs = (since >= 0) & (since < BETWEEN_JOBS_DAYS)
        changed, retired = since >= 0, lives.has_happened(Life.RETIREMENT, day, customer)
        raised *= np.where(changed, lives.raise_[customer], 1.0) * np.where(retired, PENSION_SHARE, 1.0)
        employer = np.where(changed, lives.new_employer[customer], people.employer[customer])
        is_pension = (people.work[customer] == Work.PENSIONER) | retired
        payers = [f"-{name}-SALARY " for name, _ in EMPLOYERS] + ["-CENTRAL PENSION ACCTG-PENSION "]
        payer = text.pick(payers, np.where(is_pension, len(EMPLOYERS), employer))
        drawn = rows(
            customer,
            day,
            self.between(3, 11, len(day)),
            in_paise(np.round(raised * self.noise(0.02, len(day)))),
            text.join("NEFT CR-", self.reference(8, len(day)), payer, self.month(day)),
            mode=Mode.NEFT,
            kind=Kind.SAL,
        )
        return drawn.pick(np.flatnonzero(~between_jobs))

    def _earnings(self) -> Rows:
        """Customers' payments to the self-employed, and the platforms' Friday payouts to drivers."""
        people = self.people
        weekday = self.world.days.weekday[self.first : self.last, None]
        is_gig = people.work == Work.GIG
        earns = np.isin(people.work, (Work.SELF_EMPLOYED, Work.GIG)) & ~people.is_occasional
        chance = (
            np.where(is_gig, np.where(weekday == 4, 0.92, 0.0), np.where(weekday < 6, 0.16, 0.03)) * earns
        )
        customer, day = self.happens(chance)
        by_platform = is_gig[customer]
        contact = customer * CONTACTS + self.rng.integers(0, CONTACTS, len(day))
        payer = pc.if_else(
            pa.array(by_platform), "-ZOMATO DELIVERY PAYOUT", text.take(self.world.contact_name, contact)
        )
        return rows(
            customer,
            day,
            self.between(9, 21, len(day)),
            in_paise(
                people.income[customer]
                * 0.235
                * (1 + self.world.bank.drift("income", day))
                * self.noise(0.5, len(day))
            ),
            text.join(
                text.pick(["UPI/CR/", "NEFT CR-"], by_platform.astype(np.int64)),
                self.reference(6, len(day)),
                text.pick(["/", ""], by_platform.astype(np.int64)),
                payer,
            ),
            mode=np.where(by_platform, Mode.NEFT, Mode.UPI),
            kind=Kind.BIZ,
        )

    def _rent(self) -> Iterator[Rows]:
        people = self.people
        pays = people.rent > 0
        hand = self.by_hand(RENT_DAY, pays & people.rent_by_hand)
        standing = self.by_mandate(Shift.NEXT_WORKDAY, RENT_DAY, pays & ~people.rent_by_hand, linger=20)
        for (customer, day), mode, channel, head in (
            (hand, Mode.NEFT, Channel.APP, "IMPS/P2A/"),
            (standing, Mode.SI, Channel.NONE, "SI RENT/"),
        ):
            landlord = customer * CONTACTS
            yield rows(
                customer,
                day,
                self.between(8, 21, len(day)),
                -in_paise(people.rent[customer]),
                text.join(
                    head,
                    self.reference(6, len(day)),
                    "/",
                    text.take(self.world.contact_name, landlord),
                    "/RENT",
                ),
                mode=mode,
                channel=channel,
                kind=Kind.RENT,
                contact=landlord,
            )

    def _instalments(self) -> Rows:
        """Instalments of a loan at another bank; the books decide whether the account can pay."""
        people, lives = self.people, self.world.lives
        borrows = lives.day[Life.LOAN] < NEVER
        rupees = np.where(people.instalment > 0, people.instalment, np.round(0.15 * people.income, -2))
        customer, day = self.by_mandate(
            Shift.NEXT_WORKDAY, people.instalment_day, (people.instalment > 0) | borrows, linger=60
        )
        due = (people.instalment[customer] > 0) | (day >= lives.day[Life.LOAN, customer] + 20)
        customer, day = customer[due], day[due]
        return rows(
            customer,
            day,
            self.between(2, 7, len(day)),
            -in_paise(rupees[customer]),
            text.join("ACH D- HDFC LTD-", text.digits(customer * 17 + 100_000)),
            mode=Mode.NACH,
            kind=Kind.EMI,
        )

    def _loans(self) -> Rows:
        """What another bank pays out to those who borrow."""
        day = self.world.lives.day[Life.LOAN]
        customer = np.flatnonzero((day >= self.first) & (day < self.last))
        customer = customer[self.latent.is_open[day[customer], customer]]
        return rows(
            customer,
            day[customer],
            self.between(10, 17, len(customer)),
            in_paise(np.round(self.people.income[customer] * 0.15 * 20, -3)),
            text.join("NEFT CR-", self.reference(8, len(customer)), "-HDFC LTD-LOAN DISB"),
            mode=Mode.NEFT,
            kind=Kind.LON,
        )

    def _investments(self) -> Rows:
        people = self.people
        customer, day = self.by_mandate(
            Shift.NEXT_WORKDAY, people.investment_day, people.investment > 0, linger=0
        )
        return rows(
            customer,
            day,
            self.between(4, 9, len(day)),
            -in_paise(people.investment[customer]),
            text.join("ACH D- BSE STAR MF-", text.digits(customer * 13 + 200_000)),
            mode=Mode.NACH,
            kind=Kind.SIP,
        )

    def _subscriptions(self) -> Iterator[Rows]:
        people = self.people
        for number, (name, rupees, _) in enumerate(SUBSCRIPTIONS):
            nominal = people.subscriptions[:, number]
            customer, day = self.by_mandate(Shift.NONE, nominal, nominal > 0, linger=45)
            keep = day >= people.subscription_from[customer, number]
            keep &= day < people.subscription_to[customer, number]
            customer, day = customer[keep], day[keep]
            yield rows(
                customer,
                day,
                self.between(0, 24, len(day)),
                -_price(rupees, number, day),
                text.join("UPI AUTOPAY/", name, "/", self.reference(6, len(day))),
                mode=Mode.NACH,
                kind=Kind.SUB,
            )

    def _premiums(self) -> Rows:
        people = self.people
        day_of_year = self.world.days.day_of_year[self.first : self.last, None]
        due = (day_of_year == people.premium_day_of_year) & (people.premium > 0)
        step, customer = np.nonzero(due & (self.latent.state[self.first : self.last] < State.LEFT))
        return rows(
            customer,
            step + self.first,
            self.between(4, 9, len(step)),
            -in_paise(people.premium[customer]),
            text.join("ACH D- LIC OF INDIA-", text.digits(customer * 11 + 300_000)),
            mode=Mode.NACH,
            kind=Kind.INS,
        )

    def _sweeps(self) -> Rows:
        """Savings by hand: what leaves the current account; the books limit it and add the other side."""
        customer, day = self.by_hand(SWEEP_DAY, self.people.sweep > 0)
        return self._own_transfer(
            customer,
            day,
            self.people.sweep[customer],
            Account.SAVINGS,
            "TRF TO OWN SB A/C ",
            mode=Mode.NEFT,
            channel=Channel.APP,
            kind=Kind.OWN,
        )

    def _card_repayments(self) -> Iterator[Rows]:
        """Repayments of the credit card; the books know what is owed."""
        people = self.people
        due, cards = people.card_repayment_day, people.has_credit_card
        hand = self.by_hand(due, cards & people.card_repaid_by_hand)
        standing = self.by_mandate(Shift.NONE, due, cards & ~people.card_repaid_by_hand, linger=45)
        for (customer, day), mode, channel in (
            (hand, Mode.NEFT, Channel.APP),
            (standing, Mode.NACH, Channel.NONE),
        ):
            yield self._own_transfer(
                customer,
                day,
                np.ones(len(day)),
                Account.CREDIT_CARD,
                "CC BILLPAY ",
                mode=mode,
                channel=channel,
                kind=Kind.CCP,
            )

    def _own_transfer(
        self, customer: Integers, day: Integers, rupees: Floats, to: Account, head: str, **columns: Any
    ) -> Rows:
        second, reference = self.between(7, 23, len(day)), self.reference(9, len(day))
        return rows(
            customer, day, second, -in_paise(rupees), text.join(head, reference), other_account=to, **columns
        )

    def _charges(self) -> Rows:
        customer, day = self.due(Shift.NONE, 31, np.ones(len(self.people), dtype=np.bool_), self.first)
        ends_quarter = self.world.days.month[day] % 3 == 0
        customer, day = customer[ends_quarter], day[ends_quarter]
        return rows(
            customer,
            day,
            np.full(len(day), 86_000),
            np.full(len(day), -SMS_CHARGE),
            text.join("SMS CHARGES ", self.month(day)),
            mode=Mode.CHG,
            kind=Kind.CHG,
        )

    def _from_people(self) -> Rows:
        people = self.people
        chance = np.broadcast_to(
            0.05 * np.minimum(people.visit_rate, 1), (self.last - self.first, len(people))
        )
        customer, day = self.happens(chance)
        contact = customer * CONTACTS + skewed(self.rng, len(day), CONTACTS)
        return rows(
            customer,
            day,
            self.between(8, 23, len(day)),
            in_paise(600 * people.means[customer] * self.noise(1.1, len(day))),
            text.join(
                "UPI/CR/", self.reference(6, len(day)), "/", text.take(self.world.contact_name, contact)
            ),
            mode=Mode.UPI,
            kind=Kind.P2P,
            contact=contact,
        )


def _price(rupees: int, service: int, day: Integers) -> Integers:
    """Price of a subscription in paise: an eighth more about every sixteen months."""
    rises = (day + service * 131) // 490
    return np.round(rupees * 1.125**rises).astype(np.int64) * 100
