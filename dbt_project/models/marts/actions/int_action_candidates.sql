{{ config(materialized='view', schema='intermediate') }}

with

dates as (
    {{ undecided_dates() }}
),

actions as (
    select
        actions.*,
        rules.contact_pause_days,
        rules.seed,
        actions.action || '.' || substr(cast(dates.as_of_date as varchar), 1, 7) as campaign,
        dates.as_of_date,
        dates.cutoff_at
    from {{ ref('stg_client_actions') }} as actions
    inner join {{ ref('stg_client_rules') }} as rules on actions.client_id = rules.client_id
    inner join dates on actions.client_id = dates.client_id
    where
        (actions.first_day is null or actions.first_day <= dates.as_of_date)
        and (actions.last_day is null or actions.last_day >= dates.as_of_date)
        and (actions.model is null or rules.switched_off not like '%;' || actions.model || ';%')
),

customers as (
    select * from {{ ref('int_contactable_customers') }}
),

scores as (
    select
        scores.client_id,
        scores.entity_id as customer_id,
        scores.model,
        scores.model_version,
        scores.band,
        scores.score,
        scores.exposure,
        scores.expected_value,
        scores.as_of_date
    from {{ ref('fct_scores') }} as scores
    inner join dates on scores.client_id = dates.client_id and scores.as_of_date = dates.as_of_date
    where scores.role = 'champion' and scores.entity = 'customer'
),

reasons as (
    select
        reasons.client_id,
        reasons.entity_id as customer_id,
        reasons.model,
        reasons.model_version,
        reasons.feature,
        reasons.text
    from {{ ref('fct_score_reasons') }} as reasons
    inner join dates on reasons.client_id = dates.client_id and reasons.as_of_date = dates.as_of_date
    where reasons.entity = 'customer' and reasons.rank = 1
),

-- What may not be told of is what a share of a sensitive category says, or a sensitive event.
sensitive as (
    select distinct 'share_' || category as feature from {{ ref('categories') }}
    where is_sensitive
),

events as (
    select
        events.*,
        kinds.is_sensitive
    from {{ ref('fct_life_events') }} as events
    inner join dates on events.client_id = dates.client_id and events.as_of_date = dates.as_of_date
    inner join {{ ref('life_events') }} as kinds on events.event = kinds.event
),

-- Conditions that an action does not name are no conditions; those it names must all be met.
met as (
    select
        actions.*,
        customers.customer_id,
        scores.band,
        scores.score,
        scores.expected_value as at_risk,
        scores.exposure,
        events.title,
        events.conversation,
        events.since_date,
        customers.segment,
        customers.lifetime_value,
        case
            when {{ may_be_shown("replace(reasons.feature, 'share_', '')", 'customers.consents') }} then reasons.text
        end as reason,
        sensitive.feature is not null or coalesce(events.is_sensitive, false) as is_sensitive
    from customers
    inner join actions on customers.client_id = actions.client_id
    left join scores
        on
            customers.client_id = scores.client_id
            and customers.customer_id = scores.customer_id
            and actions.model = scores.model
    left join reasons
        on
            customers.client_id = reasons.client_id
            and customers.customer_id = reasons.customer_id
            and scores.model = reasons.model
            and scores.model_version = reasons.model_version
    left join sensitive on reasons.feature = sensitive.feature
    left join events
        on
            customers.client_id = events.client_id
            and customers.customer_id = events.customer_id
            and actions.event = events.event
    where
        (actions.model is null or scores.customer_id is not null)
        and (actions.bands = '' or actions.bands like '%;' || scores.band || ';%')
        and (actions.least_score is null or scores.score >= actions.least_score)
        and (actions.greatest_score is null or scores.score <= actions.greatest_score)
        and (actions.event is null or events.strength >= actions.least_strength)
        and (actions.segments = '' or actions.segments like '%;' || customers.segment || ';%')
        and (
            actions.least_lifetime_value is null
            or customers.lifetime_value >= actions.least_lifetime_value
        )
),

-- Worth: what one more customer who does as hoped brings. At stake: the same, but of somebody who may leave only as
-- much as the score says; those who would stay anyway cannot be kept, and `response` is a share of what is at stake.
valued as (
    select
        {%- for name, at_risk in [('worth', 'exposure'), ('value_at_stake', 'at_risk')] %}
        cast(
            coalesce(
                case value_kind
                    when 'amount' then amount
                    when 'at_risk' then {{ at_risk }}
                    when 'lifetime_value' then lifetime_value
                end,
                0
            ) as decimal(18, 4)
        ) as {{ name }},
        {%- endfor %}
        *
    from met
),

candidates as (
    select
        valued.client_id,
        valued.campaign,
        valued.customer_id,
        valued.action,
        valued.segment,
        coalesce(valued.title || ', since ' || cast(valued.since_date as varchar), '')
        || case when valued.title is not null and valued.model is not null then '; ' else '' end
        || coalesce(
            valued.model || ' ' || cast(cast(round(valued.score * 100) as integer) as varchar) || ' %'
            || coalesce(' (' || valued.band || ')', '') || coalesce(': ' || valued.reason, ''),
            ''
        )
        || case
            when valued.title is null and valued.model is null then 'segment ' || valued.segment
            else ''
        end as reason,
        valued.conversation,
        valued.outcome,
        valued.outcome_category,
        valued.control_below,
        valued.is_sensitive,
        clients.base_currency as currency,
        valued.position,
        valued.window_days,
        valued.contact_pause_days,
        valued.seed,
        valued.response,
        valued.worth,
        valued.value_at_stake,
        valued.cost,
        valued.budget,
        cast(round(valued.response * valued.value_at_stake, 4) - valued.cost as decimal(18, 4)) as expected_value,
        valued.as_of_date
    from valued
    inner join {{ ref('stg_clients') }} as clients on valued.client_id = clients.client_id
)

select * from candidates
