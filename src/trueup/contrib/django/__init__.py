"""The Django app: `STATIC_ROOT` and `MEDIA_ROOT` in step with a bucket, credentials in the database, a file storage.

Add `"trueup.contrib.django"` to `INSTALLED_APPS` and run `migrate`. Needs the extra `django`.
"""
