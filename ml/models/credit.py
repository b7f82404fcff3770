"""SQL of the credit use case; `ml.statements` says what the relations `dates` and `cutoffs` hold.

Who borrows, who is in default and what is outstanding stand in `features_credit`, as each as-of date knew
them.
"""

BORROWERS = """
    select
        dates.client_id,
        credit.customer_id as entity_id,
        dates.as_of_date,
        dates.as_of_date as day,
        credit.customer_id,
        credit.open_loans is not null as has_loans_feed
    from dates
    inner join features.features_credit as credit
        on credit.client_id = dates.client_id and credit.as_of_date = dates.as_of_date
    where not credit.is_in_default and coalesce(credit.open_loans, 1) > 0
"""
"""Customers with an open loan who are not in default; of a client without a loans feed all with a limit or a
report."""

POPULATION = f"""
    select borrowers.* exclude (has_loans_feed)
    from ({BORROWERS}) as borrowers
    inner join dates using (client_id, as_of_date)
    where borrowers.has_loans_feed or exists (
        select 1 from intermediate.int_defaults as defaults
        where defaults.client_id = dates.client_id and defaults.known_at < dates.cutoff_at
    )
"""  # noqa: S608 - put together from the constant above
"""Who is scored: no card holder of a bank that has never said what a default is there."""

LABEL = f"""
    with judged as (
        select dates.client_id, dates.as_of_date, cutoffs.cutoff_at
        from dates
        inner join cutoffs
            on cutoffs.client_id = dates.client_id
            and cutoffs.day = dates.as_of_date + $matures_after::integer
    ),
    defaulted as (
        select judged.client_id, defaults.customer_id, judged.as_of_date,
            min(defaults.defaulted_on) as first_on
        from judged
        inner join dates using (client_id, as_of_date)
        inner join intermediate.int_defaults as defaults
            on defaults.client_id = judged.client_id
            and defaults.known_at < judged.cutoff_at
            and (defaults.superseded_at is null or defaults.superseded_at >= judged.cutoff_at)
            -- What was known at the as-of date is a feature, not an outcome.
            and (defaults.defaulted_on > dates.as_of_date or defaults.known_at >= dates.cutoff_at)
        group by all
    )
    select
        borrowers.* exclude (has_loans_feed),
        coalesce(defaulted.first_on <= borrowers.as_of_date + $horizon_days::integer, false)::integer as label
    from ({BORROWERS}) as borrowers
    inner join judged using (client_id, as_of_date)
    left join defaulted using (client_id, customer_id, as_of_date)
    where (defaulted.first_on is null or defaulted.first_on > borrowers.as_of_date)
        and exists (
            select 1 from intermediate.int_defaults as any_default
            where any_default.client_id = judged.client_id and any_default.known_at < judged.cutoff_at
        )
"""  # noqa: S608 - put together from the constant above
"""The borrowers with their outcome: 1 = a default of the customer, or of one of their accounts or loans,
dated within the horizon, reported by the day of judgement and not taken back by then.

Left out: who was in default at the as-of date already although nobody knew it yet (neither outcome is right),
and clients that had reported no default at all by the day of judgement (everybody would seem to pay).
"""

EXPOSURE = """
    select
        dates.client_id,
        credit.customer_id as entity_id,
        dates.as_of_date,
        coalesce(credit.outstanding_principal, credit.own_credit_limit, credit.total_balance)::decimal(18, 4)
            as exposure
    from dates
    inner join features.features_credit as credit
        on credit.client_id = dates.client_id and credit.as_of_date = dates.as_of_date
"""
"""What a default puts at risk, in base currency: the outstanding principal; else the customer's limits here;
else what the bureau says they owe."""
