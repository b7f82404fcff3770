select
    descriptor,
    merchant,
    intermediary,
    location,
    subcategory,
    tier,
    confidence,
    rules_version,
    known_at,
    superseded_at
from {{ source('operations', 'merchant_versions') }}
