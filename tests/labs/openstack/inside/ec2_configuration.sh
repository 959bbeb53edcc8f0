# Sourced by ec2.sh: configuration of ec2-api.
cat >etc/ec2api.conf <<END
[DEFAULT]
log_dir = /lab/log
log_file = ec2api.log
state_path = /lab/ec2
ec2api_listen = $API
ec2api_listen_port = 8788
ec2api_workers = 1
api_paste_config = /lab/etc/ec2-api-paste.ini
keystone_ec2_tokens_url = http://$API:5000/v3/ec2tokens
external_network = public
my_ip = $API
ec2_host = $API
disable_ec2_classic = true
default_flavor = tiny
[database]
connection = mysql+pymysql://lab:lab@127.0.0.1:13306/ec2api?charset=utf8
[oslo_concurrency]
lock_path = /lab/ec2
[keystone_authtoken]
www_authenticate_uri = http://$API:5000/
auth_url = http://$API:5000/v3
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = ec2api
password = secret
END
mkdir -p ec2
cat >etc/ec2-api-paste.ini <<'END'
[composite:ec2api]
use = egg:Paste#urlmap
/: ec2apicloud
[composite:ec2apicloud]
use = call:ec2api.api.auth:pipeline_factory
keystone = ec2apifaultwrap logrequest ec2apikeystoneauth cloudrequest ec2apiexecutor
[filter:ec2apifaultwrap]
paste.filter_factory = ec2api.api:FaultWrapper.factory
[filter:logrequest]
paste.filter_factory = ec2api.api:RequestLogging.factory
[filter:ec2apikeystoneauth]
paste.filter_factory = ec2api.api:EC2KeystoneAuth.factory
[filter:cloudrequest]
paste.filter_factory = ec2api.api:Requestify.factory
[app:ec2apiexecutor]
paste.app_factory = ec2api.api:Executor.factory
END
