"""The admin page of the bucket's credentials."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from trueup.contrib.django.forms import HIDDEN, StorageCredentialForm
from trueup.contrib.django.models import StorageCredential


@admin.register(StorageCredential)
class StorageCredentialAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic in its stubs only
    """One row; a stored secret is never shown."""

    form = StorageCredentialForm
    list_display = ("__str__", "updated_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one set of credentials."""
        return bool(super().has_add_permission(request)) and not StorageCredential.objects.exists()

    @method_decorator(sensitive_post_parameters(*HIDDEN))
    def changeform_view(self, request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponse:  # noqa: ANN401
        """The form; an error report about it leaves the secrets out."""
        return super().changeform_view(request, *arguments, **named)
