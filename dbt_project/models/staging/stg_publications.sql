select
    action,
    publication_id,
    run_id,
    as_of_date,
    recorded_at
from {{ source('operations', 'publications') }}
