{{ config(materialized='table') }}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

months as (
    select * from {{ ref('int_months') }}
    where months_ago <= 12
),

spent as (
    select
        segments.client_id,
        segments.model,
        segments.name,
        sums.category,
        segments.segment_id,
        sum(sums.spend) as spend,
        segments.as_of_date
    from {{ ref('fct_segments') }} as segments
    inner join horizon on segments.client_id = horizon.client_id and segments.as_of_date = horizon.as_of_date
    inner join {{ ref('int_categories_monthly') }} as sums
        on segments.client_id = sums.client_id and segments.customer_id = sums.customer_id
    inner join months on sums.client_id = months.client_id and sums.month_start = months.month_start
    group by
        segments.client_id, segments.model, segments.name, sums.category, segments.segment_id, segments.as_of_date
    having sum(sums.spend) <> 0
),

shares as (
    select
        *,
        cast(spend as double) / sum(spend) over (partition by client_id, model, segment_id) as share,
        cast(sum(spend) over (partition by client_id, model, category) as double)
        / sum(spend) over (partition by client_id, model) as share_of_all
    from spent
)

select
    shares.client_id,
    shares.model,
    shares.name,
    shares.category,
    clients.base_currency as currency,
    shares.segment_id,
    cast(shares.spend as decimal(18, 4)) as spend,
    cast(shares.share as float) as share,
    cast(shares.share_of_all as float) as share_of_all,
    shares.as_of_date
from shares
inner join clients on shares.client_id = clients.client_id
