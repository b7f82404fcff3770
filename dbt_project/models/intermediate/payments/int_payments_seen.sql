{%- set columns = [
    'client_id', 'customer_id', 'transaction_key', 'version', 'instrument', 'payment_mode', 'city', 'country',
    'amount', 'business_date', 'event_at',
] %}
{%- set terms = ['is_customer_initiated', 'is_purchase', 'spend_amount'] %}

with

transactions as (
    select
        *,
        coalesce(card_token, account_id, '') as instrument,
        abs(base_amount) as amount,
        movement = 'purchase' as is_purchase
    from {{ ref('int_transactions_as_known') }}
),

{{ stretches_seen(columns, terms) }}

select * from seen
where is_customer_initiated or is_purchase or spend_amount <> 0
