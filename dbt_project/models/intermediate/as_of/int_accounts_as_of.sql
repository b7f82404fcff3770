with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

accounts as (
    select * from {{ ref('stg_accounts') }}
),

known as (
    select
        dates.client_id,
        accounts.account_id,
        accounts.customer_id,
        accounts.type,
        dates.as_of_date,
        case when accounts.opened_on <= dates.as_of_date then accounts.opened_on end as opened_on,
        row_number() over (
            partition by dates.client_id, accounts.account_id, dates.as_of_date
            order by accounts.known_at desc, accounts._load_id desc, accounts._record desc
        ) as place
    from dates
    inner join accounts on dates.client_id = accounts.client_id and dates.cutoff_at > accounts.known_at
),

latest as (
    select * from known
    where place = 1
)

select * from latest
