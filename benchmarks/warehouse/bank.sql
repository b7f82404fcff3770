-- Everything hangs on the hash of a row's number, so the same number of rows gives the same bank.
create or replace macro h(n, salt) as (hash(n, salt) >> 2)::bigint;

create or replace macro u(n, salt) as (hash(n, salt) >> 11)::double / 9007199254740992.0;

create table customers as
select
    'C' || lpad(i::varchar, 7, '0') as customer,
    getvariable('first') - (h(i, 1) % 1500)::integer as opened,
    1945 + h(i, 2) % 60 as born,
    'Town ' || (60 * pow(u(i, 3), 2))::integer as city,
    'GB' as country
from range(getvariable('customers')) as t(i);

create table accounts as
select 'A' || customer[2:] as account, customer, 'current' as type, 'GBP' as currency, opened from customers
union all
select 'S' || customer[2:], customer, 'savings', 'GBP', opened from customers where h(customer, 4) % 4 = 0;

-- Brands that the project knows, and as many shops that nobody knows.
create table merchants as
with brands as (
    select merchant as name, row_number() over (order by h(merchant, 5)) as m
    from (
        select distinct merchant from read_csv(getvariable('brands'), all_varchar = true)
        where regexp_full_match(merchant, '[A-Za-z][A-Za-z ]{3,18}')
    )
)

