{#- What is told later than this, hardly anything, counts as never told. -#}
{%- set window_days = 180 %}
{#- With less of a month known, an estimate would be a guess. -#}
{%- set least_known = 0.1 %}
{%- set month_of_date = 'cast(' ~ dbt.date_trunc('month', 'dates.as_of_date') ~ ' as date)' %}

{{ config(materialized='table') }}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

told as (
    select
        events.client_id,
        events.outcome,
        events.entity,
        events.happened_on,
        horizon.as_of_date,
        cast({{ dbt.date_trunc('month', 'events.happened_on') }} as date) as month_start,
        {{ days_between('events.happened_on', local_date('events.known_at', 'clients.timezone')) }} as days_until_known
    from {{ ref('int_label_events') }} as events
    inner join {{ ref('stg_clients') }} as clients on events.client_id = clients.client_id
    inner join horizon on events.client_id = horizon.client_id and events.happened_on <= horizon.as_of_date
),

-- All of these can be told by now: how late they were says how much of the later ones is known.
settled as (
    select
        client_id,
        outcome,
        entity,
        days_until_known,
        count(*) as events
    from told
    where
        days_until_known <= {{ window_days }}
        and {{ days_between('happened_on', 'as_of_date') }} >= {{ window_days }}
    group by client_id, outcome, entity, days_until_known
),

known as (
    select
        client_id,
        outcome,
        entity,
        month_start,
        count(*) as known_events
    from told
    group by client_id, outcome, entity, month_start
),

firsts as (
    select
        client_id,
        outcome,
        entity,
        min(month_start) as month_start
    from known
    group by client_id, outcome, entity
),

months as (
    select distinct
        firsts.client_id,
        firsts.outcome,
        firsts.entity,
        {{ month_of_date }} as month_start,
        horizon.as_of_date,
        least(
            horizon.as_of_date,
            cast({{ dbt.dateadd('day', -1, dbt.dateadd('month', 1, month_of_date)) }} as date)
        ) as last_day
    from {{ ref('stg_as_of_dates') }} as dates
    inner join horizon on dates.client_id = horizon.client_id and dates.as_of_date <= horizon.as_of_date
    inner join firsts on dates.client_id = firsts.client_id and {{ month_of_date }} >= firsts.month_start
),

-- Of each settled outcome: on how many days of the month it would be known by now, had it happened there.
developed as (
    select
        months.client_id,
        months.outcome,
        months.entity,
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
    inner join settled
        on
            months.client_id = settled.client_id
            and months.outcome = settled.outcome
            and months.entity = settled.entity
    group by months.client_id, months.outcome, months.entity, months.month_start
),

reported as (
    select
        months.client_id,
        months.outcome,
        months.entity,
        case when months.outcome = 'fraud' and months.entity = 'transaction' then monthly.transactions end
            as asked_about,
        coalesce(known.known_events, 0) as known_events,
        cast(developed.known_days as double) / developed.all_days as share_known,
        months.month_start,
        months.as_of_date
    from months
    left join known
        on
            months.client_id = known.client_id
            and months.outcome = known.outcome
            and months.entity = known.entity
            and months.month_start = known.month_start
    left join developed
        on
            months.client_id = developed.client_id
            and months.outcome = developed.outcome
            and months.entity = developed.entity
            and months.month_start = developed.month_start
    left join {{ ref('agg_monthly') }} as monthly
        on
            months.client_id = monthly.client_id
            and monthly.level = 'client'
            and months.month_start = monthly.month_start
    union all
    select
        churned.client_id,
        'churn' as outcome,
        'customer' as entity,
        churned.customers as asked_about,
        churned.leavers as known_events,
        case when churned.is_mature then 1.0 else 0.0 end as share_known,
        churned.month_start,
        horizon.as_of_date
    from {{ ref('int_churn_outcomes') }} as churned
    inner join horizon on churned.client_id = horizon.client_id
),

-- Each outcome is known with the same chance, so what is known is a binomial share of what there is.
estimated as (
    select
        reported.*,
        case when not coalesce(reported.share_known >= 0.99, false) then expected.expected_events end
            as expected_events,
        case
            when reported.share_known >= {{ least_known }} then reported.known_events / reported.share_known
        end as estimate,
        case
            when reported.share_known >= {{ least_known }}
                then
                    1.96 * sqrt(greatest(reported.known_events, 1) * (1 - reported.share_known))
                    / reported.share_known
        end as half_width
    from reported
    left join {{ ref('int_expected_events') }} as expected
        on
            reported.client_id = expected.client_id
            and reported.outcome = expected.outcome
            and reported.entity = expected.entity
            and reported.month_start = expected.month_start
)

select
    client_id,
    outcome,
    entity,
    cast(asked_about as integer) as asked_about,
    cast(known_events as integer) as known_events,
    cast(share_known as float) as share_known,
    cast(estimate as float) as estimated_events,
    cast(case when estimate >= 0 then greatest(known_events, estimate - half_width) end as float) as estimated_lo,
    cast(estimate + half_width as float) as estimated_hi,
    cast(expected_events as float) as expected_events,
    coalesce(share_known >= 0.99, false) as is_mature,
    month_start,
    as_of_date
from estimated
