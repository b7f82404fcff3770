select
    as_of_date,
    publish_by,
    is_judged
from {{ source('operations', 'night_deadlines') }}
