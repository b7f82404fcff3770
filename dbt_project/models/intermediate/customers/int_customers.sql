{{ config(materialized='table') }}

{%- set profile = [
    'gender', 'region', 'city', 'country', 'vertical', 'consents', 'declared_income', 'birth_year', 'signed_up_on'
] %}
{%- set history = 'partition by client_id, customer_id order by known_at' %}

with

statements as (
    select
        *,
        false as is_inferred
    from {{ ref('int_customer_statements') }}
),

first_stated as (
    select
        client_id,
        customer_id,
        min(known_at) as known_at
    from statements
    group by client_id, customer_id
),

first_transactions as (
    select
        client_id,
        customer_id,
        min(known_at) as known_at
    from {{ ref('int_transactions') }}
    group by client_id, customer_id
),

-- A customer whom no record has named yet is known from the first transaction on, without a profile.
inferred as (
    select
        first_transactions.client_id,
        first_transactions.customer_id,
        {%- for column in profile + ['closed_on'] %}
        null as {{ column }},
        {%- endfor %}
        first_transactions.known_at,
        first_transactions.known_at as record_known_at,
        null as _load_id,
        null as _record,
        true as is_inferred
    from first_transactions
    left join first_stated
        on
            first_transactions.client_id = first_stated.client_id
            and first_transactions.customer_id = first_stated.customer_id
    where first_stated.known_at is null or first_transactions.known_at < first_stated.known_at
),

told as (
    select
        *,
        row_number() over (
            partition by client_id, customer_id, known_at
            order by record_known_at desc, _load_id desc, _record desc
        ) as place
    from (
        select * from statements
        union all
        select * from inferred
    ) as both_kinds
),

-- Many files repeat a customer without saying anything new.
compared as (
    select
        *,
        (lag(known_at) over ({{ history }}) is null)
        {%- for column in profile + ['closed_on', 'is_inferred'] %}
        or ({{ column }} is distinct from lag({{ column }}) over ({{ history }}))
        {%- endfor %} as is_news
    from told
    where place = 1
),

versions as (
    select
        client_id,
        customer_id,
        {%- for column in profile + ['closed_on', 'is_inferred'] %}
        {{ column }},
        {%- endfor %}
        known_at,
        lead(known_at) over ({{ history }}) as superseded_at
    from compared
    where is_news
)

select * from versions
