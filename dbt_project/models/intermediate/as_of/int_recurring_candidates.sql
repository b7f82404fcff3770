with

transactions as (
    select * from {{ ref('int_transactions_to_count') }}
),

-- What people buy by habit (food, fuel, shopping) is no standing obligation, however regular, unless it is collected.
kinds as (
    select
        client_id,
        customer_id,
        account_id,
        merchant,
        case
            when income_amount > 0 and subcategory = 'salary' then 'salary'
            when spend_amount <= 0 then null
            when category = 'rent_mortgage' then 'rent'
            when category = 'emi_loans' then 'loan_instalment'
            when category = 'investments' then 'investment'
            when
                movement = 'purchase'
                and (
                    payment_mode in ('direct_debit', 'standing_order')
                    or category in ('subscriptions', 'utilities_telecom', 'insurance', 'education_children', 'other')
                    or subcategory = 'sport_fitness'
                )
                then 'subscription'
        end as kind,
        cast(abs(base_amount) as decimal(18, 4)) as amount,
        business_date,
        known_from,
        known_until
    from transactions
),

-- Employers and landlords are written differently each month. Two loans at one lender differ by their instalment.
candidates as (
    select
        client_id,
        customer_id,
        kind,
        case when kind in ('salary', 'rent') then account_id else merchant end as payee,
        cast(
            case when kind in ('loan_instalment', 'investment') then amount else 0 end as decimal(18, 4)
        ) as instalment,
        amount,
        business_date,
        known_from,
        known_until
    from kinds
    where kind is not null
)

select * from candidates
