# Sourced by init.sh: OpenStack's ec2-api on port 8788.
. inside/ec2_configuration.sh

if [ ! -e ec2-databases-made ]; then
    PYTHONPATH=/lab/inside/plugins:/lab-ec2 module_main ec2api.cmd.manage --config-file /lab/etc/ec2api.conf db_sync >log/sync-ec2.log 2>&1 ||
        die "database of the EC2 API"
    touch ec2-databases-made
fi
PYTHONPATH=/lab/inside/plugins:/lab-ec2 background ec2-api module_main ec2api.cmd.api --config-file /lab/etc/ec2api.conf
wait_for_port 8788
say "EC2 API answers"
