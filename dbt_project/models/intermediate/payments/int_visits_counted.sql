with

visits as (
    select
        *,
        coalesce(event_at, ends_at) as stands_at,
        coalesce(event_at, starts_at) as looks_back_from
    from {{ ref('int_visits_seen') }}
),

customers as (
    select
        client_id,
        customer_id,
        min(business_date) as first_day
    from visits
    where is_scored
    group by client_id, customer_id
),

sides as (
    select 'itself' as side
    union all
    select 'looks back' as side
),

entries as (
    select
        visits.client_id,
        visits.customer_id,
        visits.transaction_key,
        visits.merchant,
        visits.place,
        visits.business_date,
        visits.looks_back_from,
        visits.first_seen_on,
        case sides.side when 'itself' then visits.stands_at else visits.looks_back_from end as stands_at,
        sides.side = 'itself' and visits.last_seen_on is null as counts,
        visits.is_scored and (sides.side = 'looks back' or visits.event_at is not null) as looks_back
    from visits
    inner join customers on visits.client_id = customers.client_id and visits.customer_id = customers.customer_id
    cross join sides
    where
        {{ days_between('visits.business_date', 'customers.first_day') }} <= 366
        and (sides.side = 'itself' or (visits.is_scored and visits.event_at is null))
        and (visits.last_seen_on is null or visits.is_scored)
),

windowed as (
    select
        *,
        count(*) filter (where counts) over (
            partition by client_id, customer_id, merchant order by stands_at
            range between interval '365 days' preceding and interval '1 microsecond' preceding
        ) as earlier_visits
    from entries
),

scored as (
    select * from windowed
    where looks_back
),

-- The window sees what the last date sees: what is late is taken off again for dates that did not know it yet, and what
-- was superseded since is added for dates that still did.
corrections as (
    select
        scored.client_id,
        scored.transaction_key,
        scored.first_seen_on,
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
        (visits.is_late or visits.last_seen_on is not null)
        and case
            when visits.last_seen_on is null then scored.first_seen_on < visits.first_seen_on
            else scored.first_seen_on between visits.first_seen_on and visits.last_seen_on
        end
    group by scored.client_id, scored.transaction_key, scored.first_seen_on
),

counted as (
    select
        scored.client_id,
        scored.transaction_key,
        scored.first_seen_on as as_of_date,
        scored.place,
        scored.business_date,
        scored.earlier_visits + coalesce(corrections.visits_more, 0) as earlier_visits
    from scored
    left join corrections
        on
            scored.client_id = corrections.client_id
            and scored.transaction_key = corrections.transaction_key
            and scored.first_seen_on = corrections.first_seen_on
)

select * from counted
