{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook={'sql': "{{ delete_tonight() }}", 'transaction': false},
    )
}}

with

dates as (
    select
        client_id,
        as_of_date,
        cast({{ dbt.dateadd('day', -1, dbt.date_trunc('month', 'as_of_date')) }} as date) as from_date
    from {{ ref('stg_as_of_dates') }}
    {%- if is_incremental() %}
    where is_tonight
    {%- endif %}
),

segments as (
    select * from {{ ref('fct_segments') }}
),

{%- for name, date in [('now_in', 'as_of_date'), ('before_in', 'from_date')] %}

{{ name }} as (
    select
        segments.client_id,
        segments.model,
        segments.customer_id,
        segments.segment_id,
        segments.name,
        dates.from_date,
        dates.as_of_date
    from segments
    inner join dates on segments.client_id = dates.client_id and segments.as_of_date = dates.{{ date }}
),
{%- endfor %}

-- A model that assigned nobody on one of the two dates says nothing about who moved.
compared as (
    select
        client_id,
        model,
        from_date,
        as_of_date
    from now_in
    intersect
    select
        client_id,
        model,
        from_date,
        as_of_date
    from before_in
),

moved as (
    select
        client_id,
        model,
        customer_id,
        from_date,
        as_of_date,
        max(case when is_before then segment_id end) as from_segment_id,
        max(case when is_before then name end) as from_segment,
        max(case when not is_before then segment_id end) as to_segment_id,
        max(case when not is_before then name end) as to_segment
    from (
        select
            *,
            true as is_before
        from before_in
        union all
        select
            *,
            false as is_before
        from now_in
    ) as both_dates
    group by client_id, model, customer_id, from_date, as_of_date
),

counted as (
    select
        moved.client_id,
        moved.model,
        coalesce(moved.from_segment, 'new') as from_segment,
        coalesce(moved.to_segment, 'left') as to_segment,
        cast(coalesce(moved.from_segment_id, 0) as integer) as from_segment_id,
        cast(coalesce(moved.to_segment_id, 0) as integer) as to_segment_id,
        cast(count(*) as integer) as customers,
        moved.from_date,
        moved.as_of_date
    from moved
    inner join compared
        on
            moved.client_id = compared.client_id
            and moved.model = compared.model
            and moved.as_of_date = compared.as_of_date
    group by
        moved.client_id, moved.model, moved.from_segment, moved.to_segment, moved.from_segment_id, moved.to_segment_id,
        moved.from_date, moved.as_of_date
),

migration as (
    select
        client_id,
        model,
        from_segment,
        to_segment,
        from_segment_id,
        to_segment_id,
        customers,
        cast(
            cast(customers as double)
            / sum(customers) over (partition by client_id, model, as_of_date, from_segment_id) as float
        ) as share,
        from_date,
        as_of_date
    from counted
)

select * from migration
