class Router:
    """Scans are in the archive alone; everything else may be in both databases, and is read from the default one."""

    def db_for_read(self, model, **hints):
        return "archive" if model.__name__ == "Scan" else None

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return db == "archive" if model_name == "scan" else None
