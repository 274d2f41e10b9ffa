from django.contrib import admin

from library.models import Document

admin.site.register(Document)
