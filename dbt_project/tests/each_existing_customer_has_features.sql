-- Customers known and open at the horizon and rows of features are the same set, whatever the joins in between do.
select
    customers.client_id,
    customers.customer_id,
    horizon.as_of_date
from {{ ref('int_customers') }} as customers
inner join {{ ref('stg_horizon') }} as horizon on customers.client_id = horizon.client_id
left join {{ ref('features_customers') }} as features
    on
        customers.client_id = features.client_id
        and customers.customer_id = features.customer_id
        and horizon.as_of_date = features.as_of_date
where
    customers.superseded_at is null
    and (customers.closed_on is null or customers.closed_on > horizon.as_of_date)
    and features.customer_id is null
