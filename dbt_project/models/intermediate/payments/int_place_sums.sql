{#- The longest window ends a label's delay before the payment, and is 90 days long. -#}
{%- set reach_days = 96 %}

with

visits as (
    select * from {{ ref('int_payments_seen') }}
    where is_visit
),

reporting as (
    select distinct client_id from {{ ref('int_fraud_reports') }}
),

looked_at as (
    select
        visits.client_id,
        visits.place,
        min(visits.business_date) as first_day
    from visits
    inner join reporting on visits.client_id = reporting.client_id
    where visits.is_scored and visits.place <> 'unknown'
    group by visits.client_id, visits.place
),

clients as (
    select
        client_id,
        min(first_day) as first_day
    from looked_at
    group by client_id
),

days as (
    select
        visits.client_id,
        visits.place,
        visits.business_date,
        count(*) as transactions,
        sum(visits.amount) as amount
    from visits
    inner join clients on visits.client_id = clients.client_id
    where
        visits.last_seen_on is null
        and {{ days_between('visits.business_date', 'clients.first_day') }} <= {{ reach_days }}
    group by visits.client_id, visits.place, visits.business_date
),

-- The client as a whole stands under the empty name.
with_client as (
    select days.*
    from days
    inner join looked_at on days.client_id = looked_at.client_id and days.place = looked_at.place
    where {{ days_between('days.business_date', 'looked_at.first_day') }} <= {{ reach_days }}
    union all
    select
        client_id,
        '' as place,
        business_date,
        cast(sum(transactions) as bigint) as transactions,
        cast(sum(amount) as decimal(38, 4)) as amount
    from days
    group by client_id, business_date
)

select * from with_client
