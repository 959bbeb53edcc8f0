#!/usr/bin/env bash
# Process 1 of the lab's pid namespace, in the chroot: starts everything, creates /lab/run/ready, and waits. All ends with it.
#
#   API, NET, CAMPUS_NET   address of all APIs (gateway of the external network), and both networks without their last number
#   FAKE_HOSTS, EC2        number of hypervisors with nova's fake driver; 1: with the EC2 API
cd /lab || exit 1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
export PYTHONPATH=/lab/inside/plugins PYTHONWARNINGS=ignore

say() { printf '%4d s %s\n' "$SECONDS" "$*"; }
die() {
    say "FAILED: $*. Logs are in the chroot, in /lab/log."
    echo "$*" >run/failed
    exit 1
}

# Starts the command $2… in the background; its output is in the log $1.
background() {
    local log=$1
    shift
    "$@" >"log/$log.out" 2>&1 &
}

# Runs the function main of the module $1: Debian's packages of some commands would bring further services.
module_main() {
    local module=$1
    shift
    python3 -c "import sys; from $module import main; sys.argv[0] = '$module'; main()" "$@"
}

# Waits until the port $1 of the address $2 is open.
wait_for_port() {
    for _ in $(seq 1500); do
        (exec 3<>"/dev/tcp/${2:-$API}/$1") 2>/dev/null && return
        sleep 0.2
    done
    die "port $1 did not open"
}

# Runs a WSGI script: name, port, script, processes, threads. nova is eventlet code: in a process with several threads, the answer to
# an RPC call is read in a loop of another thread, which may sleep, and calls hang by chance. It needs one thread per process.
wsgi() {
    cat >"etc/$1-uwsgi.ini" <<INI
[uwsgi]
plugins = python3
master = true
die-on-term = true
lazy-apps = true
enable-threads = true
processes = $4
threads = $5
buffer-size = 65535
http-socket = $API:$2
add-header = Connection: close
logto = /lab/log/$1-uwsgi.log
wsgi-manage-chunked-input = true
wsgi-file = $3
INI
    uwsgi --ini "etc/$1-uwsgi.ini" >/dev/null 2>&1 &
}

# An application that does not load answers 500 for ever.
check_answer() {
    local code=000
    for _ in $(seq 300); do
        code=$(curl -s -o /dev/null -m 60 -w '%{http_code}' "http://$API:$1")
        [ "$code" = 000 ] || break
        sleep 0.2
    done
    case $code in 2* | 3*) ;; *) die "http://$API:$1 answers $code" ;; esac
}

mkdir -p etc run log images glance-staging glance-tasks nova/instances neutron rabbit
chmod 1777 run
rm -f run/ready run/failed
. inside/configuration.sh
. inside/network.sh
. inside/databases.sh
. inside/services.sh
[ "$EC2" = 0 ] || . inside/ec2.sh

say "ready"
touch run/ready
wait
