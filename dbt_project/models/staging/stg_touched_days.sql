select
    client_id,
    business_date
from {{ source('ops', 'touched_days') }}
