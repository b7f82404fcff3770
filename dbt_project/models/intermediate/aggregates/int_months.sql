with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

firsts as (
    select
        client_id,
        min(month_start) as first_month
    from {{ ref('int_categories_monthly') }}
    group by client_id
),

offsets as (
    select numbers.months_ago
    from (
        values
        {%- for number in range(120) %}
        ({{ number }}){{ ',' if not loop.last }}
        {%- endfor %}
    ) as numbers (months_ago)
),

counted as (
    select
        horizon.client_id,
        cast(
            {{ dbt.dateadd('month', '-offsets.months_ago', dbt.date_trunc('month', 'horizon.as_of_date')) }} as date
        ) as month_start,
        firsts.first_month,
        horizon.as_of_date
    from horizon
    inner join firsts on horizon.client_id = firsts.client_id
    cross join offsets
),

ended as (
    select
        client_id,
        month_start,
        cast({{ dbt.dateadd('day', -1, dbt.dateadd('month', 1, 'month_start')) }} as date) as month_end,
        as_of_date
    from counted
    where month_start >= first_month
),

-- The newest month that is over has number 1.
months as (
    select
        client_id,
        month_start,
        month_end,
        month_end <= as_of_date as is_complete,
        cast(
            case
                when month_end <= as_of_date
                    then row_number() over (partition by client_id, month_end <= as_of_date order by month_start desc)
            end as integer
        ) as months_ago,
        as_of_date
    from ended
)

select * from months
