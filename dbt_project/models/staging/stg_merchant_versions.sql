select
    descriptor,
    merchant,
    intermediary,
    location,
    subcategory,
    tier,
    cast(confidence as decimal(4, 3)) as confidence,
    rules_version,
    known_at,
    superseded_at
from {{ source('operations', 'merchant_versions') }}
