{{ config(materialized='table') }}

with

movements as (
    select * from {{ ref('int_movements') }}
),

card_accounts as (
    select
        client_id,
        account_id,
        min(known_at) as known_at
    from {{ ref('stg_accounts') }}
    where type = 'card'
    group by client_id, account_id
),

-- Whoever is named, a shop or a friend, is paid: only money that says it goes to the customer, or says nothing, can be
-- one's own.
legs as (
    select
        client_id,
        customer_id,
        account_id,
        transaction_key,
        version, -- noqa: RF04
        currency,
        amount,
        direction,
        movement,
        movement in ('own_transfer', 'card_repayment') as is_stated,
        business_date,
        valid_from,
        coalesce(valid_to, cast('9999-12-31' as timestamp)) as valid_to
    from movements
    where
        match_key is not null
        and account_id is not null
        and movement not in ('refund', 'reversal')
        and (valid_to is null or valid_to > valid_from)
),

sent as (
    select * from legs
    where direction = 'out'
),

received as (
    select * from legs
    where direction = 'in'
),

facing as (
    select
        sent.client_id,
        sent.transaction_key as first_key,
        sent.version as first_version,
        sent.movement as first_movement,
        sent.business_date as first_date,
        sent.valid_from as first_from,
        sent.valid_to as first_to,
        received.transaction_key as second_key,
        received.version as second_version,
        received.movement as second_movement,
        received.business_date as second_date,
        received.valid_from as second_from,
        received.valid_to as second_to,
        case
            when sent.movement = 'card_repayment' or received.movement = 'card_repayment' then 'card_repayment'
            when card_accounts.known_at <= greatest(sent.valid_from, received.valid_from) then 'card_repayment'
            else 'own_transfer'
        end as movement,
        abs({{ days_between('sent.business_date', 'received.business_date') }}) as days_apart,
        greatest(sent.valid_from, received.valid_from) as valid_from,
        least(sent.valid_to, received.valid_to) as valid_to
    from sent
    inner join received
        on
            sent.client_id = received.client_id
            and sent.customer_id = received.customer_id
            and sent.currency = received.currency
            and sent.amount = -received.amount
            and sent.account_id <> received.account_id
            and sent.valid_from < received.valid_to
            and sent.valid_to > received.valid_from
    left join card_accounts
        on received.client_id = card_accounts.client_id and received.account_id = card_accounts.account_id
    where
        abs({{ days_between('sent.business_date', 'received.business_date') }}) <= 3
        and (
            sent.is_stated
            or received.is_stated
            or (sent.movement = 'purchase' and received.movement = 'other')
        )
),

-- What was known first stays paired, so a leg that comes later changes no earlier date.
candidates as (
    select
        *,
        second_key as taken_key,
        row_number() over (
            partition by client_id
            order by
                valid_from,
                days_apart,
                first_date,
                first_key,
                second_key,
                first_version,
                second_version,
                first_from,
                second_from
        ) as rank -- noqa: RF04
    from facing
),

{{ matched_greedily('candidates') }}

select * from matched
