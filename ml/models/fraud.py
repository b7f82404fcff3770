"""SQL of the fraud use case; `ml.statements` says what the relations `dates` and `cutoffs` hold.

A row is a version of a transaction as the night scored it that first knew it. A report counts when it was
known at the cutoff of the day that lies `$matures_after` days after the transaction's own, and had not been
withdrawn by then: whoever reports later is taken for nobody, as a model of that day would have had to.
"""

POPULATION = """
    select
        vectors.client_id,
        vectors.transaction_key as entity_id,
        vectors.as_of_date,
        transactions.business_date as day,
        transactions.customer_id,
        coalesce(transactions.card_token, transactions.account_id) as card
    from dates
    inner join features.features_movements as vectors
        on vectors.client_id = dates.client_id and vectors.as_of_date = dates.as_of_date
    inner join intermediate.int_transactions as transactions
        on transactions.client_id = vectors.client_id
        and transactions.transaction_key = vectors.transaction_key
        and transactions.version = vectors.version
        and transactions.known_at < dates.cutoff_at
        and (transactions.superseded_at is null or transactions.superseded_at >= dates.cutoff_at)
"""
"""Every transaction that is first known on a date, whoever set it off (docs/metric-decisions.md, "What is
scored for fraud"). `card` is the card or account, as the velocity windows have it."""

DAYS = """
    select distinct transactions.client_id, transactions.business_date as day
    from intermediate.int_transactions as transactions
    inner join (
        select client_id, min(known_at)::date as since from intermediate.int_fraud_reports group by client_id
    ) as reporting
        on reporting.client_id = transactions.client_id and transactions.business_date >= reporting.since
"""
"""Days of clients that report frauds, from the first report on: before it, silence says nothing."""

LABEL = f"""
    select population.*, (reports.transaction_key is not null)::integer as label
    from (
        {POPULATION}
        qualify vectors.as_of_date = min(vectors.as_of_date) over (
            partition by vectors.client_id, vectors.transaction_key
        )
    ) as population
    inner join cutoffs as judged
        on judged.client_id = population.client_id and judged.day = population.day + $matures_after::integer
    left join (
        select client_id, transaction_key, known_at, superseded_at
        from intermediate.int_fraud_reports where is_fraud
    ) as reports
        on reports.client_id = population.client_id
        and reports.transaction_key = population.entity_id
        and reports.known_at < judged.cutoff_at
        and (reports.superseded_at is null or reports.superseded_at >= judged.cutoff_at)
"""  # noqa: S608 - put together from the constant above
"""Each transaction once, as it was first scored: 1 = reported as fraud in time."""

EXPOSURE = """
    select
        vectors.client_id,
        vectors.transaction_key as entity_id,
        vectors.as_of_date,
        case
            when transactions.base_amount > 0
                or transactions.payment_mode in ('fee', 'interest')
                or transactions.movement in ('fee', 'interest', 'own_transfer') then 0
            else -transactions.base_amount
        end::decimal(18, 4) as exposure
    from dates
    inner join features.features_movements as vectors
        on vectors.client_id = dates.client_id and vectors.as_of_date = dates.as_of_date
    inner join intermediate.int_transactions as transactions
        on transactions.client_id = vectors.client_id
        and transactions.transaction_key = vectors.transaction_key
        and transactions.version = vectors.version
        and transactions.known_at < dates.cutoff_at
        and (transactions.superseded_at is null or transactions.superseded_at >= dates.cutoff_at)
"""
"""What others get of the customer's money, in base currency. Nothing can be lost of what comes in, of what
the bank itself charges and of what goes to the customer's own account, so none of it is ever an alert."""

POINTED_OUT = """
    select client_id, transaction_key as entity_id, as_of_date
    from marts.mart_fraud_alerts
    where model_version = $version and is_within_budget
"""
"""What somebody looked into; `ml.scores.losses` counts the frauds that are not among it."""
