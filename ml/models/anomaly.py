"""SQL of the anomaly use case; `ml.statements` says what the relations `dates` and `cutoffs` hold."""

from ml.models import churn

POPULATION = churn.POPULATION
"""Customers active at the as-of date: silence is what churn is about."""

PAST = """
    select
        unusual.client_id,
        unusual.entity_id,
        unusual.as_of_date,
        earlier.customer_id as past_id,
        earlier.as_of_date as past_date
    from unusual
    inner join features.features_customers as earlier
        on earlier.client_id = unusual.client_id
        and earlier.customer_id = unusual.entity_id
        and earlier.as_of_date < unusual.as_of_date
        and earlier.as_of_date >= unusual.as_of_date - $past::integer
    where earlier.as_of_date = last_day(earlier.as_of_date)
"""
"""The customer at earlier month-ends, as each of them knew it. Of other days there is a vector or none, as
nights ran; reasons must not depend on that."""
