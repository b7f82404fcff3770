-- Building int_matches adds the days that it touches: whoever adds up transactions begins after that.
-- depends_on: {{ ref('int_matches') }}
select
    client_id,
    business_date
from {{ ref('stg_touched_days') }}
