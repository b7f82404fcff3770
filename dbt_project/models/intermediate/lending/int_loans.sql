{{ config(materialized='table') }}

{%- set said = [
    'customer_id', 'account_id', 'standing', 'principal', 'instalment', 'term_months', 'granted_on', 'standing_since'
] %}
{%- set history = 'partition by client_id, loan_id order by known_at' %}

with

statements as (
    select * from {{ ref('int_loan_statements') }}
),

-- What is not said to be anything else runs.
placed as (
    select
        client_id,
        loan_id,
        customer_id,
        account_id,
        case
            when lower(status) in ('arrears', 'overdue', 'delinquent') then 'arrears'
            when lower(status) in ('defaulted', 'default', 'written_off') then 'defaulted'
            when lower(status) in ('closed', 'repaid', 'settled') then 'closed'
            else 'running'
        end as standing,
        principal,
        instalment,
        term_months,
        granted_on,
        coalesce(status_on, granted_on) as standing_since,
        known_at,
        row_number() over (
            partition by client_id, loan_id, known_at
            order by record_known_at desc, _load_id desc, _record desc
        ) as place
    from statements
),

-- Many files repeat a loan without saying anything new.
compared as (
    select
        *,
        (lag(known_at) over ({{ history }}) is null)
        {%- for column in said %}
        or ({{ column }} is distinct from lag({{ column }}) over ({{ history }}))
        {%- endfor %} as is_news
    from placed
    where place = 1
),

versions as (
    select
        client_id,
        loan_id,
        {%- for column in said %}
        {{ column }},
        {%- endfor %}
        known_at,
        lead(known_at) over ({{ history }}) as superseded_at
    from compared
    where is_news
)

select * from versions
