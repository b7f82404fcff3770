with

visits as (
    select * from {{ ref('int_payments_seen') }}
    where is_visit
),

reporting as (
    select distinct client_id from {{ ref('int_fraud_reports') }}
),

-- The longest window ends 28 days, and the delay of labels, before the first transaction that is looked at. Where
-- nobody has reported anything there is no rate.
clients as (
    select
        visits.client_id,
        min(visits.business_date) as first_day
    from visits
    inner join reporting on visits.client_id = reporting.client_id
    where visits.is_scored
    group by visits.client_id
),

days as (
    select
        visits.client_id,
        visits.place,
        visits.business_date,
        count(*) as transactions
    from visits
    inner join clients on visits.client_id = clients.client_id
    where
        visits.last_seen_on is null
        and {{ days_between('visits.business_date', 'clients.first_day') }} <= 60
    group by visits.client_id, visits.place, visits.business_date
),

-- The client as a whole stands under the empty name.
with_client as (
    select * from days
    union all
    select
        client_id,
        '' as place,
        business_date,
        cast(sum(transactions) as bigint) as transactions
    from days
    group by client_id, business_date
)

select * from with_client
