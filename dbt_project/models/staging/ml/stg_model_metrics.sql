select
    model,
    version,
    client_id,
    dataset,
    window_label,
    metric,
    baseline,
    cast(value as float) as value,
    cast(lo as float) as lo,
    cast(hi as float) as hi,
    n,
    cast(base_rate as float) as base_rate,
    known_at
from {{ source('operations', 'model_metrics') }}
