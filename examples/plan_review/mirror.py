"""Mirror a folder to a bucket after a person has seen the plan: python mirror.py SOURCE TARGET [--yes]"""

from __future__ import annotations

import argparse
import sys

import trueup


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--yes", action="store_true", help="apply without asking")
    given = parser.parse_args()
    try:
        with trueup.plan(given.source, given.target, mode="push", delete=True, max_delete="20%") as plan:
            for item in plan.items(hidden=False):
                print(f"{item.action:>14}  {item.bytes:>12,}  {item.key}")
            if not plan.size():
                print("nothing to do")
                return 0
            to_right, _ = plan.bytes()
            print(f"{plan.size():,} actions, {to_right:,} bytes")
            if not given.yes and input("apply? [y/N] ").strip().lower() != "y":
                return 0
            run = trueup.apply(plan)
    except trueup.errors.TrueupError as error:
        print(f"mirror: {error}", file=sys.stderr)
        return error.exit_code
    for row in run.items:
        if row["outcome"] != "done":
            print(f"{row['outcome']}: {row['key']}: {row['error']}", file=sys.stderr)
    print(f"{run.status}; take it back with: trueup undo {run.run}")
    return run.exit_code


if __name__ == "__main__":
    sys.exit(main())
