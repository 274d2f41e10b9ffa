"""`python bench/run.py`: trueup beside rclone, s5cmd, aws-cli and a bare loop; see docs/performance.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- results: written by bench/run.py --docs -->", "<!-- end of results -->"
DEFAULT_MINUTES = 7.0
"""What the comparison with other tools may take by default; all else takes about as long."""


def main() -> None:
    asked = arguments()
    # The benchmark is a script, its modules are a package; what is measured in this process is this checkout, too.
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    if asked.docs:
        write_docs()
        return
    from bench import report, results, tools
    from bench.suite import Suite
    from tests.servers import shared

    facts = results.machine()
    shared.open_house()
    try:
        with tempfile.TemporaryDirectory(prefix="trueup-bench-") as folder:
            suite = Suite(Path(folder), asked.only, full=asked.full, rounds=asked.rounds, minutes=asked.minutes)
            began = time.monotonic()
            suite.run()
            minutes = (time.monotonic() - began) / 60
    finally:
        shared.close_house()
    facts |= {"versions": tools.versions(), "minutes": round(minutes, 1), "full": asked.full, "only": asked.only or []}
    result = results.Result(facts=facts, found=suite.found)
    page = report.markdown(results.together([result], parts=True), results.growth([result]))
    print(page)
    if asked.only and not asked.keep:
        return
    path = results.write(result)
    path.with_suffix(".md").write_text(page)
    print(f"Written to {path.with_suffix('').relative_to(ROOT)}.md and .json after {minutes:.1f} minutes.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="larger sizes and more rounds; takes about two hours")
    parser.add_argument(
        "--only", action="append", metavar="WORD", help="only cases with this in their name; writes no file"
    )
    parser.add_argument("--keep", action="store_true", help="write the files with --only as well")
    parser.add_argument("--rounds", type=int, help="rounds of each case, instead of what fits")
    parser.add_argument(
        "--minutes",
        type=float,
        default=DEFAULT_MINUTES,
        help="the time to keep within when comparing with other tools (default: %(default)s)",
    )
    parser.add_argument(
        "--docs", action="store_true", help="write the pages and draw the pictures from the newest results, and stop"
    )
    return parser.parse_args()


def write_docs() -> None:
    """The page of results with its pictures, and the table of the billion, from what is kept: nothing is measured."""
    from bench import pictures, report, results, scale

    found = results.kept()
    sections, growth = results.together(found), results.growth(found)
    put(PAGE, report.markdown(sections, growth, pictures="assets"))
    drawn = pictures.draw(sections, growth, DOCS / "assets")
    put(scale.PAGE, scale.markdown(growth))
    print(f"Written: {PAGE.name}, {scale.PAGE.name}, {', '.join(path.name for path in drawn)}")


def put(page: Path, text: str) -> None:
    """Replace what lies between the page's two marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
