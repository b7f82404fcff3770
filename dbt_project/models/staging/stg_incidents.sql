select
    id as incident_id,
    nullif(client_id, '') as client_id,
    kind,
    about,
    title,
    severity,
    nullif(cause_kind, '') as cause_kind,
    nullif(cause, '') as cause,
    cast(weighted_drift as float) as weighted_drift,
    state,
    first_date,
    last_date,
    opened_at
from {{ source('operations', 'incidents') }}
