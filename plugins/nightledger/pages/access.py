"""Who asks for a page, and whether they may.

The imports from `airflow.api_fastapi` are Airflow's internals, not a stable interface: they stand in this
file only, and a test with the real application guards what they promise.
"""

from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode, urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_authenticated
from airflow.configuration import conf
from fastapi import Depends, Request

from nightledger.airflow.environment import COMMANDS
from nightledger.airflow.roles import clients_of, resource, roles

if TYPE_CHECKING:
    from nightledger.airflow.auth import AuthManager

Person = GetUserDep
"""Annotation of a parameter of a route: who is logged in; `get_name()` is the name to write down."""

logged_in = Depends(requires_authenticated())
may_read_runs = Depends(requires_access_dag("GET", DagAccessEntity.RUN))


class RefusedError(Exception):
    """Somebody may not do what they asked for; the message says it to them."""


def name(person: Any) -> str:
    """What to write down of who did something."""
    return str(person.get_name())


def _held(person: Any) -> str:
    return ", ".join(sorted(role.name for role in person.roles)) or "of nobody"


def log_in_address(then: str) -> str:
    """Where a person logs in who is led on to an address afterwards."""
    return f"/api/v2/auth/login?{urlencode({'next': then})}"


def may(person: Any, action: str) -> bool:
    """Whether a person may do an action of `roles.yml`; to draw a page by, never instead of `needs`."""
    roles().who_may(action)
    return bool(
        get_auth_manager().is_authorized_custom_view(
            method="GET", resource_name=resource(action), user=person
        )
    )


def clients(person: Any) -> frozenset[str] | None:
    """The clients that a person is confined to; None: not confined."""
    return clients_of(role.name for role in person.roles)


def needs_client(person: Any, client_id: str) -> None:
    """Refuse a person who is confined to other clients.

    Raises:
        RefusedError: also of a client that does not exist, so that nobody learns which there are.
    """
    theirs = clients(person)
    if theirs is not None and client_id not in theirs:
        raise RefusedError(
            f"You are logged in as {name(person)} and see {' and '.join(sorted(theirs))} only, not "
            f"{client_id}. An administrator can give you another role."
        )


def who_may(action: str, client_id: str) -> list[str]:
    """Names, as `name` gives them, of all who can log in and may do an action of `roles.yml` for a client.

    The account of our own commands is nobody.
    """
    roles().who_may(action)
    manager = cast("AuthManager", get_auth_manager())
    return [name for name in manager.who_may(resource(action), client_id) if name != COMMANDS]


def needs(action: str) -> Any:
    """A dependency of a route: only for who may do this action of `roles.yml`; others get 403 and the reason.

    Raises:
        RoleError: at once, when `roles.yml` knows no such action.
    """
    names, meaning = roles().who_may(action), roles().actions[action].means
    allowed = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))

    def require(person: Person) -> None:
        if not may(person, action):
            raise RefusedError(
                f"The role {allowed} is needed to {meaning[0].lower()}{meaning[1:]}. You are logged in as "
                f"{name(person)}, with the role {_held(person)}. An administrator can give you another."
            )

    return Depends(require)


def _only_from_our_pages(request: Request) -> None:
    # Whoever sends a token in a header is no browser that another site's form drives; then no cookie counts.
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin") or ""
    if site is None:
        # A browser that says no more than where the page is from; "null", which may be any page, has no host.
        ours = {request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="")).netloc} - {""}
        site = "same-origin" if urlsplit(origin).netloc in ours else "unknown"
    if site != "same-origin":
        raise RefusedError(
            "This was not sent from one of Nightledger's own pages, so nothing was changed. Open the page in "
            "Airflow and try again there."
        )


from_our_pages = Depends(_only_from_our_pages)
"""Of every route that changes something: a form on another site cannot act as the person who is logged in."""
