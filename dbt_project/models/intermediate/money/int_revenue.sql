with

clients as (
    select * from {{ ref('stg_clients') }}
),

transactions as (
    select
        transactions.*,
        clients.base_currency,
        clients.interchange_rate
    from {{ ref('int_transactions') }} as transactions
    inner join clients on transactions.client_id = clients.client_id
    where transactions.has_base_amount
),

-- Interest that is paid to the customer is a cost, not negative revenue. A pending payment has earned nothing yet.
earned as (
    select
        client_id,
        customer_id,
        account_id,
        transaction_key,
        version,
        merchant,
        category,
        subcategory,
        city,
        region,
        movement,
        base_currency as currency,
        base_amount,
        spend_amount,
        income_amount,
        cast(
            case
                when status = 'pending' then 0
                when
                    movement = 'fee'
                    or movement in ('refund', 'reversal') and subcategory = 'bank_fee'
                    then -base_amount
                when currency = base_currency then coalesce(fee_amount, 0)
                else 0
            end as decimal(18, 4)
        ) as fees,
        cast(
            case
                when status = 'pending' then 0
                when
                    movement = 'interest' and base_amount < 0
                    or movement in ('refund', 'reversal') and subcategory = 'interest'
                    then -base_amount
                else 0
            end as decimal(18, 4)
        ) as interest,
        cast(
            case
                when status = 'pending' then 0
                when
                    payment_mode = 'card'
                    and movement in ('purchase', 'refund', 'reversal')
                    and category <> 'fees'
                    then round(spend_amount * coalesce(interchange_rate, 0), 4)
                else 0
            end as decimal(18, 4)
        ) as interchange,
        is_customer_initiated,
        business_date,
        known_at,
        superseded_at
    from transactions
),

valued as (
    select
        *,
        cast(fees + interest + interchange as decimal(18, 4)) as revenue
    from earned
)

select * from valued
