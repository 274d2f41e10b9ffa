"""Having files taken again that somebody names: those that had their effect, or those that had none."""

from __future__ import annotations

from contextlib import closing

from trueup import events
from trueup.filters import Scope
from trueup.ingest.observe import Pass, paged


def request(this: Pass, pattern: Scope, *, success: bool) -> None:
    """Have the files that match taken again, of those that had their effect (`success`) or those that had none. Only
    what is on the server can be taken: what is not keeps its row. Raises what listing raises."""
    job, wanted = this.job, 0
    entries = (entry for entry in job.source.list(ordered=False) if not entry.fault and entry.key in job.scope)
    with closing(entries):
        for page in paged(entry for entry in entries if entry.key in pattern):
            rows = [row for row in job.processed.rows([one.key for one in page]).values() if row.success == success]
            wanted += job.processed.request(rows)
            for row in rows:
                job.memory.forget(row.filename)
    if not wanted:
        what = "had its effect" if success else "failed or is in quarantine"
        this.listener(events.Warned(run=this.run, message=f"no file that {what} matches"))
