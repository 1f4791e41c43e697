"""Django, which is set up once a process: tests put their views into it one after the other."""

from __future__ import annotations

from types import ModuleType

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.urls import clear_url_caches, path

urls = ModuleType("urls_of_tests")
urls.urlpatterns = []
settings.configure(SECRET_KEY="test", ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, LOGGING_CONFIG=None, MIDDLEWARE=[])
django.setup()


def django_app(view, *, asgi):
    """Make the application whose only page is a view."""
    urls.urlpatterns[:] = [path("", view)]
    clear_url_caches()
    return get_asgi_application() if asgi else get_wsgi_application()
