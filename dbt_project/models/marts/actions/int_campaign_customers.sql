{{ config(materialized='view', schema='intermediate') }}

{#- Days after the last outcome until which what happened may still come to be known. -#}
{%- set settling_days = 7 %}

{#- Days before the assignment without a payment in a category, after which one in it is new. -#}
{%- set new_after_days = 90 %}

with

horizon as (
    select
        horizon.client_id,
        horizon.as_of_date,
        horizon.cutoff_at,
        coalesce(base.as_of_date, cast('0001-01-01' as date)) as base_date
    from {{ ref('stg_horizon') }} as horizon
    left join {{ ref('stg_base_horizon') }} as base on horizon.client_id = base.client_id
),

assigned as (
    select
        actions.*,
        cast({{ dbt.dateadd('day', 'actions.window_days', 'actions.as_of_date') }} as date) as last_day,
        cast({{ dbt.dateadd('day', -new_after_days, 'actions.as_of_date') }} as date) as before_day
    from {{ ref('fct_next_best_actions') }} as actions
),

-- A campaign takes customers until its month is over; what happens on the last day of the last window is known then.
campaigns as (
    select
        client_id,
        campaign,
        cast(
            {{ dbt.dateadd(
                'day',
                'max(window_days) + ' ~ (settling_days - 1),
                dbt.dateadd('month', 1, dbt.date_trunc('month', 'max(as_of_date)')),
            ) }} as date
        ) as known_on
    from assigned
    group by client_id, campaign
),

watched as (
    select
        assigned.*,
        campaigns.known_on,
        horizon.as_of_date as measured_on,
        horizon.cutoff_at
    from assigned
    inner join campaigns on assigned.client_id = campaigns.client_id and assigned.campaign = campaigns.campaign
    inner join horizon on assigned.client_id = horizon.client_id
    where campaigns.known_on <= horizon.as_of_date and campaigns.known_on > horizon.base_date
),

moved as (
    select
        watched.client_id,
        watched.campaign,
        watched.customer_id,
        watched.outcome,
        revenue.is_customer_initiated,
        revenue.category = watched.outcome_category and revenue.spend_amount > 0 as is_in_category,
        watched.as_of_date < revenue.business_date as is_after,
        revenue.spend_amount,
        revenue.revenue
    from watched
    inner join {{ ref('int_revenue') }} as revenue
        on
            watched.client_id = revenue.client_id
            and watched.customer_id = revenue.customer_id
            and watched.before_day < revenue.business_date
            and watched.last_day >= revenue.business_date
            and watched.cutoff_at > revenue.known_at
            and (revenue.superseded_at is null or watched.cutoff_at <= revenue.superseded_at)
),

-- What is collected counts in a category (insurance is), but only of those who paid nothing in it before.
earned as (
    select
        client_id,
        campaign,
        customer_id,
        case
            when max(case when outcome = 'category' and is_in_category and not is_after then 1 else 0 end) = 1 then 0
            else max(
                case
                    when is_after and outcome = 'category' and is_in_category then 1
                    when is_after and outcome = 'active' and is_customer_initiated then 1
                    else 0
                end
            )
        end as did,
        sum(case when is_after then spend_amount else 0 end) as spend,
        sum(case when is_after then revenue else 0 end) as revenue
    from moved
    group by client_id, campaign, customer_id
),

contacts as (
    select
        watched.client_id,
        watched.campaign,
        watched.customer_id,
        max(case when events.event_type = 'campaign_sent' then 1 else 0 end) as is_sent,
        max(case when events.event_type = 'campaign_response' then 1 else 0 end) as is_answered
    from watched
    inner join {{ ref('stg_events') }} as events
        on
            watched.client_id = events.client_id
            and watched.customer_id = events.customer_id
            and watched.as_of_date < events.business_date
            and watched.last_day >= events.business_date
    where events.event_type in ('campaign_sent', 'campaign_response')
    group by watched.client_id, watched.campaign, watched.customer_id
),

told as (
    select
        watched.client_id,
        watched.campaign,
        watched.customer_id,
        watched.assignment,
        coalesce(earned.did, 0) as did,
        coalesce(contacts.is_sent, 0) as is_sent,
        coalesce(contacts.is_answered, 0) as is_answered,
        cast(coalesce(earned.spend, 0) as decimal(18, 4)) as spend,
        cast(coalesce(earned.revenue, 0) as decimal(18, 4)) as revenue,
        watched.measured_on
    from watched
    left join earned
        on
            watched.client_id = earned.client_id
            and watched.campaign = earned.campaign
            and watched.customer_id = earned.customer_id
    left join contacts
        on
            watched.client_id = contacts.client_id
            and watched.campaign = contacts.campaign
            and watched.customer_id = contacts.customer_id
)

select * from told
