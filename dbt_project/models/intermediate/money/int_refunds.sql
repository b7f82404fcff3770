{{ config(materialized='table') }}
{%- set movements = ref('int_movements') %}
{%- set is_valid = "(valid_to is null or valid_to > valid_from)" %}
{%- set is_payment = is_valid ~ " and direction = 'out' and movement not in ('own_transfer', 'card_repayment')" %}
{%- set columns = [
    'client_id', 'source', 'customer_id', 'transaction_key', 'version', 'merchant', 'currency', 'amount', 'movement',
    'category', 'subcategory', 'category_tier', 'business_date', 'valid_from',
] -%}
{%- set wanted = columns | join(',\n        ') %}
{%- set valid_until = "coalesce(valid_to, cast('9999-12-31' as timestamp)) as valid_until" %}

with

-- The large table is read anew wherever it is needed: that costs less than to keep the rows for all.
returned as (
    select
        {{ wanted }},
        original_transaction_id,
        {{ valid_until }}
    from {{ movements }}
    where {{ is_valid }} and movement in ('refund', 'reversal')
),

posted_keys as (
    select posted_key from {{ ref('int_postings') }}
),

-- Of all payments only those that a refund may mean: the joins that follow compare much more.
payments as (
    select
        {{ wanted }},
        {{ valid_until }}
    from {{ movements }}
    where
        {{ is_payment }}
        and (customer_id, merchant) in (
            select
                returned.customer_id,
                returned.merchant
            from returned
            where returned.original_transaction_id is null and returned.merchant <> 'unknown'
        )
),

-- A posting is found by the id of its pending transaction too: a refund may name either.
payments_by_id as (
    select
        {{ wanted }},
        transaction_id as payment_id,
        {{ valid_until }}
    from {{ movements }}
    where
        {{ is_payment }}
        and transaction_id in (select returned.original_transaction_id from returned)
    union all
    select
        {{ wanted }},
        original_transaction_id as payment_id,
        {{ valid_until }}
    from {{ movements }}
    where
        {{ is_payment }}
        and original_transaction_id in (select returned.original_transaction_id from returned)
        and transaction_key in (select posted_keys.posted_key from posted_keys)
),

-- A refund that names a payment gives back that one, however often it was given back before. One that names nothing
-- gives back a payment to the same merchant in the 90 days before, of at least as much, and a payment only once.
facing as (
    {%- for is_named in (true, false) %}
    select
        returned.client_id,
        returned.transaction_key as first_key,
        returned.version as first_version,
        returned.movement,
        returned.subcategory as first_subcategory,
        returned.business_date as first_date,
        returned.valid_from as first_from,
        returned.valid_until as first_to,
        paid.transaction_key as second_key,
        paid.version as second_version,
        paid.category,
        paid.subcategory,
        paid.category_tier,
        paid.valid_from as second_from,
        greatest(returned.valid_from, paid.valid_from) as valid_from,
        least(returned.valid_until, paid.valid_until) as valid_to,
        {{ days_between('paid.business_date', 'returned.business_date') }} as days_apart,
        returned.amount <> -paid.amount as is_other_amount,
        {{ 'returned' if is_named else 'paid' }}.transaction_key as taken_key
    from returned
    inner join {{ 'payments_by_id' if is_named else 'payments' }} as paid
        on
            returned.client_id = paid.client_id
            {%- if is_named %}
            and returned.source = paid.source
            and returned.original_transaction_id = paid.payment_id
            {%- else %}
            and returned.customer_id = paid.customer_id
            and returned.merchant = paid.merchant
            and returned.currency = paid.currency
            and returned.amount <= -paid.amount
            {%- endif %}
            and returned.valid_from < paid.valid_until
            and returned.valid_until > paid.valid_from
    {%- if is_named %}
    union all
    {%- else %}
    where
        returned.original_transaction_id is null
        and returned.merchant <> 'unknown'
        and {{ days_between('paid.business_date', 'returned.business_date') }} between 0 and 90
    {%- endif %}
    {%- endfor %}
),

-- What was known first stays matched, so a purchase that comes to be known later changes no earlier date.
candidates as (
    select
        *,
        row_number() over (
            partition by client_id
            order by
                valid_from,
                is_other_amount,
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
