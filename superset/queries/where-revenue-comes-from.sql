-- title: Revenue by category and month
-- description: Interchange and fees of the last twelve months that are over.
select client_id, entity as category, month_start, revenue, currency
from marts.agg_monthly
join ops.horizon using (client_id)
where
    level = 'category'
    and month_start < date_trunc('month', as_of_date + 1)
    and month_start >= date_trunc('month', as_of_date + 1) - interval 12 month
order by client_id, month_start, revenue desc
