select
    client_id,
    as_of_date,
    cutoff_at
from {{ source('ops', 'base_horizon') }}
