{% test are_finite(model, columns) %}

{#- NaN sorts above every number, so it falls out of the range as infinities do. #}
select {{ columns | join(', ') }}
from {{ model }}
where not ({{ columns | join(' between -3.4e38 and 3.4e38 and ') }} between -3.4e38 and 3.4e38)

{% endtest %}
