{{ config(materialized='view', schema='intermediate') }}

with

dates as (
    select
        dates.client_id,
        dates.as_of_date,
        dates.cutoff_at
    from {{ ref('stg_as_of_dates') }} as dates
    inner join {{ ref('stg_horizon') }} as horizon
        on dates.client_id = horizon.client_id and dates.as_of_date = horizon.as_of_date
    where dates.is_tonight
),

rules as (
    select * from {{ ref('stg_client_rules') }}
),

customers as (
    select
        dates.client_id,
        versions.customer_id,
        versions.consents,
        ';' || replace(replace(lower(coalesce(versions.consents, '')), ' ', ''), ',', ';') || ';' as entries,
        -- Of the year of birth alone: the birthday may be on the last day of this year.
        extract(year from dates.as_of_date) - versions.birth_year - 1 as years_surely_lived,
        dates.as_of_date
    from dates
    inner join {{ ref('int_customers') }} as versions
        on
            dates.client_id = versions.client_id
            and dates.cutoff_at > versions.known_at
            and (versions.superseded_at is null or dates.cutoff_at <= versions.superseded_at)
    where versions.closed_on is null or versions.closed_on > dates.as_of_date
),

levels as (
    select
        assessed.client_id,
        assessed.customer_id,
        assessed.level
    from {{ ref('fct_risk_assessment') }} as assessed
    inner join dates on assessed.client_id = dates.client_id and assessed.as_of_date = dates.as_of_date
),

segments as (
    select
        segments.client_id,
        segments.customer_id,
        segments.name
    from {{ ref('fct_segments') }} as segments
    inner join dates on segments.client_id = dates.client_id and segments.as_of_date = dates.as_of_date
    where segments.model = 'segments_rfm'
),

lifetime_values as (
    select
        lifetime_values.client_id,
        lifetime_values.customer_id,
        lifetime_values.lifetime_value
    from {{ ref('fct_lifetime_value') }} as lifetime_values
    inner join dates on lifetime_values.client_id = dates.client_id and lifetime_values.as_of_date = dates.as_of_date
    where lifetime_values.model = 'lifetime_value'
),

-- Who asks for consent or an age contacts nobody of whom these are not known.
contactable as (
    select
        customers.client_id,
        customers.customer_id,
        customers.consents,
        segments.name as segment,
        lifetime_values.lifetime_value,
        customers.as_of_date
    from customers
    inner join rules on customers.client_id = rules.client_id
    left join levels
        on customers.client_id = levels.client_id and customers.customer_id = levels.customer_id
    left join segments
        on customers.client_id = segments.client_id and customers.customer_id = segments.customer_id
    left join lifetime_values
        on
            customers.client_id = lifetime_values.client_id
            and customers.customer_id = lifetime_values.customer_id
    where
        (rules.consent = '' or customers.entries like '%;' || rules.consent || ';%')
        and (rules.opted_out = '' or customers.entries not like '%;' || rules.opted_out || ';%')
        and (rules.least_age = 0 or customers.years_surely_lived >= rules.least_age)
        and (levels.level is null or rules.excluded_levels not like '%;' || levels.level || ';%')
        and (segments.name is null or rules.excluded_segments not like '%;' || segments.name || ';%')
)

select * from contactable
