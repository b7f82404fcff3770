select
    client_id,
    base_currency,
    timezone,
    country,
    interchange_rate
from {{ source('ops', 'clients') }}
