"""SQL of propensity for a category; `ml.statements` says what the relations `dates` and `cutoffs` hold.

Who will soon buy in a category in which they do not buy now? A use case's YAML names this as
`module: propensity` and needs no code of its own; a second YAML is another category. Its `parameters`:

- `category`: of the taxonomy, such as `travel`.
- `quiet_days`: who bought in it within so many days is not asked about.
- `active_days`: who has had no customer-initiated transaction within so many days neither.

Bought is what left the customer for it, collected automatically or not; a pending payment counts, a refund
takes nothing back. Of a sensitive category only customers are asked about who agreed to that, as known at the
date, by an entry `sensitive` among their consents (as dbt's macro `may_be_shown` reads them).
"""

from ml.config import ConfigError
from ml.scores.config import UseCase

_KNOWN_AT_DATE = """
    and transactions.known_at < dates.cutoff_at
    and (transactions.superseded_at is null or transactions.superseded_at >= dates.cutoff_at)
"""
_BOUGHT = "transactions.category = $category and transactions.amount < 0"


def POPULATION(use_case: UseCase) -> str:
    """Active customers who have not bought in the category lately. The same for training and scoring."""
    _check(use_case)
    return f"""
        with seen as (
            select dates.client_id, transactions.customer_id, dates.as_of_date, dates.cutoff_at,
                bool_or(
                    transactions.is_customer_initiated
                    and transactions.business_date > dates.as_of_date - $active_days::integer
                ) as is_active,
                coalesce(
                    bool_or(
                        {_BOUGHT} and transactions.business_date > dates.as_of_date - $quiet_days::integer
                    ),
                    false
                ) as has_bought
            from dates
            inner join intermediate.int_transactions as transactions
                on transactions.client_id = dates.client_id
                and transactions.business_date
                    > dates.as_of_date - greatest($active_days::integer, $quiet_days::integer)
                and transactions.business_date <= dates.as_of_date
                {_KNOWN_AT_DATE}
            group by all
        )
        select seen.client_id, seen.customer_id as entity_id, seen.as_of_date, seen.as_of_date as day,
            seen.customer_id
        from seen
        where seen.is_active and not seen.has_bought and (
            not exists (
                select 1 from staging.categories as categories
                where categories.category = $category and categories.is_sensitive
            )
            or exists (
                select 1 from intermediate.int_customers as people
                where people.client_id = seen.client_id and people.customer_id = seen.customer_id
                    and people.known_at < seen.cutoff_at
                    and (people.superseded_at is null or people.superseded_at >= seen.cutoff_at)
                    and ';' || replace(replace(lower(people.consents), ' ', ''), ',', ';') || ';'
                        like '%;sensitive;%'
            )
        )
    """  # noqa: S608 - made of constants


def LABEL(use_case: UseCase) -> str:
    """The population with its outcome: 1 = bought in the category within the horizon."""
    return f"""
        with bought as (
            select distinct dates.client_id, transactions.customer_id as entity_id, dates.as_of_date
            from dates
            inner join cutoffs as judged
                on judged.client_id = dates.client_id
                and judged.day = dates.as_of_date + $matures_after::integer
            inner join intermediate.int_transactions as transactions
                on transactions.client_id = dates.client_id
                and {_BOUGHT}
                and transactions.business_date > dates.as_of_date
                and transactions.business_date <= dates.as_of_date + $horizon_days::integer
                and transactions.known_at < judged.cutoff_at
                and (transactions.superseded_at is null or transactions.superseded_at >= judged.cutoff_at)
        )
        select population.*, (bought.entity_id is not null)::integer as label
        from ({POPULATION(use_case)}) as population
        left join bought using (client_id, entity_id, as_of_date)
    """  # noqa: S608 - made of constants


def LACKING(use_case: UseCase) -> str:
    """Purchases alone have no categories: then nobody ever buys in this one, and no more days would help."""
    _check(use_case)
    return f"""
        select case when count(*) filter ({_BOUGHT}) = 0 then
            'No payment has the category ' || $category || '. Those that payments have: '
            || coalesce(string_agg(distinct category, ', ' order by category) filter (amount < 0), 'none')
            || '. Categories come from merchants, merchant category codes or the source''s own categories.'
        end
        from intermediate.int_transactions as transactions
    """  # noqa: S608 - made of constants


def _check(use_case: UseCase) -> None:
    given = use_case.parameters
    if not isinstance(given.get("category"), str):
        raise ConfigError(f"{use_case.place}: parameters.category must name a category, such as travel")
    for name in ("quiet_days", "active_days"):
        days = given.get(name)
        if not isinstance(days, int) or days < 1:
            raise ConfigError(f"{use_case.place}: parameters.{name} must be a whole number of days")
