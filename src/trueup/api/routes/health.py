"""Whether the service is well, for whoever watches over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from fastapi import APIRouter, Response

from trueup.api.models import Health, Readiness
from trueup.api.problems import described
from trueup.api.routes.storage import Here
from trueup.errors import TrueupError

router = APIRouter()


@router.get("/healthz", tags=["admin"], summary="Whether the process answers", responses=described())
async def healthz() -> Health:
    """Nothing else is looked at."""
    return Health(status="ok")


@router.get(
    "/readyz",
    tags=["admin"],
    summary="Whether it can do its work",
    responses={503: {"model": Readiness, "description": "Not ready"}, **described()},
)
def readyz(service: Here, response: Response) -> Readiness:
    """Its databases answer, and somebody looks after the queue."""
    looks: dict[str, Callable[[], object]] = {
        "queue": lambda: service.tasks.latest(1),
        "database": service.storage,
        "jobs": service.queue.check,
    }
    checks = {name: _looked(look) for name, look in looks.items()}
    ready = all(found == "ok" for found in checks.values())
    response.status_code = 200 if ready else 503
    return Readiness(status="ready" if ready else "not ready", checks=checks)


@router.get(
    "/metrics", tags=["admin"], summary="Numbers for Prometheus", response_class=Response, responses=described(503)
)
def metrics(service: Here) -> Response:
    """In its text format."""
    runs = Counter((task.job, task.state) for task in service.tasks.latest(brief=True))
    text = service.metrics.render(service.storage()["providers"], runs)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _looked(look: Callable[[], object]) -> str:
    try:
        look()
    except TrueupError as error:
        return error.message
    return "ok"
