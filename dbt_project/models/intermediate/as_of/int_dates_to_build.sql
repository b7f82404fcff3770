-- Tonight's as-of dates; all of them when features are rebuilt whole.
select
    client_id,
    as_of_date,
    cutoff_at
from {{ ref('stg_as_of_dates') }}
{%- if not flags.FULL_REFRESH %}
where is_tonight
{%- endif %}
