select
    client_id,
    base_currency,
    timezone,
    country
from {{ source('ops', 'clients') }}
