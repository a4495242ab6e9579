import os
from urllib.parse import urlsplit

url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path[1:],
        "USER": url.username,
        "HOST": url.hostname,
        "PORT": url.port,
    }
}
# Every folder with an __init__.py is an app, so that a test adds one by writing it.
INSTALLED_APPS = ["django.contrib.contenttypes"] + sorted(
    entry.name
    for folder in [".", "site-packages"]
    if os.path.isdir(folder)
    for entry in os.scandir(folder)
    if os.path.exists(entry.path + "/__init__.py")
)
USE_TZ = True
