{{ config(materialized='table') }}
{#- Of model churn (ml/models/churn.yml): who is asked about, what leaving is, and when it is known. -#}
{%- set active_days, horizon_days, matures_after = 90, 60, 63 %}
{#- Looking at all there ever was would cost more each night, and the outcome of old months never changes. -#}
{%- set looked_at_days = 365 %}
{%- set month_of_date = 'cast(' ~ dbt.date_trunc('month', 'dates.as_of_date') ~ ' as date)' %}

with

-- The last night of each month stands for it.
nights as (
    select
        dates.client_id,
        {{ month_of_date }} as month_start,
        horizon.as_of_date as known_through,
        max(dates.as_of_date) as as_of_date
    from {{ ref('stg_as_of_dates') }} as dates
    inner join {{ ref('stg_horizon') }} as horizon
        on dates.client_id = horizon.client_id and dates.as_of_date <= horizon.as_of_date
    where {{ days_between('dates.as_of_date', 'horizon.as_of_date') }} <= {{ looked_at_days }}
    group by dates.client_id, {{ month_of_date }}, horizon.as_of_date
),

active as (
    select
        nights.client_id,
        features.customer_id,
        nights.month_start,
        nights.as_of_date,
        nights.known_through
    from nights
    inner join {{ ref('features_customers') }} as features
        on nights.client_id = features.client_id and nights.as_of_date = features.as_of_date
    where features.days_since_last_transaction < {{ active_days }}
),

told_days as (
    select distinct
        client_id,
        business_date
    from {{ ref('agg_daily') }}
),

-- The few days after each night, so that a customer's day is compared with two nights instead of with all.
watched as (
    select
        nights.client_id,
        nights.as_of_date,
        told_days.business_date
    from nights
    inner join told_days
        on
            nights.client_id = told_days.client_id
            and nights.as_of_date < told_days.business_date
            and {{ days_between('nights.as_of_date', 'told_days.business_date') }} <= {{ horizon_days }}
),

stayed as (
    select distinct
        daily.client_id,
        daily.entity as customer_id,
        watched.as_of_date
    from {{ ref('agg_daily') }} as daily
    inner join watched on daily.client_id = watched.client_id and daily.business_date = watched.business_date
    where daily.level = 'customer' and daily.transactions > 0
),

outcomes as (
    select
        active.client_id,
        active.month_start,
        active.as_of_date,
        {{ days_between('active.as_of_date', 'active.known_through') }} >= {{ matures_after }} as is_mature,
        count(*) as customers,
        count(*) - count(stayed.customer_id) as leavers
    from active
    left join stayed
        on
            active.client_id = stayed.client_id
            and active.customer_id = stayed.customer_id
            and active.as_of_date = stayed.as_of_date
    group by active.client_id, active.month_start, active.as_of_date, active.known_through
)

-- Nobody tells that somebody has left: it is so once nothing came in time, for all of a night at once.
select
    client_id,
    customers,
    case when is_mature then leavers end as leavers,
    is_mature,
    month_start,
    as_of_date
from outcomes
