select
    id as event_id,
    client_id,
    transaction_key,
    version,
    action,
    verdict,
    assignee,
    who,
    recorded_at
from {{ source('operations', 'case_events') }}
