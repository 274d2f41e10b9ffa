"""update_storage, sync_storage and storage_sync_ui."""
