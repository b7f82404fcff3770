with

touched as (
    select * from {{ ref('int_touched_days') }}
),

offsets as (
    select numbers.days_later
    from (
        values
        {%- for number in range(90) %}
        ({{ number }}){{ ',' if not loop.last }}
        {%- endfor %}
    ) as numbers (days_later)
),

reopened as (
    select distinct
        touched.client_id,
        cast({{ dbt.dateadd('day', 'offsets.days_later', 'touched.business_date') }} as date) as business_date
    from touched
    cross join offsets
)

select * from reopened
