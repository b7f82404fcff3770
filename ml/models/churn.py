"""SQL of the churn use case; `ml.statements` says what the relations `dates` and `cutoffs` hold.

A version of a transaction counts when it was known before the instant in question and had not been superseded
by then.
"""

POPULATION = """
    select distinct
        dates.client_id,
        transactions.customer_id as entity_id,
        dates.as_of_date,
        dates.as_of_date as day,
        transactions.customer_id
    from dates
    inner join intermediate.int_transactions as transactions
        on transactions.client_id = dates.client_id
        and transactions.is_customer_initiated
        and transactions.business_date > dates.as_of_date - $active_days::integer
        and transactions.business_date <= dates.as_of_date
        and transactions.known_at < dates.cutoff_at
        and (transactions.superseded_at is null or transactions.superseded_at >= dates.cutoff_at)
"""
"""Customers active at the as-of date. The same for training and scoring."""

ACTED_AFTERWARDS = """
    select distinct dates.client_id, transactions.customer_id as entity_id, dates.as_of_date
    from dates
    inner join cutoffs as judged
        on judged.client_id = dates.client_id
        and judged.day = dates.as_of_date + $matures_after::integer
    inner join intermediate.int_transactions as transactions
        on transactions.client_id = dates.client_id
        and transactions.is_customer_initiated
        and transactions.business_date > dates.as_of_date
        and transactions.business_date <= dates.as_of_date + $horizon_days::integer
        and transactions.known_at < judged.cutoff_at
        and (transactions.superseded_at is null or transactions.superseded_at >= judged.cutoff_at)
"""
"""Who did something within the horizon."""

LABEL = f"""
    select population.*, (acted.entity_id is null)::integer as label
    from ({POPULATION}) as population
    left join ({ACTED_AFTERWARDS}) as acted using (client_id, entity_id, as_of_date)
"""  # noqa: S608 - put together from the two constants above
"""The population with its outcome: 1 = left (no customer-initiated transaction within the horizon)."""

EXPOSURE = """
    select
        dates.client_id,
        revenue.customer_id as entity_id,
        dates.as_of_date,
        greatest(sum(revenue.revenue), 0)::decimal(18, 4) as exposure
    from dates
    inner join intermediate.int_revenue as revenue
        on revenue.client_id = dates.client_id
        and revenue.business_date > dates.as_of_date - 365
        and revenue.business_date <= dates.as_of_date
        and revenue.known_at < dates.cutoff_at
        and (revenue.superseded_at is null or revenue.superseded_at >= dates.cutoff_at)
    group by all
"""
"""What a customer brought in during the last year, in base currency: lost when the customer leaves."""
