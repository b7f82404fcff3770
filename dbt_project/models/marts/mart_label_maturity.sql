{#- What is told later than this, hardly anything, counts as never told. -#}
{%- set window_days = 180 %}
{#- With less of a month known, an estimate would be a guess. -#}
{%- set least_known = 0.1 %}

{{ config(materialized='table') }}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

frauds as (
    select
        reports.client_id,
        transactions.business_date as happened_on,
        min(reports.known_at) as known_at
    from {{ ref('int_fraud_reports') }} as reports
    inner join {{ ref('fct_transactions') }} as transactions
        on reports.client_id = transactions.client_id and reports.transaction_key = transactions.transaction_key
    where transactions.is_current and reports.is_fraud
    group by reports.client_id, reports.transaction_key, transactions.business_date
    -- Taken back since: the last word says that it was none.
    having count(*) filter (where reports.superseded_at is null) = 1
),

events as (
    select
        client_id,
        'fraud' as outcome,
        happened_on,
        known_at
    from frauds
    union all
    select
        client_id,
        'default' as outcome,
        defaulted_on as happened_on,
        known_at
    from {{ ref('int_defaults') }}
    where superseded_at is null
),

told as (
    select
        events.client_id,
        events.outcome,
        events.happened_on,
        horizon.as_of_date,
        cast({{ dbt.date_trunc('month', 'events.happened_on') }} as date) as month_start,
        {{ days_between('events.happened_on', local_date('events.known_at', 'clients.timezone')) }} as days_until_known
    from events
    inner join clients on events.client_id = clients.client_id
    inner join horizon on events.client_id = horizon.client_id and events.happened_on <= horizon.as_of_date
),

-- All of these can be told by now: how late they were says how much of the later ones is known.
settled as (
    select
        client_id,
        outcome,
        days_until_known,
        count(*) as events
    from told
    where
        days_until_known <= {{ window_days }}
        and {{ days_between('happened_on', 'as_of_date') }} >= {{ window_days }}
    group by client_id, outcome, days_until_known
),

known as (
    select
        client_id,
        outcome,
        month_start,
        count(*) as known_events
    from told
    group by client_id, outcome, month_start
),

first_months as (
    select
        client_id,
        outcome,
        min(month_start) as month_start
    from known
    group by client_id, outcome
),

months as (
    select
        first_months.client_id,
        first_months.outcome,
        monthly.month_start,
        monthly.transactions,
        horizon.as_of_date,
        least(
            horizon.as_of_date,
            cast({{ dbt.dateadd('day', -1, dbt.dateadd('month', 1, 'monthly.month_start')) }} as date)
        ) as last_day
    from first_months
    inner join horizon on first_months.client_id = horizon.client_id
    inner join {{ ref('agg_monthly') }} as monthly
        on
            first_months.client_id = monthly.client_id
            and monthly.level = 'client'
            and first_months.month_start <= monthly.month_start
            and horizon.as_of_date >= monthly.month_start
),

-- Of each settled outcome: on how many days of the month it would be known by now, had it happened there.
developed as (
    select
        months.client_id,
        months.outcome,
        months.month_start,
        sum(settled.events * ({{ days_between('months.month_start', 'months.last_day') }} + 1)) as all_days,
        sum(
            settled.events * greatest(
                0,
                least(
                    {{ days_between('months.month_start', 'months.last_day') }},
                    {{ days_between('months.month_start', 'months.as_of_date') }} - settled.days_until_known
                ) + 1
            )
        ) as known_days
    from months
    inner join settled on months.client_id = settled.client_id and months.outcome = settled.outcome
    group by months.client_id, months.outcome, months.month_start
),

shared as (
    select
        months.client_id,
        months.outcome,
        months.month_start,
        months.transactions,
        months.as_of_date,
        coalesce(known.known_events, 0) as known_events,
        cast(developed.known_days as double) / developed.all_days as share_known
    from months
    left join known
        on
            months.client_id = known.client_id
            and months.outcome = known.outcome
            and months.month_start = known.month_start
    left join developed
        on
            months.client_id = developed.client_id
            and months.outcome = developed.outcome
            and months.month_start = developed.month_start
),

-- Each outcome is known with the same chance, so what is known is a binomial share of what there is.
estimated as (
    select
        *,
        case when share_known >= {{ least_known }} then known_events / share_known end as estimate,
        case
            when share_known >= {{ least_known }}
                then 1.96 * sqrt(greatest(known_events, 1) * (1 - share_known)) / share_known
        end as half_width
    from shared
)

select
    client_id,
    outcome,
    cast(transactions as integer) as transactions,
    cast(known_events as integer) as known_events,
    cast(share_known as float) as share_known,
    cast(estimate as float) as estimated_events,
    cast(case when estimate >= 0 then greatest(known_events, estimate - half_width) end as float) as estimated_lo,
    cast(estimate + half_width as float) as estimated_hi,
    coalesce(share_known >= 0.99, false) as is_mature,
    month_start,
    as_of_date
from estimated
