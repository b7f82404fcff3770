with

credit_bureau as (
    select * from {{ source('raw', 'credit_bureau') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

known as (
    select
        credit_bureau.client_id,
        credit_bureau.source,
        credit_bureau.customer_id,
        credit_bureau.total_balance,
        credit_bureau.total_credit_limit,
        credit_bureau.number_of_open_accounts,
        credit_bureau.number_of_accounts_in_arrears,
        credit_bureau.reported_on,
        credit_bureau.known_at,
        credit_bureau._load_id,
        credit_bureau._record
    from credit_bureau
    inner join horizon on credit_bureau.client_id = horizon.client_id
    where credit_bureau.known_at < horizon.cutoff_at
)

select * from known
