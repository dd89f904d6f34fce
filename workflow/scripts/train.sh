# train.sh LOG COMMAND...: train runs and log it. What people see of it, posmlp/progress shows.
#
# Stopped by a signal, the command exits with status 75 and continues when it is started again: after
# Slurm's warning before the time limit, this shell puts the job back into the queue. The shell speaks
# for a command that cannot: one that was killed, or stopped before it could handle a signal.

log=$1
shift
: "${log:?}"

signalled=
for name in INT TERM USR1; do
  # shellcheck disable=SC2064 # the name as it is now
  trap "signalled=$name" $name
done
echo "$(date '+%F %T') on $(hostname)${SLURM_JOB_ID:+, Slurm job $SLURM_JOB_ID}" > "$log"
exec >> "$log" 2>&1

"$@"
status=$?
case $status in
  130 | 138 | 143) # INT, USR1 or TERM in the moment before it handles them
    echo "stopped by SIG$(kill -l $status) before training began"
    status=75
    ;;
  137) echo 'lost: killed by SIGKILL. Slurm and Linux do so when memory runs out (slurm.mem_gb)' ;;
esac

if [ $status -eq 75 ] && [ "$signalled" = USR1 ] && [ -n "$SLURM_JOB_ID" ]; then
  # The job keeps its number, so Snakemake goes on waiting for it. Where the cluster refuses, the
  # status 75 makes Snakemake submit it anew (`retries`).
  echo "the time limit is near: job $SLURM_JOB_ID goes back into the queue"
  scontrol requeue "$SLURM_JOB_ID" || echo "warning: job $SLURM_JOB_ID was not put back into the queue"
fi
exit $status
