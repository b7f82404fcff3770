with

loans as (
    select * from {{ source('raw', 'loans') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

known as (
    select
        loans.client_id,
        loans.source,
        loans.loan_id,
        loans.customer_id,
        loans.account_id,
        {{ if_known('loans', 'status', 'status_known_at') }} as status,
        loans.principal,
        loans.instalment,
        loans.term_months,
        loans.granted_on,
        {{ if_known('loans', 'status_on', 'status_known_at') }} as status_on,
        {{ if_known('loans', 'status_known_at', 'status_known_at') }} as status_known_at,
        loans.known_at,
        loans._load_id,
        loans._record
    from loans
    inner join horizon on loans.client_id = horizon.client_id
    where loans.known_at < horizon.cutoff_at
)

select * from known
