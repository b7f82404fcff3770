with

days as (
    select * from {{ ref('int_days_to_build') }}
),

-- No window begins or ends within a stretch, so a stretch is added up once for all dates.
stretches as (
    select
        client_id,
        customer_id,
        lower(trim(city)) as city,
        stretch_end,
        known_from,
        known_until,
        count(*) as transactions
    from {{ ref('int_transactions_to_count') }}
    where first_days_ago < 365 and is_customer_initiated and trim(city) <> ''
    group by client_id, customer_id, lower(trim(city)), stretch_end, known_from, known_until
),

cities as (
    select
        stretches.client_id,
        stretches.customer_id,
        days.as_of_date,
        stretches.city,
        sum(stretches.transactions) as transactions_365d,
        sum(case when days.days_ago < 90 then stretches.transactions else 0 end) as transactions_90d
    from days
    inner join stretches
        on
            days.client_id = stretches.client_id
            and days.business_date = stretches.stretch_end
            and days.cutoff_at > stretches.known_from
            and days.cutoff_at <= stretches.known_until
    group by stretches.client_id, stretches.customer_id, days.as_of_date, stretches.city
),

-- Of equally frequent cities the first by name is home.
ranked as (
    select
        *,
        row_number() over (
            partition by client_id, customer_id, as_of_date
            order by transactions_365d desc, city asc
        ) as place
    from cities
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        cast(
            cast(sum(case when place > 1 then transactions_90d else 0 end) as double)
            / nullif(cast(sum(transactions_90d) as double), 0) as float
        ) as away_share_90d
    from ranked
    group by client_id, customer_id, as_of_date
)

select * from windowed
