{{ config(materialized='view') }}

select
    lifetime_values.client_id,
    lifetime_values.model,
    lifetime_values.model_version,
    lifetime_values.customer_id,
    lifetime_values.measure,
    lifetime_values.band,
    clients.base_currency as currency,
    lifetime_values.probability_alive,
    lifetime_values.expected_visits,
    lifetime_values.expected_value_each,
    lifetime_values.lifetime_value,
    lifetime_values.as_of_date
from {{ ref('stg_lifetime_values') }} as lifetime_values
inner join {{ ref('stg_clients') }} as clients on lifetime_values.client_id = clients.client_id
where lifetime_values.role = 'champion'
