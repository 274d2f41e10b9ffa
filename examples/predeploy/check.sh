#!/bin/sh
# Usage: check.sh BUILT PUBLISHED     for example: check.sh public/ r2://my-site
set -u
built=$1 published=$2

trueup sync "$built" "$published" --push --delete --check
code=$?
case $code in
    0) echo "published is what was built" ;;
    5) echo "not published yet: run trueup sync $built $published --push --delete" >&2 ;;
    3) echo "the difference is so large that a sync would be refused: is this the right build?" >&2 ;;
    *) echo "could not compare (exit code $code)" >&2 ;;
esac
exit $code
