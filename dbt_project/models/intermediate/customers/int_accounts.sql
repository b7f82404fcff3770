{{ config(materialized='table') }}

{%- set said = ['customer_id', 'type', 'currency', 'credit_limit', 'opened_on'] %}
{%- set history = 'partition by client_id, account_id order by known_at' %}

with

records as (
    select
        *,
        lead(known_at) over (partition by client_id, account_id order by known_at, _load_id, _record) as next_known_at
    from {{ ref('stg_accounts') }}
),

steps as (
    select 'stated' as step
    union all
    select 'closed' as step
),

-- A closing that was known later than its record is a version of its own, unless a newer record came before it.
told as (
    select
        records.client_id,
        records.account_id,
        {%- for column in said %}
        records.{{ column }},
        {%- endfor %}
        case
            when steps.step = 'closed' or coalesce(records.closed_known_at, records.known_at) <= records.known_at
                then records.closed_on
        end as closed_on,
        case when steps.step = 'closed' then records.closed_known_at else records.known_at end as known_at,
        records.known_at as record_known_at,
        records._load_id,
        records._record
    from records
    cross join steps
    where
        steps.step = 'stated'
        or (
            records.closed_known_at > records.known_at
            and (records.next_known_at is null or records.closed_known_at < records.next_known_at)
        )
),

placed as (
    select
        *,
        row_number() over (
            partition by client_id, account_id, known_at
            order by record_known_at desc, _load_id desc, _record desc
        ) as place
    from told
),

-- Many files repeat an account without saying anything new.
compared as (
    select
        *,
        (lag(known_at) over ({{ history }}) is null)
        {%- for column in said + ['closed_on'] %}
        or ({{ column }} is distinct from lag({{ column }}) over ({{ history }}))
        {%- endfor %} as is_news
    from placed
    where place = 1
),

versions as (
    select
        client_id,
        account_id,
        {%- for column in said + ['closed_on'] %}
        {{ column }},
        {%- endfor %}
        known_at,
        lead(known_at) over ({{ history }}) as superseded_at
    from compared
    where is_news
)

select * from versions
