{%- set columns = ['client_id', 'customer_id', 'transaction_key', 'version', 'business_date', 'event_at'] %}
{%- set terms = ['is_customer_initiated', 'merchant', 'place'] %}

with

transactions as (
    select
        *,
        coalesce(terminal_id, merchant) as place
    from {{ ref('int_transactions_as_known') }}
),

{{ stretches_seen(columns, terms) }}

select * from seen
where is_customer_initiated
