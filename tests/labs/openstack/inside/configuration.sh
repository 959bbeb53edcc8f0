# Sourced by init.sh: all configuration files, written to /lab/etc at each start. Of the chroot's own /etc, only the paste files and
# policies of the packages are used.
message_queue=rabbit://guest:guest@127.0.0.1:5672/
database() { echo "mysql+pymysql://lab:lab@127.0.0.1:13306/$1?charset=utf8"; }

# Credentials of the service user $1, for calls of other services.
service_user() {
    cat <<END
auth_type = password
auth_url = http://$API:5000/
project_domain_name = Default
user_domain_name = Default
region_name = RegionOne
project_name = service
username = $1
password = secret
END
}

# The same for checks of tokens.
token_check() {
    cat <<END
[keystone_authtoken]
www_authenticate_uri = http://$API:5000/
service_token_roles_required = true
$(service_user "$1")
END
}

# Under uwsgi, heartbeats are only sent during requests, and RabbitMQ would close the idle connection after a minute.
no_heartbeats() { printf '[oslo_messaging_rabbit]\nheartbeat_timeout_threshold = 0\n'; }

# Keystone is the service that most requests reach: bcrypt in few rounds, and a cache in its one process, which pickles: of the other
# backend, Keystone itself changes the objects.
cat >etc/keystone.conf <<END
[DEFAULT]
log_dir = /lab/log
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory_pickle
expiration_time = 60
[database]
connection = $(database keystone)
[token]
provider = fernet
[fernet_tokens]
key_repository = /lab/etc/fernet-keys
[credential]
key_repository = /lab/etc/credential-keys
[fernet_receipts]
key_repository = /lab/etc/fernet-keys
END
cat >etc/glance-api.conf <<END
[DEFAULT]
log_file = /lab/log/glance-api.log
bind_host = $API
bind_port = 9292
workers = 1
enabled_backends = file:file
enabled_import_methods = [glance-direct,web-download]
node_staging_uri = file:///lab/glance-staging
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = /lab/images
[os_glance_staging_store]
filesystem_store_datadir = /lab/glance-staging
[os_glance_tasks_store]
filesystem_store_datadir = /lab/glance-tasks
[database]
connection = $(database glance)
[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini
$(token_check glance)
END
cat >etc/placement.conf <<END
[DEFAULT]
log_dir = /lab/log
[api]
auth_strategy = keystone
[placement_database]
connection = $(database placement)
$(token_check placement)
END
# nova's WSGI scripts look for it beside nova.conf, and answer 500 without it.
cp /etc/nova/api-paste.ini etc/
cat >etc/nova.conf <<END
[DEFAULT]
my_ip = $API
host = lab1
log_dir = /lab/log
state_path = /lab/nova
transport_url = $message_queue
enabled_apis = osapi_compute
reserved_host_memory_mb = 512
reserved_host_disk_mb = 2048
cpu_allocation_ratio = 16
ram_allocation_ratio = 1.0
default_schedule_zone = nova
allow_resize_to_same_host = true
[api]
auth_strategy = keystone
[wsgi]
api_paste_config = /etc/nova/api-paste.ini
[api_database]
connection = $(database nova_api)
[database]
connection = $(database nova)
$(no_heartbeats)
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 10
[filter_scheduler]
enabled_filters = AvailabilityZoneFilter,ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,ServerGroupAntiAffinityFilter,ServerGroupAffinityFilter
[oslo_concurrency]
lock_path = /lab/nova/lock
[vnc]
enabled = false
[serial_console]
enabled = true
base_url = ws://$API:6083/
serialproxy_host = $API
proxyclient_address = 127.0.0.1
[glance]
api_servers = http://$API:9292
[placement]
$(service_user placement)
[neutron]
$(service_user neutron)
service_metadata_proxy = true
metadata_proxy_shared_secret = lab
[cinder]
catalog_info = volumev3::publicURL
$(service_user nova)
[service_user]
send_service_user_token = true
$(service_user nova)
$(token_check nova)
END
# One real hypervisor (zone "nova"), and hosts with nova's fake driver (zone "fake") for tests of placement.
cat >etc/nova-compute-lab1.conf <<END
[DEFAULT]
host = lab1
compute_driver = libvirt.LibvirtDriver
[libvirt]
virt_type = qemu
cpu_mode = custom
cpu_models = Nehalem
inject_partition = -2
images_type = qcow2
wait_soft_reboot_seconds = 20
[serial_console]
enabled = true
base_url = ws://$API:6083/
proxyclient_address = 127.0.0.1
port_range = 10000:10999
[workarounds]
skip_cpu_compare_on_dest = true
skip_cpu_compare_at_startup = true
[nova_sys_admin]
helper_command = privsep-helper --config-file /lab/etc/nova.conf
[vif_plug_linux_bridge_privileged]
helper_command = privsep-helper --config-file /lab/etc/nova.conf
[privsep_osbrick]
helper_command = privsep-helper --config-file /lab/etc/nova.conf
END
for number in $(seq 2 $((1 + FAKE_HOSTS))); do
    mkdir -p "nova-lab$number/instances"
    cat >"etc/nova-compute-lab$number.conf" <<END
[DEFAULT]
host = lab$number
state_path = /lab/nova-lab$number
compute_driver = fakecompute.FakeComputeDriver
sync_power_state_interval = -1
END
done
cat >etc/neutron.conf <<END
[DEFAULT]
host = lab1
log_dir = /lab/log
bind_host = $API
bind_port = 9696
state_path = /lab/neutron
transport_url = $message_queue
core_plugin = ml2
service_plugins = router,port_forwarding
api_paste_config = /etc/neutron/api-paste.ini
api_workers = 1
rpc_workers = 1
rpc_state_report_workers = 0
allow_overlapping_ips = true
notify_nova_on_port_status_changes = true
notify_nova_on_port_data_changes = true
dhcp_agents_per_network = 1
$(no_heartbeats)
[experimental]
linuxbridge = true
[database]
connection = $(database neutron)
[oslo_concurrency]
lock_path = /lab/neutron/lock
[agent]
root_helper = env
[nova]
$(service_user nova)
[placement]
$(service_user placement)
$(token_check neutron)
END
cat >etc/ml2_conf.ini <<END
[ml2]
type_drivers = flat,vxlan,local
tenant_network_types = vxlan
mechanism_drivers = linuxbridge,l2population,fakehosts
extension_drivers = port_security
[ml2_type_flat]
flat_networks = public,campus
[ml2_type_vxlan]
vni_ranges = 1000:1099
[securitygroup]
enable_security_group = true
enable_ipset = true
firewall_driver = iptables
END
cat >etc/linuxbridge_agent.ini <<END
[linux_bridge]
bridge_mappings = public:br-ex
physical_interface_mappings = campus:up-campus
[vxlan]
enable_vxlan = true
local_ip = $API
l2_population = true
[securitygroup]
firewall_driver = iptables
enable_security_group = true
enable_ipset = true
END
cat >etc/l3_agent.ini <<END
[DEFAULT]
interface_driver = linuxbridge
END
cat >etc/dhcp_agent.ini <<END
[DEFAULT]
interface_driver = linuxbridge
enable_isolated_metadata = true
END
cat >etc/metadata_agent.ini <<END
[DEFAULT]
nova_metadata_host = $API
metadata_proxy_shared_secret = lab
metadata_workers = 1
END
printf 'NODENAME=rabbit@localhost\nNODE_IP_ADDRESS=127.0.0.1\n' >etc/rabbitmq-env.conf
echo 'listeners.tcp.1 = 127.0.0.1:5672' >etc/rabbitmq.conf
echo '[].' >etc/enabled_plugins
# The lab's own libvirtd: as root, without cgroups and namespaces, and without authentication, because nothing outside sees its socket.
cat >/etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
END
cat >/etc/libvirt/libvirtd.conf <<'END'
unix_sock_group = "root"
auth_unix_ro = "none"
auth_unix_rw = "none"
END
. inside/volumes_configuration.sh
