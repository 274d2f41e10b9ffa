"""`python bench/run.py`: trueup beside rclone, s5cmd, aws-cli and a bare loop; see docs/performance.md."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- results: written by bench/run.py --docs -->", "<!-- end of results -->"
DEFAULT_MINUTES = 9.0
"""What the default run may take, beside the last round of its last case."""


def main() -> None:
    asked = arguments()
    sys.path.insert(0, str(ROOT))  # the benchmark is a script, its modules are a package
    if asked.docs:
        write_docs()
        return
    from bench import report, tools
    from bench.suite import Suite
    from tests.servers import shared

    RESULTS.mkdir(exist_ok=True)
    shared.open_house()
    try:
        with tempfile.TemporaryDirectory(prefix="trueup-bench-") as folder:
            suite = Suite(Path(folder), asked.only, full=asked.full, rounds=asked.rounds, minutes=asked.minutes)
            began = time.monotonic()
            suite.run()
            minutes = (time.monotonic() - began) / 60
    finally:
        shared.close_house()
    facts = report.machine() | {"versions": tools.versions(), "minutes": round(minutes, 1), "full": asked.full}
    taken = (suite.known, suite.millions, suite.records, suite.served)
    measured = (suite.cases, suite.plannings, suite.larges, suite.books, suite.reconciled, *taken)
    page = report.markdown(facts, *measured)
    print(page)
    if asked.only:
        return
    name = f"{facts['date']}-{sys.platform}-{facts['cpus']}cpu{'-full' if asked.full else ''}"
    (RESULTS / f"{name}.md").write_text(page)
    found = facts | report.raw(*measured)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"Written to {(RESULTS / name).relative_to(ROOT)}.md and .json after {minutes:.1f} minutes.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="larger sizes and more rounds; takes about an hour")
    parser.add_argument(
        "--only", action="append", metavar="WORD", help="only cases with this in their name; writes no file"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each case, instead of what fits")
    parser.add_argument(
        "--minutes", type=float, default=DEFAULT_MINUTES, help="the time to keep within (default: %(default)s)"
    )
    parser.add_argument("--docs", action="store_true", help="put the newest result into docs/performance.md and stop")
    return parser.parse_args()


def write_docs() -> None:
    """Replace what lies between the page's two marks by the newest result."""
    newest = max(RESULTS.glob("*.md"), key=lambda path: (path.name[:10], path.stat().st_mtime_ns))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{newest.read_text()}\n{END}{after}")
    print(f"{PAGE.relative_to(ROOT)} now shows {newest.name}")


if __name__ == "__main__":
    main()
