"""Airflow's log-in: Flask-AppBuilder's people and passwords, with the roles of `roles.yml`.

`[core] auth_manager` names the class. Each start of the API server brings the roles in and makes the two
accounts that an installation needs; a start that finds all as it should be changes nothing.
"""

from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.auth_manager.models import User
from werkzeug.security import check_password_hash

from nightledger.airflow.environment import ADMIN, COMMANDS, admin_password, commands_password
from nightledger.airflow.roles import Permission, clients_of, roles_of
from nightledger.settings import Settings

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride

EVERYTHING = "Admin"
"""Airflow's own role that may do everything, also what `roles.yml` does not name."""


class AuthManager(FabAuthManager):
    """Flask-AppBuilder's auth manager with our roles in place of its Viewer, User and Op."""

    def init_flask_resources(self) -> None:
        """Bring roles and people up to date; called whenever a process of Airflow serves or changes them."""
        manager = self.security_manager
        manager.ROLE_CONFIGS = [given for given in manager.ROLE_CONFIGS if given["role"] == EVERYTHING]
        super().init_flask_resources()
        settings = Settings()
        bring_in_roles(manager, settings)
        _make_people(manager, settings)

    def is_authorized_dag(
        self,
        *,
        method: "ResourceMethod",
        user: User,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        """As Flask-AppBuilder, but who answers a request need not be allowed to change the DAG that asks.

        Else who approves a model could also start its training, or switch it off.
        """
        if access_entity == DagAccessEntity.HITL_DETAIL and method != "GET":
            return self._is_authorized(
                method=method, resource_type="HITL Detail", user=user
            ) and super().is_authorized_dag(method="GET", user=user, details=details)
        return super().is_authorized_dag(
            method=method, user=user, access_entity=access_entity, details=details
        )

    def who_may(self, resource: str, client_id: str) -> list[str]:
        """Names of everybody who can log in and may do what Airflow knows under this name, for a client.

        Only in the API server, which has the application that reads people.
        """
        if self.flask_app is None:
            raise RuntimeError("people can be read in the API server only")
        with self.flask_app.app_context():
            return sorted(
                str(user.get_name())
                for user in self.security_manager.get_all_users()
                if user.active
                and client_id in (clients_of(role.name for role in user.roles) or {client_id})
                and self.is_authorized_custom_view(method="GET", resource_name=resource, user=user)
            )


def bring_in_roles(manager: "FabAirflowSecurityManagerOverride", settings: Settings) -> None:
    """Let each role have exactly what `roles.yml` says, no more and no less; Admin has more."""
    stated = roles_of(settings)
    for name in stated.roles:
        role = manager.find_role(name) or manager.add_role(name)
        has: dict[Permission, Any] = {(one.action.name, one.resource.name): one for one in role.permissions}
        wanted = stated.permissions(name)
        for pair in sorted(wanted - has.keys()):
            manager.add_permission_to_role(role, manager.create_permission(*pair))
        if name != EVERYTHING:
            for pair in sorted(has.keys() - wanted):
                manager.remove_permission_from_role(role, has[pair])


def _make_people(manager: "FabAirflowSecurityManagerOverride", settings: Settings) -> None:
    """The first administrator, and the account of our own commands, whose password follows its file."""
    role = manager.find_role(EVERYTHING)
    if manager.find_user(ADMIN) is None:
        add_person(manager, ADMIN, [role], admin_password(settings))
    commands, password = manager.find_user(COMMANDS), commands_password(settings)
    if commands is None:
        add_person(manager, COMMANDS, [role], password)
    elif not check_password_hash(commands.password or "", password):
        manager.reset_password(commands.id, password)


def add_person(
    manager: "FabAirflowSecurityManagerOverride", name: str, has: list[Any], password: str
) -> User:
    """Make somebody who can log in. Airflow wants a mail address of everybody and sends nothing to it."""
    return manager.add_user(name, name, "", f"{name}@nightledger.invalid", has, password)
