"""How Airflow's log-in behaves: read by Flask-AppBuilder, when an installation has no file of its own.

An installation that lets a directory (LDAP, OIDC) say who people are puts a `webserver_config.py` into
`<home>/airflow`, which then counts instead of this file; docs/how-to/manage-access.md has examples.
"""

AUTH_TYPE = 1  # people and hashed passwords in Airflow's own database
AUTH_USER_REGISTRATION = False
FAB_PASSWORD_COMPLEXITY_ENABLED = True
WTF_CSRF_ENABLED = True