select m * 2 as m, upper(name) as name, 5000 + h(m, 6) % 900 as mcc from brands where m <= 2500
union all
select
    i * 2 + 1, upper(['RIVER', 'STONE', 'GREEN', 'NORTH', 'BAKER', 'CORNER', 'OAK', 'HILL'][1 + h(i, 7) % 8] || ' '
        || ['CAFE', 'STORES', 'GARAGE', 'SALON', 'BOOKS', 'PHARMACY', 'BAR', 'FOODS'][1 + h(i, 8) % 8] || ' ' || chr((65 + i % 26)::integer)
        || chr((65 + i // 26 % 26)::integer)),
    5000 + h(i, 6) % 900
from range(2500) as t(i);

create table purchases as
select
    i as n,
    'C' || lpad(floor(getvariable('customers') * pow(u(i, 11), 1.4))::bigint::varchar, 7, '0') as customer,
    getvariable('first') + (h(i, 12) % getvariable('days'))::integer as day,
    least(5000, 2 + floor(5000 * pow(u(i, 13), 3)))::bigint as m,
    h(i, 14) % 1000 as kind,
    round((3 + 40 * -ln(u(i, 15) + 1e-9)) * if(h(i, 16) % 50 = 0, 8, 1), 2)::decimal(18, 2) as money,
    if(h(i, 17) % 10 = 0, h(i, 18) % 86400, 25200 + h(i, 18) % 54000) as second
from range((getvariable('rows') * 0.86)::bigint) as t(i);

create table months as
select
    customer, month, row_number() over (order by month, customer) as n
from customers, (select unnest(generate_series(getvariable('first'), getvariable('first') + getvariable('days')::integer, interval 1 month))::date as month);

create table told as
select
    n, customer, 'A' || customer[2:] as account, day + to_seconds(second) as booked,
    case when kind between 960 and 974 then money else -money end as amount,
    case
        when kind < 900 then
            case m % 5
                when 0 then 'POS 4321XXXX ' || name || ' ' || h(n, 21) % 8 + 1000 || ' TOWN ' || m % 60
                when 1 then 'SQ *' || name || ' TOWN ' || m % 60
                when 2 then name || ' ' || h(n, 21) % 8 + 100
                when 3 then if(h(n, 22) % 10 = 0, 'UPI/P2M/' || h(n, 23) % 900000000000 || '/' || name || '/pay@ybl', name)
                else name || ' LTD TOWN ' || m % 60
            end
        when kind < 930 then 'TRANSFER TO J SMITH ' || h(n, 24) % 500
        when kind < 950 then 'CASH WITHDRAWAL ATM ' || h(n, 24) % 900
        when kind < 960 then 'MONTHLY FEE'
        when kind < 975 then name || ' REFUND'
        when kind < 990 then 'COUNCIL TAX AND WATER'
        else name
    end as description,
    if(kind < 900 or kind >= 990, mcc::varchar, null) as mcc,
    case when kind between 900 and 929 then 'people_transfers' when kind between 950 and 959 then 'fee' end as category,
    case
        when kind < 900 then 'card' when kind < 930 then 'transfer' when kind < 950 then 'cash' when kind < 960 then 'fee'
        when kind < 975 then 'card' when kind < 990 then 'direct_debit' else 'wallet'
    end as mode,
    case when kind < 700 then 'pos' when kind < 900 then 'online' when kind < 930 then 'app' when kind < 950 then 'atm' end as channel,
    if(kind < 700, 'Town ' || if(h(n, 25) % 8 = 0, m % 60, 10), null) as city,
    if(kind = 0, 'pending', 'posted') as status,
    null::bigint as of
from purchases join merchants using (m)
union all
-- What is posted after it was pending, with a tip; and what is given back with a reference.
select
    n + 100000000000, customer, 'A' || customer[2:], day + 3 + to_seconds(second), if(kind = 0, -money - 1, money),
    if(kind = 0, name, 'REFUND ' || name), mcc::varchar, null, 'card', 'pos', null, 'posted', n
from purchases join merchants using (m) where kind in (0, 1, 2, 3) and day + 3 < getvariable('first') + getvariable('days')::integer
union all
select
    200000000000 + 10 * n + part, customer, if(part = 5, 'S', 'A') || customer[2:],
    month + case part when 0 then 15 when 1 then 1 when 2 then (h(customer, 31) % 25)::integer when 3 then 5 else 17 end + to_seconds(36000 + part),
    case part
        when 0 then 1800 + h(customer, 32) % 2500 when 1 then -(500 + h(customer, 33) % 700) when 2 then -9.99
        when 3 then -(90 + h(customer, 34) % 300) when 4 then -200 else 200
    end,
    case part
        when 0 then 'SALARY ACME ' || h(customer, 35) % 300 when 1 then 'RENT' when 2 then ['NETFLIX.COM', 'SPOTIFY', 'GYM GROUP'][1 + h(customer, 36) % 3]
        when 3 then 'LOAN INSTALMENT' else 'OWN TRANSFER'
    end,
    null,
    case part when 0 then 'salary' when 1 then 'rent' when 3 then 'loan_instalment' when 2 then null else 'own_transfer' end,
    case part when 0 then 'transfer' when 1 then 'standing_order' when 2 then 'card' when 3 then 'direct_debit' else 'transfer' end,
    if(part = 2, 'online', null), null, 'posted', null
from months, (select unnest([0, 1, 2, 3, 4, 5]) as part)
where case part
    when 0 then h(customer, 41) % 10 < 8 when 1 then h(customer, 42) % 10 < 5 when 2 then h(customer, 43) % 10 < 6
    when 3 then h(customer, 44) % 10 < 2 else h(customer, 4) % 4 = 0
end;

create table transactions as
select
    n, 'T' || n as id, booked, customer, account, amount::decimal(18, 2) as amount, 'GBP' as currency, description, mcc,
    category, mode, channel, city, if(city is null, null, 'GB') as country, status, 'T' || of as original,
    (sum(amount) over (partition by account order by booked, n) + 500)::decimal(18, 2) as balance
from told;

create table logins as
select
    'C' || lpad(floor(getvariable('customers') * u(i, 51))::bigint::varchar, 7, '0') as customer,
    strftime(getvariable('first') + to_seconds((u(i, 52) * getvariable('days') * 86400)::bigint), '%Y-%m-%d %H:%M:%S') as at,
    'login' as type
from range(getvariable('rows') // 10) as t(i);
