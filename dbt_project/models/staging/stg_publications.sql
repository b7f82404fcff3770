select
    publications.action,
    publications.publication_id,
    publications.run_id,
    runs.kind as run_kind,
    publications.as_of_date,
    publications.recorded_at
from {{ source('operations', 'publications') }} as publications
left join {{ source('operations', 'runs') }} as runs on publications.run_id = runs.run_id
