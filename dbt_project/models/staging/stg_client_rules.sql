select
    client_id,
    consent,
    opted_out,
    switched_off,
    excluded_events,
    excluded_segments,
    excluded_levels,
    least_age,
    contact_pause_days,
    seed
from {{ source('rules', 'client_rules') }}
