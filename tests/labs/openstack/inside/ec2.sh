# Sourced by init.sh: OpenStack's ec2-api on port 8788, and the API of cinder on 8776, because ec2-api asks for volumes whenever it
# describes instances. There is no volume service: the state of volumes becomes "error".
. inside/ec2_configuration.sh

# Debian's packages of the commands would bring further services; the modules are enough.
module_main() {
    local module=$1
    shift
    python3 -c "import sys; from $module import main; sys.argv[0] = '$module'; main()" "$@"
}

if [ ! -e ec2-databases-made ]; then
    module_main cinder.cmd.manage --config-file /lab/etc/cinder.conf db sync >log/sync-cinder.log 2>&1 &
    cinder=$!
    PYTHONPATH=/lab/inside/plugins:/lab-ec2 module_main ec2api.cmd.manage --config-file /lab/etc/ec2api.conf db_sync >log/sync-ec2.log 2>&1 ||
        die "database of the EC2 API"
    wait "$cinder" || die "cinder's database"
    touch ec2-databases-made
fi
cat >etc/cinder-wsgi.py <<'PYTHON'
import sys
sys.argv = ["cinder-api", "--config-file", "/lab/etc/cinder.conf"]
from cinder.wsgi.wsgi import initialize_application
application = initialize_application()
PYTHON
wsgi cinder 8776 /lab/etc/cinder-wsgi.py 2 1
PYTHONPATH=/lab/inside/plugins:/lab-ec2 background ec2-api module_main ec2api.cmd.api --config-file /lab/etc/ec2api.conf
wait_for_port 8776
wait_for_port 8788
say "EC2 API answers"
