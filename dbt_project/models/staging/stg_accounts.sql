with

accounts as (
    select * from {{ source('raw', 'accounts') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

known as (
    select
        accounts.client_id,
        accounts.source,
        accounts.account_id,
        accounts.customer_id,
        accounts.currency,
        accounts.type,
        accounts.credit_limit,
        accounts.opened_on,
        {{ if_known('accounts', 'closed_on', 'closed_known_at') }} as closed_on,
        {{ if_known('accounts', 'closed_known_at', 'closed_known_at') }} as closed_known_at,
        accounts.known_at,
        accounts._load_id,
        accounts._record
    from accounts
    inner join horizon on accounts.client_id = horizon.client_id
    where accounts.known_at < horizon.cutoff_at
)

select * from known
