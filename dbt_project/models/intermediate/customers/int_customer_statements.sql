{%- set profile = [
    'gender', 'region', 'city', 'country', 'vertical', 'consents', 'declared_income', 'birth_year', 'signed_up_on'
] %}

with

records as (
    select
        *,
        lead(known_at) over (
            partition by client_id, customer_id
            order by known_at, _load_id, _record
        ) as next_known_at
    from {{ ref('stg_customers') }}
),

-- A closing that was known later than its record is a version of its own, unless a newer record came before it.
steps as (
    select 'stated' as step
    union all
    select 'closed' as step
),

stated as (
    select
        records.client_id,
        records.customer_id,
        {%- for column in profile %}
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
)

select * from stated
