{{ config(materialized='table') }}

{%- set series = ['client_id', 'customer_id', 'kind', 'payee', 'instalment'] %}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

rhythm as (
    select
        rhythm.*,
        horizon.as_of_date as horizon_date
    from {{ ref('int_recurring_rhythm') }} as rhythm
    inner join horizon
        on
            rhythm.client_id = horizon.client_id
            and rhythm.business_date <= horizon.as_of_date
            and (rhythm.as_of_date is null or rhythm.as_of_date = horizon.as_of_date)
),

-- A new run begins where the payment before was no longer active.
starts as (
    select
        *,
        case
            when lag(active_until) over (partition by {{ series | join(', ') }} order by business_date) >= regular_since
                then 0
            else 1
        end as is_start
    from rhythm
),

runs as (
    select
        *,
        sum(is_start) over (
            partition by {{ series | join(', ') }} order by business_date
            rows between unbounded preceding and current row
        ) as run,
        row_number() over (partition by {{ series | join(', ') }} order by business_date desc) as place
    from starts
),

latest as (
    select * from runs
    where place = 1
),

firsts as (
    select
        {{ series | join(', ') }},
        min(runs.regular_since) as regular_since,
        count(*) as confirmed_payments,
        max(case when runs.is_start = 1 then runs.amount_before end) as first_amount
    from latest
    inner join runs using ({{ series | join(', ') }}, run)
    group by {{ series | join(', ') }}
),

payments as (
    select
        latest.client_id,
        latest.customer_id,
        latest.kind,
        latest.payee,
        latest.instalment,
        latest.period,
        clients.base_currency as currency,
        latest.amount as last_amount,
        firsts.first_amount,
        cast(latest.amount - firsts.first_amount as decimal(18, 4)) as amount_drift,
        firsts.confirmed_payments,
        latest.horizon_date > latest.active_until as is_lapsed,
        firsts.regular_since,
        latest.business_date as last_paid_on,
        latest.next_expected_on,
        latest.active_until,
        latest.horizon_date as as_of_date
    from latest
    inner join firsts using ({{ series | join(', ') }})
    inner join {{ ref('stg_clients') }} as clients on latest.client_id = clients.client_id
)

select * from payments
