{{ config(materialized='table', schema='as_of') }}

with

transactions as (
    select * from {{ ref('int_transactions_to_count') }}
    where movement in ('loan_instalment', 'refund', 'reversal')
),

accounts as (
    select distinct
        client_id,
        account_id,
        true as is_of_loan
    from {{ ref('int_loans') }}
    where account_id is not null
),

-- What comes back to a loan's account is an instalment that was not paid.
movements as (
    select
        transactions.client_id,
        transactions.customer_id,
        transactions.account_id,
        coalesce(accounts.is_of_loan, false) as is_of_loan,
        transactions.movement in ('refund', 'reversal') and coalesce(transactions.payment_mode, '') = 'direct_debit'
            as is_returned_debit,
        transactions.business_date,
        transactions.known_from,
        transactions.known_until,
        count(*) as movements,
        cast(sum(transactions.spend_amount) as decimal(18, 4)) as paid
    from transactions
    left join accounts
        on transactions.client_id = accounts.client_id and transactions.account_id = accounts.account_id
    where
        accounts.is_of_loan
        or (transactions.movement in ('refund', 'reversal') and transactions.payment_mode = 'direct_debit')
    group by
        transactions.client_id,
        transactions.customer_id,
        transactions.account_id,
        coalesce(accounts.is_of_loan, false),
        transactions.movement in ('refund', 'reversal') and coalesce(transactions.payment_mode, '') = 'direct_debit',
        transactions.business_date,
        transactions.known_from,
        transactions.known_until
)

select * from movements
