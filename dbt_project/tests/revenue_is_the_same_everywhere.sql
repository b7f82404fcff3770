-- Cohorts and portfolio show all revenue of each month, and the same.
with

months as (
    select * from {{ ref('int_months') }}
    where {{ night_scope('touched_months') }}
),

earned as (
    select
        months.client_id,
        months.month_start,
        sum(revenue.revenue) as revenue
    from {{ ref('int_revenue') }} as revenue
    inner join months
        on
            revenue.client_id = months.client_id
            and revenue.business_date between months.month_start and months.month_end
    where revenue.superseded_at is null
    group by months.client_id, months.month_start
),

shown as (
    {%- for name in ['mart_portfolio', 'mart_cohorts'] %}
    select
        '{{ name }}' as table_name,
        client_id,
        month_start,
        sum(revenue) as revenue
    from {{ ref(name) }}
    group by client_id, month_start
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
)

select
    shown.table_name,
    client_id,
    month_start,
    shown.revenue as shown_revenue,
    earned.revenue
from shown
inner join months using (client_id, month_start)
left join earned using (client_id, month_start)
where shown.revenue <> coalesce(earned.revenue, 0)
