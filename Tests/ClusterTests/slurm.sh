#!/bin/bash
# A Slurm of three nodes on this machine, from Debian's packages, as root and without systemd.
#
#   slurm.sh start FOLDER   each node in a network namespace of its own where the kernel allows it; prints `networks` or `plain`
#   slurm.sh down FOLDER N  takes node N's network away;  `up` gives it back
#   slurm.sh stop FOLDER
#
# FOLDER/slurm.conf is what SLURM_CONF is set to. Jobs that are queued again start at once (AuthInfo), a node that does not answer is
# given up after some seconds (SlurmdTimeout).
set -euo pipefail
D=$2
NODES="1 2 3"
TAG=ab$(( $(cksum <<<"$D" | cut -d' ' -f1) % 10000 ))  # names of interfaces are short, and other clusters may be here
NET=10.$(( 64 + $(cksum <<<"$D" | cut -d' ' -f1) % 60 )).7

networks() {
  ip link add "$TAG" type bridge && ip addr add "$NET.1/24" dev "$TAG" && ip link set "$TAG" up || return 1
  for n in $NODES; do
    ip netns add "$TAG-$n" && ip link add "$TAG.$n" type veth peer name eth0 netns "$TAG-$n" || return 1
    ip link set "$TAG.$n" master "$TAG" && ip link set "$TAG.$n" up || return 1
    ip -n "$TAG-$n" addr add "$NET.1$n/24" dev eth0 && ip -n "$TAG-$n" link set eth0 up || return 1
    ip -n "$TAG-$n" link set lo up
  done
}

remove_networks() {
  for n in $NODES; do ip link del "$TAG.$n" 2>/dev/null || true; ip netns del "$TAG-$n" 2>/dev/null || true; done
  ip link del "$TAG" 2>/dev/null || true
}

start() {
  mkdir -p "$D"/{state,log,run,spool/n1,spool/n2,spool/n3} /run/munge
  chown munge:munge /run/munge
  munge -n >/dev/null 2>&1 || { runuser -u munge -- /usr/sbin/munged; }
  for _ in $(seq 50); do munge -n 2>/dev/null | unmunge >/dev/null 2>&1 && break; sleep 0.1; done
  local kind=networks controller=$NET.1 host
  host=$(hostname)
  if ! networks 2>"$D/log/networks"; then
    remove_networks
    kind=plain controller=127.0.0.1
  fi
  local base=$(( 20000 + $(cksum <<<"$D" | cut -d' ' -f1) % 20000 ))
  cat > "$D/slurm.conf" <<C
ClusterName=t
SlurmctldHost=$host($controller)
SlurmctldPort=$base
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CredType=cred/munge
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/ctld.pid
SlurmdPidFile=$D/run/slurmd.%n.pid
SlurmctldLogFile=$D/log/ctld.log
SlurmdLogFile=$D/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$D/log/jobcomp.txt
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdTimeout=6
KillWait=5
MinJobAge=600
MaxArraySize=\${MAX_ARRAY:-1001}
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverTimeLimit=0
C
  sed -i "s/\\\${MAX_ARRAY:-1001}/${MAX_ARRAY:-1001}/" "$D/slurm.conf"
  for n in $NODES; do
    if [ $kind = networks ]; then
      echo "NodeName=n$n NodeAddr=$NET.1$n CPUs=2 RealMemory=4000" >> "$D/slurm.conf"
    else
      echo "NodeName=n$n NodeHostname=$host NodeAddr=127.0.0.1 Port=$((base + n)) CPUs=2 RealMemory=4000" >> "$D/slurm.conf"
    fi
  done
  export SLURM_CONF=$D/slurm.conf
  slurmctld -f "$SLURM_CONF"
  for n in $NODES; do
    if [ $kind = networks ]; then
      # Not `ip netns exec`: it mounts /sys anew, and slurmd does not find its cgroups.
      nsenter --net="/run/netns/$TAG-$n" unshare --uts sh -c "hostname n$n; exec slurmd -f $SLURM_CONF -N n$n"
    else
      slurmd -f "$SLURM_CONF" -N "n$n"
    fi
  done
  for _ in $(seq 100); do [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 3 ] && break; sleep 0.1; done
  [ "$(sinfo -h -t idle -o %D)" = 3 ] || { echo "the nodes did not come up, see $D/log" >&2; exit 1; }
  echo $kind
}

stop() {
  export SLURM_CONF=$D/slurm.conf
  timeout 10 scancel --user="$(id -un)" 2>/dev/null || true
  for pid in "$D"/run/*.pid; do [ -f "$pid" ] && kill -9 "$(cat "$pid")" 2>/dev/null || true; done
  remove_networks
}

case $1 in
  start) start ;;
  stop) stop ;;
  down) ip link set "$TAG.$3" down ;;
  up) ip link set "$TAG.$3" up ;;
  *) sed -n '2,9p' "$0"; exit 64 ;;
esac
