#!/usr/bin/env bash
# The tests on a real Slurm: start it, run them, stop it whatever happens. Arguments go to pytest.
set -uo pipefail
cd "$(dirname "$0")/../.."
python=.venv/bin/python
SLURM_LAB=$(mktemp -d)
export SLURM_LAB
chmod 755 "$SLURM_LAB"
stop() {
  bash tests/cluster/stop-slurm.sh "$SLURM_LAB"
  rm -rf "$SLURM_LAB"
}
if command -v slurmctld slurmd munged slurmdbd mariadbd > /dev/null && [ "$(id -u)" = 0 ]; then
  trap stop EXIT
  bash tests/cluster/start-slurm.sh "$SLURM_LAB" || exit
fi
# First those that only use the cluster, side by side; then those that break parts of it.
$python -m pytest tests/cluster -m "not alone" -n 4 --dist worksteal "$@"
status=$?
$python -m pytest tests/cluster -m alone "$@" || status=$?
exit $status
