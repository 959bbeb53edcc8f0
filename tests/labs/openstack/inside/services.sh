# Sourced by init.sh: the hypervisor, the APIs and agents, and at the first start flavors, networks and the image.
background virtlogd virtlogd
background libvirtd libvirtd

background glance glance-api --config-file etc/glance-api.conf
OS_PLACEMENT_CONFIG_DIR=/lab/etc wsgi placement 8778 /usr/bin/placement-api 1 8
OS_NOVA_CONFIG_DIR=/lab/etc wsgi nova-api 8774 /usr/bin/nova-api-wsgi 3 1
OS_NOVA_CONFIG_DIR=/lab/etc wsgi nova-metadata 8775 /usr/bin/nova-metadata-wsgi 2 1
background neutron neutron-server --config-file etc/neutron.conf --config-file etc/ml2_conf.ini
background nova-conductor nova-conductor --config-file etc/nova.conf
background nova-scheduler nova-scheduler --config-file etc/nova.conf
background nova-serialproxy module_main nova.cmd.serialproxy --config-file etc/nova.conf
cat >etc/cinder-wsgi.py <<'PYTHON'
import sys
sys.argv = ["cinder-api", "--config-file", "/lab/etc/cinder.conf"]
from cinder.wsgi.wsgi import initialize_application
application = initialize_application()
PYTHON
wsgi cinder 8776 /lab/etc/cinder-wsgi.py 2 1
background cinder-scheduler module_main cinder.cmd.scheduler --config-file /lab/etc/cinder.conf --log-file cinder-scheduler.log
background cinder-volume module_main cinder.cmd.volume --config-file /lab/etc/cinder.conf --log-file cinder-volume.log
for port in 9292 8778 8774 8775 9696 8776; do wait_for_port "$port"; done
for path in 5000/v3 9292/ 8778/ 8774/ 8775/ 9696/; do check_answer "$path"; done
say "APIs answer"

agent() { background "$1" "$1" --config-file etc/neutron.conf --config-file "etc/$2.ini"; }
agent neutron-linuxbridge-agent linuxbridge_agent
agent neutron-dhcp-agent dhcp_agent
agent neutron-l3-agent l3_agent
agent neutron-metadata-agent metadata_agent

# nova takes drivers from nova.virt only.
cat >run/nova-compute <<'PYTHON'
#!/usr/bin/python3
import sys
from nova.cmd.compute import main
import fakecompute
sys.modules["nova.virt.fakecompute"] = fakecompute
main()
PYTHON
chmod 755 run/nova-compute
for number in $(seq 1 $((1 + FAKE_HOSTS))); do
    background "nova-compute-lab$number" run/nova-compute --log-file "nova-compute-lab$number.log" \
        --config-file /lab/etc/nova.conf --config-file "/lab/etc/nova-compute-lab$number.conf"
done
python3 inside/seed.py wait || die "agents or hypervisors do not start"
say "agents and hypervisors are up"
nova_manage cell_v2 discover_hosts >log/discover.log 2>&1
[ -e seeded ] || { python3 inside/seed.py site && touch seeded; } || die "flavors, networks or image"
