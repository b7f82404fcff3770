"""SQL of the churn use case.

Both statements read the relation `dates`: client_id, as_of_date, cutoff_at, and for labels `judged_at`, the
cutoff at which the outcome counts as known. A version of a transaction counts when it was known before the
instant in question and had not been superseded by then.
"""

POPULATION = """
    select distinct dates.client_id, transactions.customer_id, dates.as_of_date
    from dates
    inner join intermediate.int_transactions as transactions
        on transactions.client_id = dates.client_id
        and transactions.is_customer_initiated
        and transactions.business_date > dates.as_of_date - $active_days::integer
        and transactions.business_date <= dates.as_of_date
        and transactions.known_at < dates.cutoff_at
        and (transactions.superseded_at is null or transactions.superseded_at >= dates.cutoff_at)
"""
"""Customers active at the as-of date; parameter `active_days`. The same for training and scoring."""

ACTED_AFTERWARDS = """
    select distinct dates.client_id, transactions.customer_id, dates.as_of_date
    from dates
    inner join intermediate.int_transactions as transactions
        on transactions.client_id = dates.client_id
        and transactions.is_customer_initiated
        and transactions.business_date > dates.as_of_date
        and transactions.business_date <= dates.as_of_date + $horizon_days::integer
        and transactions.known_at < dates.judged_at
        and (transactions.superseded_at is null or transactions.superseded_at >= dates.judged_at)
"""
"""Who did something within the horizon; parameter `horizon_days`."""

LABEL = f"""
    select population.*, (acted.customer_id is null)::integer as label
    from ({POPULATION}) as population
    left join ({ACTED_AFTERWARDS}) as acted using (client_id, customer_id, as_of_date)
"""  # noqa: S608 - put together from the two constants above
"""The population with its outcome: 1 = left (no customer-initiated transaction within the horizon)."""
