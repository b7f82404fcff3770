{#- What may stand behind a name and tells no merchants apart: numbers of shops and terminals, legal forms, the web. -#}
{%- set noise = '( (#+|[0-9]+|[a-z]{0,3}[0-9#]{2,}[a-z]{0,3}[0-9#]*|[a-z]?[0-9][a-z]?[0-9#]+'
    ~ '|l|ltd?|limite?d?|plc|llc|inc|incorporated|corp|co|pvt|private|llp|gmbh|ag|kg|ug|bv|srl|sarl|sas|pty|bhd|sdn|intl'
    ~ '|uk|gb|gbr|gbp|usa|usd|eur|inr|online|on line|internet|website|web|ecom|ecommerce|e commerce|com'
    ~ '|upt|cc|v t|pymts?|payments?|customer service|cust serv))+$' -%}
{%- set bracket = '^([^(]{3,})[(]' -%}
{#- Between a name and its town stands the number of the shop. -#}
{%- set before_number = '^(.*\\p{L}{3}.*?) # .*$' -%}
{%- set behind_number = '^.*\\p{L}{3}.*? # (\\p{L}[\\p{L} ]+)$' -%}
{%- set number_first = '^(# |0[0-9]* )+' -%}
{%- set domain = '^([a-z0-9&-][a-z0-9& -]{2,}?)[.]'
    ~ '(?:co|com|net|org|gov|ac|edu|sch|info|biz|eu|io|in|ie|de|fr|nl|uk|us|tv|app|shop|[cgo]$)(?:[./, ].*)?$' -%}

with

descriptors as (
    select * from {{ ref('int_descriptors') }}
),

places as (
    select * from {{ ref('places') }}
),

offline as (
    select
        *,
        {{ regex_replace_all('payee', '^(?:https?:?/*)?(?:www[0-9]?[. ])?(?:[^ @]+@)?', '') }} as site
    from descriptors
),

named as (
    select
        *,
        case
            when left(site, 6) = 'gov.uk' then site
            when regexp_extract(site, '{{ domain }}', 1) = '' then site
            when position('.gov' in site) > 0 then regexp_extract(site, '{{ domain }}', 1) || ' gov'
            else regexp_extract(site, '{{ domain }}', 1)
        end as title
    from offline
),

unbracketed as (
    select
        *,
        coalesce(nullif(regexp_extract(title, '{{ bracket }}', 1), ''), title) as unbracketed
    from named
),

folded as (
    select
        descriptor,
        intermediary,
        all_words,
        trim({{ regex_replace_all(fold('title'), number_first, '') }}) as words,
        trim({{ regex_replace_all(fold('unbracketed'), number_first, '') }}) as open_words
    from unbracketed
),

shops as (
    select
        *,
        coalesce(nullif(regexp_extract(open_words, '{{ before_number }}', 1), ''), open_words) as shop_words,
        nullif(regexp_extract(open_words, '{{ behind_number }}', 1), '') as town_words
    from folded
),

numberless as (
    select
        *,
        trim({{ regex_replace_all("' ' || shop_words", noise, '') }}) as bare_words
    from shops
),

bounded as (
    select
        *,
        {{ matches('bare_words', ' (of|de|and|in|at|for|the|la|le|el) [^ ]+( [^ ]+)?$') }} as is_bound
    from numberless
),

ends as (
    select
        *,
        case when not is_bound then regexp_extract(bare_words, '^.+ ([^ ]+)$', 1) end as last_word,
        case when not is_bound then regexp_extract(bare_words, '^.+ ([^ ]+ [^ ]+)$', 1) end as last_words
    from bounded
),

-- A shop's town stands last. A name that is nothing but a town stays as it is, and so do the petals of Madinah.
located as (
    select
        ends.*,
        coalesce(long_places.place, places.place, {{ title_case('ends.town_words') }}) as place,
        trim(substr(
            ends.bare_words,
            1,
            length(ends.bare_words) - coalesce(length(long_places.place_key), length(places.place_key), 0)
        )) as local_words
    from ends
    left join places on ends.last_word = places.place_key
    left join places as long_places on ends.last_words = long_places.place_key
),

cleaned as (
    select
        descriptor,
        intermediary,
        place as location,
        all_words,
        words,
        coalesce(
            nullif(trim({{ regex_replace_all("' ' || local_words", noise, '') }}), ''),
            nullif(local_words, ''),
            open_words
        ) as name
    from located
)

select * from cleaned
