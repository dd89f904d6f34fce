# train.sh ATTEMPT LOG COMMAND...: run a training and log it. What it says to people also goes to
# the terminal.
#
# Stopped by a signal, it leaves with the status 75 and goes on when it is started again: here, at
# most twice, where the signal was for it alone; not where this shell got it too, because then all is
# to leave (Ctrl-C, Slurm's warning). One that ended by its own fault, with the status 2, would do so
# again: later attempts, which are for lost machines, do not repeat it. Its log is kept beside the log,
# which Snakemake deletes before every attempt.

attempt=$1 log=$2
shift 2
at_fault=${log%.log}.failed

if [ "$attempt" -gt 1 ] && [ -e "$at_fault" ]; then
  cp "$at_fault" "$log"
  echo 'error: not tried again before the next start: it ended by its own fault, see above' >&2
  exit 2
fi

rm -f "$at_fault"
: > "$log"
leaving=
trap 'leaving=yes' INT TERM USR1
for _ in 1 2 3; do
  "$@" >> "$log" 2> >(trap '' INT TERM USR1; exec tee -a "$log" >&2)
  status=$?
  if [ $status -ne 75 ] || [ -n "$leaving" ]; then
    break
  fi
done
[ $status -ne 2 ] || cp "$log" "$at_fault"
exit $status
