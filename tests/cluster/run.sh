#!/usr/bin/env bash
# The tests on a real Slurm: start it, run them, stop it. Arguments go to pytest.
set -uo pipefail
cd "$(dirname "$0")/../.."
python=.venv/bin/python
SLURM_LAB=$(mktemp -d)
chmod 755 "$SLURM_LAB"
# Whatever ends this script, nothing that it started stays: a process of its own watches it.
setsid bash tests/cluster/stop-slurm.sh "$SLURM_LAB" $$ < /dev/null > /dev/null 2>&1 &
if command -v slurmctld slurmd munged slurmdbd mariadbd > /dev/null && [ "$(id -u)" = 0 ]; then
  SLURM_LAB=$SLURM_LAB bash tests/cluster/start-slurm.sh "$SLURM_LAB" || exit
fi
# First those that run side by side, each with nodes of its own to break; then those that break it all.
status=0
SLURM_LAB=$SLURM_LAB $python -m pytest tests/cluster -m "not alone" -n 4 --dist worksteal "$@" ||
  status=$?
SLURM_LAB=$SLURM_LAB $python -m pytest tests/cluster -m alone "$@" ||
  { other=$? && [ $other -eq 5 ] || status=$other; } # 5: the arguments leave none of these
bash tests/cluster/stop-slurm.sh "$SLURM_LAB"
exit $status
