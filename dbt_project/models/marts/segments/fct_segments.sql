{{ config(materialized='view') }}

select
    client_id,
    model,
    model_version,
    customer_id,
    name,
    state,
    segment_id,
    distance,
    as_of_date
from {{ ref('stg_segments') }}
where role = 'champion'
