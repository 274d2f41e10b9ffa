#!/bin/sh
# Usage: backup.sh SOURCE TARGET      in a crontab: */15 * * * * /opt/backup.sh /srv/uploads s3://my-backups/uploads
set -u
source=$1 target=$2
patience=4 # failures in a row before anybody is told
home=${TRUEUP_HOME:-${XDG_STATE_HOME:-$HOME/.local/state}/trueup}
mkdir -p "$home" || exit 1
counter=$home/backup-failures

report=$(trueup sync "$source" "$target" --push 2>&1)
code=$?
case $code in
    0)
        rm -f "$counter"
        ;;
    4) # the run before is still at work
        code=0
        ;;
    1 | 130) # the network, a file in use, a restart: the next run continues
        failures=$(($(cat "$counter" 2>/dev/null || echo 0) + 1))
        echo "$failures" >"$counter"
        if [ "$failures" -ge "$patience" ]; then
            echo "the backup of $source failed $failures times in a row"
            echo "$report"
        else
            code=0
        fi
        ;;
    *) # 2: the settings are wrong; 3: a guard refused, for example because the folder is gone
        echo "the backup of $source needs you (exit code $code)"
        echo "$report"
        ;;
esac
exit $code
