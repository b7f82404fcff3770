select
    client_id,
    as_of_date,
    is_tonight,
    cutoff_at
from {{ source('ops', 'as_of_dates') }}
