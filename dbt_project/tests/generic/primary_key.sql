{% test primary_key(model, columns=none, column_name=none, nullable=[]) %}
{%- set key = columns or [column_name] %}
{%- set filled = key | reject('in', nullable) | list %}

select
    {{ key | join(', ') }},
    count(*) as times
from {{ model }}
group by {{ key | join(', ') }}
having count(*) > 1 or {{ filled | join(' is null or ') }} is null

{% endtest %}
