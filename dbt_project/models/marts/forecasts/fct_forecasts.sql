{{ config(materialized='view') }}

select
    forecasts.client_id,
    forecasts.model,
    forecasts.model_version,
    forecasts.measure,
    forecasts.level,
    forecasts.entity,
    forecasts.category,
    forecasts.grain,
    forecasts.method,
    clients.base_currency as currency,
    forecasts.yhat,
    forecasts.lo80,
    forecasts.hi80,
    forecasts.lo95,
    forecasts.hi95,
    forecasts.target,
    forecasts.as_of_date as origin
from {{ ref('stg_forecasts') }} as forecasts
inner join {{ ref('stg_clients') }} as clients on forecasts.client_id = clients.client_id
where forecasts.role = 'champion'
