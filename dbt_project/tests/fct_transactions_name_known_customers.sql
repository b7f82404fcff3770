-- Each transaction's customer is in the dimension, so no join to it loses money.
select
    told.client_id,
    told.customer_id,
    count(*) as affected_rows
from {{ ref('fct_transactions') }} as told
left join {{ ref('dim_customers') }} as customers
    on told.client_id = customers.client_id and told.customer_id = customers.customer_id
where customers.customer_id is null and {{ night_scope('touched_days', 'told') }}
group by told.client_id, told.customer_id
