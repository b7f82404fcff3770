-- A decimal, so that sums do not depend on their order.
select
    model,
    version,
    feature,
    feature_group,
    cast(importance as decimal(18, 6)) as importance,
    known_at
from {{ source('operations', 'model_importances') }}
