with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

customers as (
    select * from {{ ref('int_customers_as_of') }}
),

events as (
    select * from {{ ref('int_events_as_of') }}
),

-- Repeated events of a day change nothing, so the day counts from its first known one.
login_days as (
    select
        client_id,
        customer_id,
        business_date,
        min(known_at) as known_at
    from {{ ref('stg_events') }}
    where event_type = 'login'
    group by client_id, customer_id, business_date
),

known as (
    select
        dates.client_id,
        login_days.customer_id,
        dates.as_of_date,
        {{ days_between('login_days.business_date', 'dates.as_of_date') }} as days_ago
    from dates
    inner join login_days
        on
            dates.client_id = login_days.client_id
            and dates.as_of_date >= login_days.business_date
            and dates.cutoff_at > login_days.known_at
),

counted as (
    select
        client_id,
        customer_id,
        as_of_date,
        min(days_ago) as days_since_last_login,
        count(*) filter (where days_ago < 30) as login_days_30d,
        count(*) filter (where days_ago between 30 and 119) as login_days_prior_90d
    from known
    group by client_id, customer_id, as_of_date
),

-- Only of clients whose feed had begun: without one, log-ins are unknown, not none.
windowed as (
    select
        customers.client_id,
        customers.customer_id,
        customers.as_of_date,
        counted.days_since_last_login,
        coalesce(counted.login_days_30d, 0) as login_days_30d,
        coalesce(counted.login_days_prior_90d, 0) as login_days_prior_90d
    from customers
    inner join events on customers.client_id = events.client_id and customers.as_of_date = events.as_of_date
    left join counted
        on
            customers.client_id = counted.client_id
            and customers.customer_id = counted.customer_id
            and customers.as_of_date = counted.as_of_date
)

select * from windowed
