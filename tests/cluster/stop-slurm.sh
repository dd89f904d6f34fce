#!/usr/bin/env bash
# stop-slurm.sh LAB [PID]: stop what start-slurm.sh started in the folder LAB, what runs on that cluster
# and whatever else has SLURM_LAB=LAB in its environment, once the process PID has ended.
lab=$1 owner=${2:-}
run=$lab/run
while [ -n "$owner" ] && kill -0 "$owner" 2> /dev/null; do sleep 0.5; done
[ -d "$lab" ] || exit 0
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
# Tests that were ended, studies that they started, steps of jobs.
for environment in $(grep -lsz "^SLURM_LAB=$lab\$" /proc/[0-9]*/environ); do
  process=${environment#/proc/}
  kill -9 "${process%/environ}" 2> /dev/null
done
for controller in memory freezer; do
  for node in n1 g1 g2 g3 g4 g5 g6; do
    folder=/sys/fs/cgroup/$controller/slurm_$node
    [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + 2> /dev/null
  done
done
for file in slurm.conf gres.conf cgroup.conf slurmdbd.conf; do
  [ "$(readlink /etc/slurm/$file)" != "$lab/etc/$file" ] || rm -f /etc/slurm/$file
done
rm -rf "$lab"
