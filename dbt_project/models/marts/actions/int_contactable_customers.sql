{{ config(materialized='view', schema='intermediate') }}

with

dates as (
    {{ undecided_dates() }}
),

rules as (
    select * from {{ ref('stg_client_rules') }}
),

customers as (
    {{ known_customers('dates') }}
),

{%- for name, fact, column, model in [
    ('levels', 'fct_risk_assessment', 'level', none),
    ('segments', 'fct_segments', 'name', 'segments_rfm'),
    ('lifetime_values', 'fct_lifetime_value', 'lifetime_value', 'lifetime_value'),
] %}

{{ name }} as (
    select
        facts.client_id,
        facts.customer_id,
        facts.{{ column }}
    from {{ ref(fact) }} as facts
    inner join dates on facts.client_id = dates.client_id and facts.as_of_date = dates.as_of_date
    {%- if model %}
    where facts.model = '{{ model }}'
    {%- endif %}
),
{%- endfor %}

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
        -- Of the year of birth alone: the birthday may be on the last day of this year.
        and (
            rules.least_age = 0
            or extract(year from customers.as_of_date) - customers.birth_year > rules.least_age
        )
        and (levels.level is null or rules.excluded_levels not like '%;' || levels.level || ';%')
        and (segments.name is null or rules.excluded_segments not like '%;' || segments.name || ';%')
)

select * from contactable
