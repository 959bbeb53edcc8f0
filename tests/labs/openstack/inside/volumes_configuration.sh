# Sourced by configuration.sh: cinder, with the lab's own driver for volumes, which keeps them as files: this kernel has neither
# device-mapper nor iSCSI. nova attaches them as files of an NFS share, because its driver for these can also grow a volume in use.
mkdir -p cinder volumes
cat >etc/cinder.conf <<END
[DEFAULT]
host = lab1
my_ip = $API
log_dir = /lab/log
transport_url = $message_queue
api_paste_config = /lab/etc/cinder-api-paste.ini
auth_strategy = keystone
state_path = /lab/cinder
rootwrap_config = /dev/null
glance_api_servers = http://$API:9292
enabled_backends = files
$(no_heartbeats)
[files]
volume_backend_name = files
volume_driver = filevolumes.FileVolumeDriver
[database]
connection = $(database cinder)
[oslo_concurrency]
lock_path = /lab/cinder
[nova]
interface = public
$(service_user cinder)
$(token_check cinder)
END
cat >etc/cinder-api-paste.ini <<END
[composite:osapi_volume]
use = call:cinder.api:root_app_factory
/: apiversions
/v3: openstack_volume_api_v3
[pipeline:apiversions]
pipeline = faultwrap osvolumeversionapp
[app:osvolumeversionapp]
paste.app_factory = cinder.api.versions:Versions.factory
[composite:openstack_volume_api_v3]
use = call:cinder.api.middleware.auth:pipeline_factory
noauth = request_id osprofiler cors faultwrap sizelimit noauth apiv3
noauth_include_project_id = faultwrap sizelimit noauth_include_project_id apiv3
keystone = faultwrap sizelimit authtoken keystonecontext apiv3
keystone_nolimit = faultwrap sizelimit authtoken keystonecontext apiv3
[filter:faultwrap]
paste.filter_factory = cinder.api.middleware.fault:FaultWrapper.factory
[filter:sizelimit]
paste.filter_factory = oslo_middleware.sizelimit:RequestBodySizeLimiter.factory
[filter:keystonecontext]
paste.filter_factory = cinder.api.middleware.auth:CinderKeystoneContext.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
[app:apiv3]
paste.app_factory = cinder.api.v3.router:APIRouter.factory
END
# The "share" is a directory of this machine.
cat >/usr/sbin/mount.nfs <<'HELPER'
#!/bin/sh
exec mount --bind "${1#*:}" "$2"
HELPER
chmod 755 /usr/sbin/mount.nfs
