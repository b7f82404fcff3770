{{ config(materialized='view') }}

-- Of events that are told, and of no others.
select
    evidence.client_id,
    evidence.customer_id,
    evidence.event,
    evidence.rule,
    evidence.words,
    evidence.series,
    evidence.transaction_key,
    evidence.currency,
    evidence.payments,
    evidence.usual_payments,
    evidence.amount,
    evidence.usual_amount,
    cast(evidence.strength as float) as strength,
    evidence.since_date,
    evidence.last_date,
    evidence.as_of_date
from {{ ref('int_life_event_evidence') }} as evidence
inner join {{ ref('fct_life_events') }} as events
    on
        evidence.client_id = events.client_id
        and evidence.customer_id = events.customer_id
        and evidence.event = events.event
        and evidence.as_of_date = events.as_of_date
