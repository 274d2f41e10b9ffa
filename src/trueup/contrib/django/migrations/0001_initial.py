"""The table of the bucket's credentials."""

from __future__ import annotations

from django.db import migrations, models

from trueup.contrib.django.fields import SealedField


class Migration(migrations.Migration):
    """StorageCredential: at most one row, its values encrypted."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="StorageCredential",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ("access_key_id", SealedField("access key ID", blank=True, default="")),
                ("secret_access_key", SealedField("secret access key", blank=True, default="")),
                ("endpoint_url", SealedField("endpoint URL", blank=True, default="")),
                ("bucket_name", SealedField("bucket name", blank=True, default="")),
                ("region", SealedField("region", blank=True, default="")),
                ("updated_at", models.DateTimeField("last changed", auto_now=True)),
            ],
            options={
                "verbose_name": "storage credentials",
                "verbose_name_plural": "storage credentials",
                "constraints": [models.CheckConstraint(condition=models.Q(id=1), name="trueup_one_storage_credential")],
            },
        ),
    )
