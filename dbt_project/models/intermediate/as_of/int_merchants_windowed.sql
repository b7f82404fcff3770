{%- set always = "known_from = cast('1970-01-01' as timestamp) and known_until = cast('9999-12-31' as timestamp)" %}

with

days as (
    select * from {{ ref('int_days_to_build') }}
),

-- No window begins or ends within a stretch, so a stretch is added up once for all dates.
stretches as (
    select
        client_id,
        customer_id,
        merchant,
        stretch_end,
        known_from,
        known_until,
        cast(sum(spend_amount) as decimal(18, 4)) as spend,
        max(case when is_customer_initiated then 1 else 0 end) as is_visited,
        max(case when spend_amount > 0 then 1 else 0 end) as is_paid
    from {{ ref('int_transactions_to_count') }}
    where first_days_ago < 365 and (spend_amount <> 0 or is_customer_initiated)
    group by client_id, customer_id, merchant, stretch_end, known_from, known_until
),

-- A number instead of three texts: the groups below are many.
pairs as (
    select
        client_id,
        customer_id,
        merchant,
        row_number() over (order by client_id) as pair
    from (
        select distinct
            client_id,
            customer_id,
            merchant
        from stretches
    ) as distinct_pairs
),

-- With the payment before, of those that every date sees.
numbered as (
    select
        pairs.pair,
        stretches.*,
        max(case when stretches.is_paid = 1 and {{ always }} then stretches.stretch_end end) over (
            partition by pairs.pair
            order by stretches.stretch_end, stretches.known_from, stretches.known_until
            rows between unbounded preceding and 1 preceding
        ) as paid_before
    from stretches
    inner join pairs using (client_id, customer_id, merchant)
),

-- The earliest stretch of the window has the last payment before it.
recent as (
    select
        numbered.pair,
        days.as_of_date,
        sum(numbered.spend) as net_spend,
        max(numbered.is_visited) as is_visited,
        min(coalesce(numbered.paid_before, cast('0001-01-01' as date))) as paid_before
    from days
    inner join numbered
        on
            days.client_id = numbered.client_id
            and days.business_date = numbered.stretch_end
            and days.cutoff_at > numbered.known_from
            and days.cutoff_at <= numbered.known_until
    where days.days_ago < 90
    group by numbered.pair, days.as_of_date
),

-- Payments before that only some dates see.
seen_by_some as (
    select distinct
        numbered.pair,
        days.as_of_date
    from days
    inner join numbered
        on
            days.client_id = numbered.client_id
            and days.business_date = numbered.stretch_end
            and days.cutoff_at > numbered.known_from
            and days.cutoff_at <= numbered.known_until
    where days.days_ago >= 90 and numbered.is_paid = 1 and not ({{ always }})
),

merchants as (
    select
        recent.pair,
        recent.as_of_date,
        recent.is_visited,
        cast(greatest(recent.net_spend, 0) as double) as spend,
        {{ days_between('recent.paid_before', 'recent.as_of_date') }} >= 365
        and seen_by_some.pair is null as is_new
    from recent
    left join seen_by_some on recent.pair = seen_by_some.pair and recent.as_of_date = seen_by_some.as_of_date
),

-- Terms are cast before they are added, so that the sum does not depend on their order.
summed as (
    select
        pairs.client_id,
        pairs.customer_id,
        merchants.as_of_date,
        cast(sum(merchants.is_visited) as bigint) as distinct_merchants_90d,
        cast(sum(cast(merchants.spend as decimal(38, 4))) as double) as spend,
        cast(
            sum(cast(merchants.spend * log2(greatest(merchants.spend, 0.0001)) as decimal(38, 12))) as double
        ) as spend_logarithms,
        max(merchants.spend) as spend_at_top,
        cast(sum(cast(case when merchants.is_new then merchants.spend else 0 end as decimal(38, 4))) as double)
            as spend_at_new
    from merchants
    inner join pairs on merchants.pair = pairs.pair
    group by pairs.client_id, pairs.customer_id, merchants.as_of_date
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        distinct_merchants_90d,
        cast(
            case when spend > 0 then greatest(log2(spend) - spend_logarithms / spend, 0) end as float
        ) as merchant_entropy_90d,
        cast(case when spend > 0 then spend_at_top / spend end as float) as top_merchant_share_90d,
        cast(case when spend > 0 then spend_at_new / spend end as float) as new_merchant_share_90d
    from summed
)

select * from windowed
