#!/usr/bin/env bash
# Stop what start-slurm.sh has started in the folder $1, and take its links out of /etc/slurm.
lab=$1
run=$lab/run
unset SLURM_CONF
[ ! -f "$run/slurmctld.pid" ] || timeout 10 scancel --user=root 2> /dev/null

stop() { # stop PIDFILE SECONDS: ask, wait, then kill
  local pid
  pid=$(cat "$1" 2> /dev/null) && [ -n "$pid" ] || return 0
  kill "$pid" 2> /dev/null
  for _ in $(seq $(($2 * 20))); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.05
  done
  kill -9 "$pid" 2> /dev/null
  rm -f "$1"
}

for file in "$run"/slurmd-*.pid; do stop "$file" 5 & done
wait
stop "$run/slurmctld.pid" 10
stop "$run/slurmdbd.pid" 10
stop "$run/mysql.pid" 10
stop "$run/munged.pid" 5
# What steps that were killed have left behind.
pkill -9 -f 'slurmstepd: \[' 2> /dev/null
for controller in memory freezer; do
  for node in n1 n2 g1 g2; do
    folder=/sys/fs/cgroup/$controller/slurm_$node
    [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + 2> /dev/null
  done
done
for file in slurm.conf gres.conf cgroup.conf slurmdbd.conf; do
  [ "$(readlink /etc/slurm/$file)" != "$lab/etc/$file" ] || rm -f /etc/slurm/$file
done
exit 0
