-- title: Revenue by category and month
-- description: Interchange and fees of the last twelve months that are over.
select revenues.client_id, revenues.entity as category, revenues.month_start, revenues.revenue, revenues.currency
from marts.agg_monthly as revenues
join marts.mart_portfolio as months
    on revenues.client_id = months.client_id and revenues.month_start = months.month_start
where revenues.level = 'category' and months.is_complete
qualify dense_rank() over (partition by revenues.client_id order by revenues.month_start desc) <= 12
order by revenues.client_id, revenues.month_start, revenues.revenue desc
