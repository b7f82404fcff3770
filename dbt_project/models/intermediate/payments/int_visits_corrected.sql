-- A table: of a view DuckDB expects as many rows as of the payments it corrects, and hashes those instead of these few.
{{ config(materialized='table', schema='as_of') }}

-- A window sees what the last date sees: what is late is taken off again for dates that did not know it yet, and what
-- was superseded since is added for dates that still did.
with

scored as (
    select
        *,
        coalesce(event_at, starts_at) as looks_back_from
    from {{ ref('int_payments_seen') }}
    where is_scored
),

visits as (
    select
        *,
        coalesce(event_at, ends_at) as stands_at
    from {{ ref('int_payments_seen') }}
    where is_visit and (is_late or last_seen_on is not null)
),

corrections as (
    select
        scored.client_id,
        scored.transaction_key,
        scored.first_seen_on as as_of_date,
        sum(case when visits.last_seen_on is null then -1 else 1 end) as visits_more
    from scored
    inner join visits
        on
            scored.client_id = visits.client_id
            and scored.customer_id = visits.customer_id
            and scored.merchant = visits.merchant
            and scored.looks_back_from > visits.stands_at
            and scored.looks_back_from <= visits.stands_at + interval '365 days'
    where
        case
            when visits.last_seen_on is null then scored.first_seen_on < visits.first_seen_on
            else scored.first_seen_on between visits.first_seen_on and visits.last_seen_on
        end
    group by scored.client_id, scored.transaction_key, scored.first_seen_on
)

select * from corrections
