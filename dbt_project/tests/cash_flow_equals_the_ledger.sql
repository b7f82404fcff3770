-- What came in less what went out is the sum of all current transactions but those between own accounts.
{%- set month = "cast(" ~ dbt.date_trunc("month", "business_date") ~ " as date)" %}

with

ledger as (
    select
        client_id,
        customer_id,
        sum(base_amount) as net_flow,
        sum(income_amount - spend_amount) as earned_less_spent
    from {{ ref('fct_transactions') }}
    where
        is_current and has_base_amount and movement not in ('own_transfer', 'card_repayment')
        and {{ night_scope('touched_months', column=month) }}
    group by client_id, customer_id
),

flows as (
    select
        client_id,
        customer_id,
        sum(inflow - outflow) as net_flow,
        sum(net_savings - investments) as earned_less_spent
    from {{ ref('mart_cash_flow') }}
    where {{ night_scope('touched_months') }}
    group by client_id, customer_id
)

select
    client_id,
    customer_id,
    ledger.net_flow,
    flows.net_flow as flow_in_mart,
    ledger.earned_less_spent,
    flows.earned_less_spent as savings_in_mart
from ledger
full join flows using (client_id, customer_id)
where
    coalesce(ledger.net_flow, 0) <> coalesce(flows.net_flow, 0)
    or coalesce(ledger.earned_less_spent, 0) <> coalesce(flows.earned_less_spent, 0)
