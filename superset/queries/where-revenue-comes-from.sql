-- title: Revenue by category and month
-- description: Interchange and fees of the last twelve months.
select client_id, entity as category, month_start, revenue, currency
from marts.agg_monthly
where level = 'category' and month_start >= (select max(month_start) from marts.agg_monthly) - interval 11 month
order by client_id, month_start, revenue desc
