"""SQL of the use case for unusual transactions; `ml.statements` says what `dates` and `cutoffs` hold."""

POPULATION = """
    select
        vectors.client_id,
        vectors.transaction_key as entity_id,
        vectors.as_of_date,
        transactions.business_date as day,
        transactions.customer_id,
        transactions.category as peers
    from dates
    inner join features.features_transactions as vectors
        on vectors.client_id = dates.client_id and vectors.as_of_date = dates.as_of_date
    inner join intermediate.int_transactions as transactions
        on transactions.client_id = vectors.client_id
        and transactions.transaction_key = vectors.transaction_key
        and transactions.known_at < dates.cutoff_at
        and (transactions.superseded_at is null or transactions.superseded_at >= dates.cutoff_at)
"""
"""Every transaction that a night describes, as it was understood then; its peers have its category."""

DAYS = """
    select distinct client_id, business_date as day
    from intermediate.int_transactions
    where is_customer_initiated
"""
"""Every day with a transaction: without labels none has to mature."""

PAST = """
    select
        unusual.client_id,
        unusual.entity_id,
        unusual.as_of_date,
        earlier.transaction_key as past_id,
        max(vectors.as_of_date) as past_date
    from unusual
    inner join dates
        on dates.client_id = unusual.client_id and dates.as_of_date = unusual.as_of_date
    inner join intermediate.int_transactions as earlier
        on earlier.client_id = unusual.client_id
        and earlier.customer_id = unusual.customer_id
        and earlier.transaction_key <> unusual.entity_id
        and earlier.business_date < unusual.day
        and earlier.business_date >= unusual.day - $past::integer
        and earlier.known_at < dates.cutoff_at
        and (earlier.superseded_at is null or earlier.superseded_at >= dates.cutoff_at)
    inner join features.features_transactions as vectors
        on vectors.client_id = earlier.client_id
        and vectors.transaction_key = earlier.transaction_key
        and vectors.as_of_date <= unusual.as_of_date
    group by unusual.client_id, unusual.entity_id, unusual.as_of_date, earlier.transaction_key
"""
"""The customer's transactions of the days before the row's own, each once, as last described by its date."""
