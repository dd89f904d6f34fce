#!/usr/bin/env bash
# Start a real Slurm of seven nodes on this machine, without systemd: one with CPUs, six with four
# simulated GPUs each, six partitions, pre-emption, accounting that enforces accounts and QOS. What a
# test breaks is in a partition that no other test uses. Needs root and Debian's packages
#   slurmctld slurmd slurm-client munge slurmdbd mariadb-server-core
# Its state is in the folder $1; stop-slurm.sh stops it. A real cluster's files are not touched.
set -euo pipefail
lab=$1
etc=$lab/etc run=$lab/run
unset SLURM_CONF
here=$(hostname -s)

fail() { echo "start-slurm: $*" >&2; exit 1; }
wait_for() { # wait_for SECONDS WHAT COMMAND...
  local tries=$(($1 * 20)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || fail "$what did not come up; see $run/log"
    sleep 0.05
  done
}

for file in slurm.conf gres.conf cgroup.conf slurmdbd.conf; do
  if [ -e /etc/slurm/$file ] && [ "$(readlink /etc/slurm/$file)" != "$etc/$file" ]; then
    fail "/etc/slurm/$file belongs to another cluster"
  fi
done
[ ! -d "$run" ] || fail "$run is left over from another cluster: stop-slurm.sh stops it"

mkdir -p "$etc" "$run"/{log,state,dev,munge,mysql} "$run"/spool-{n1,g1,g2,g3,g4,g5,g6}
chmod 755 "$run" "$run/munge"

# GPUs must be devices: of plain files Slurm grants the request and sets no CUDA_VISIBLE_DEVICES.
gpus=$run/dev/gpu[0-3]
for i in 0 1 2 3; do
  mknod -m 666 "$run/dev/gpu$i" c 1 3 2> /dev/null || gpus=/dev/null,/dev/zero,/dev/full,/dev/urandom
done
# Memory limits that kill, where this machine lets us make control groups.
if [ -w /sys/fs/cgroup/memory/cgroup.procs ] && [ -w /sys/fs/cgroup/freezer/cgroup.procs ]; then
  cgroups=yes tracking="ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup"
else
  cgroups=no tracking="ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherParams=OverMemoryKill"
fi

cat > "$etc/slurm.conf" << CONF
ClusterName=lab
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that goes back into the queue waits until its old credential has expired, 120 s by default.
AuthInfo=socket=$run/munge.socket,cred_expire=10
CredType=cred/munge
SlurmctldPort=16817
SlurmctldPidFile=$run/slurmctld.pid
SlurmdPidFile=$run/slurmd-%n.pid
StateSaveLocation=$run/state
SlurmdSpoolDir=$run/spool-%n
SlurmctldLogFile=$run/log/slurmctld.log
SlurmdLogFile=$run/log/slurmd-%n.log
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,bf_resolution=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
JobRequeue=1
KillWait=20
MinJobAge=300
SlurmctldTimeout=60
SlurmdTimeout=20
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
$tracking
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass=$run/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations,limits,qos
AccountingStoreFlags=job_comment
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname=$here Port=16821 CPUs=8 RealMemory=32000
NodeName=g[1-6] NodeAddr=127.0.0.1 NodeHostname=$here Port=[16822-16827] CPUs=8 RealMemory=32000 Gres=gpu:h200:4
PartitionName=cpu Nodes=n1 Default=YES DefMemPerCPU=500 MaxTime=2:00:00 PriorityTier=10 PreemptMode=OFF
PartitionName=gpu Nodes=g[1-2] DefMemPerCPU=500 MaxTime=2:00:00 PriorityTier=10 PreemptMode=OFF
PartitionName=short Nodes=g[1-2] DefMemPerCPU=500 MaxTime=0:02:00 PriorityTier=10 PreemptMode=OFF
# A job has its node to itself, so that a broken node is no other test's.
PartitionName=fragile Nodes=g[3-5] DefMemPerCPU=500 MaxTime=2:00:00 PriorityTier=10 PreemptMode=OFF OverSubscribe=EXCLUSIVE
PartitionName=owners Nodes=g6 DefMemPerCPU=500 MaxTime=2:00:00 PriorityTier=10 PreemptMode=OFF
PartitionName=scavenge Nodes=g6 DefMemPerCPU=500 MaxTime=2:00:00 PriorityTier=1 PreemptMode=REQUEUE
CONF
cat > "$etc/gres.conf" << CONF
NodeName=g[1-6] Name=gpu Type=h200 File=$gpus
CONF
cat > "$etc/cgroup.conf" << CONF
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainCores=no
ConstrainDevices=no
ConstrainRAMSpace=$cgroups
CONF
(
  umask 077
  cat > "$etc/slurmdbd.conf"
) << CONF
AuthType=auth/munge
AuthInfo=socket=$run/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
LogFile=$run/log/slurmdbd.log
PidFile=$run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=root
StorageLoc=slurm_acct
CONF
# The usual place is needed: jobs do not see SLURM_CONF.
mkdir -p /etc/slurm
for file in slurm.conf gres.conf cgroup.conf slurmdbd.conf; do
  ln -sfn "$etc/$file" /etc/slurm/$file
done
grep -q "[[:space:]]$here\b" /etc/hosts || echo "127.0.0.1 $here" >> /etc/hosts

(
  umask 077
  head -c 128 /dev/urandom > "$run/munge/munge.key"
)
munged --socket="$run/munge.socket" --key-file="$run/munge/munge.key" \
  --log-file="$run/munge/munged.log" --pid-file="$run/munged.pid" --seed-file="$run/munge/seed"
wait_for 5 munged test -S "$run/munge.socket"
# Slurm's limits are stored procedures, for which the database needs its system tables.
database=(mariadbd --no-defaults --user=root "--datadir=$run/mysql" --skip-grant-tables
  --innodb-buffer-pool-size=64M --innodb-log-file-size=16M)
mkdir "$run/mysql/mysql"
{ echo 'use mysql;' && cat /usr/share/mysql/mysql_system_tables.sql; } |
  "${database[@]}" --bootstrap > "$run/log/mysql.log" 2>&1
setsid "${database[@]}" --bind-address=127.0.0.1 --port=13306 --socket="$run/mysql.sock" \
  --pid-file="$run/mysql.pid" --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 \
  --performance-schema=off >> "$run/log/mysql.log" 2>&1 < /dev/null &
wait_for 30 mariadbd bash -c 'exec 3<>/dev/tcp/127.0.0.1/13306'
slurmdbd
wait_for 30 slurmdbd sacctmgr -n show cluster
sacctmgr -i -Q add cluster lab > /dev/null 2>&1 || true
sacctmgr -i -Q add account lab_acct Cluster=lab Description=test Organization=test > /dev/null
sacctmgr -i -Q add user root Account=lab_acct DefaultAccount=lab_acct > /dev/null 2>&1 || true
sacctmgr -i -Q modify user root set DefaultAccount=lab_acct > /dev/null
sacctmgr -i -Q add qos scarce > /dev/null # nobody may use it
slurmctld
wait_for 30 slurmctld scontrol ping
for node in n1 g1 g2 g3 g4 g5 g6; do slurmd -N $node; done
wait_for 30 "seven idle nodes" bash -c '[ "$(sinfo -h -N -o "%N %t" | sort -u | grep -c " idle$")" = 7 ]'
