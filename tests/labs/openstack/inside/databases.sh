# Sourced by init.sh: database, message queue and keystone; at the first start also the content of all databases.
new=
[ -e databases-made ] || new=yes # a first start that was interrupted begins again
if [ "$new" ]; then
    rm -rf mysql rabbit/*
    mkdir -p mysql
    chown mysql mysql
    mariadb-install-db --no-defaults --user=mysql --datadir=/lab/mysql --skip-test-db >log/mysql-install.log 2>&1
fi
# Durability is not required: only an orderly stop keeps the data.
background mysql mariadbd --no-defaults --user=mysql --datadir=/lab/mysql --socket=/lab/run/mysql.sock --pid-file=/lab/run/mysql.pid \
    --bind-address=127.0.0.1 --port=13306 --max-connections=800 --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync \
    --innodb-doublewrite=0 --innodb-buffer-pool-size=128M --performance-schema=OFF

chown -R rabbitmq rabbit
chown rabbitmq log
ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_CONF_ENV_FILE=/lab/etc/rabbitmq-env.conf RABBITMQ_CONFIG_FILE=/lab/etc/rabbitmq \
    RABBITMQ_ENABLED_PLUGINS_FILE=/lab/etc/enabled_plugins RABBITMQ_MNESIA_BASE=/lab/rabbit RABBITMQ_LOG_BASE=/lab/log \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +S 1:1' background rabbit rabbitmq-server
wait_for_port 13306 127.0.0.1
say "database answers"

create_databases() {
    local name
    for name in keystone glance placement nova nova_api nova_cell0 neutron cinder ec2api; do
        echo "create database $name character set utf8;"
    done
    for name in "lab@'127.0.0.1'" lab@localhost; do
        echo "create user $name identified by 'lab'; grant all on *.* to $name;"
    done
}

fill_nova() {
    OS_PLACEMENT_CONFIG_DIR=/lab/etc placement-manage --config-file etc/placement.conf db sync &&
        nova_manage api_db sync && nova_manage cell_v2 map_cell0 && nova_manage db sync && nova_manage cell_v2 create_cell --name cell1
}
nova_manage() { nova-manage --config-file /lab/etc/nova.conf "$@"; }

fill_keystone() {
    local keys url=http://$API:5000/v3/
    mkdir -p etc/fernet-keys etc/credential-keys
    chmod 700 etc/*-keys
    keystone-manage --config-file etc/keystone.conf db_sync || return
    for keys in fernet_setup credential_setup; do
        keystone-manage --config-file etc/keystone.conf "$keys" --keystone-user root --keystone-group root || return
    done
    keystone-manage --config-file etc/keystone.conf bootstrap --bootstrap-password secret --bootstrap-region-id RegionOne \
        --bootstrap-admin-url "$url" --bootstrap-internal-url "$url" --bootstrap-public-url "$url"
}

if [ "$new" ]; then
    create_databases | mariadb --no-defaults -S run/mysql.sock || die "databases cannot be created"
    glance-manage --config-file etc/glance-api.conf db_sync >log/sync-glance.log 2>&1 &
    glance=$!
    neutron-db-manage --config-file etc/neutron.conf --config-file etc/ml2_conf.ini upgrade heads >log/sync-neutron.log 2>&1 &
    neutron=$!
    fill_nova >log/sync-nova.log 2>&1 &
    nova=$!
    module_main cinder.cmd.manage --config-file /lab/etc/cinder.conf db sync >log/sync-cinder.log 2>&1 &
    cinder=$!
    fill_keystone >log/sync-keystone.log 2>&1 || die "keystone's database"
    say "keystone's database"
fi
OS_KEYSTONE_CONFIG_DIR=/lab/etc wsgi keystone 5000 /usr/bin/keystone-wsgi-public 1 8
if [ "$new" ]; then
    wait "$glance" || die "glance's database"
    wait "$neutron" || die "neutron's database"
    wait "$nova" || die "nova's databases"
    wait "$cinder" || die "cinder's database"
    say "all databases"
    wait_for_port 5000
    python3 inside/seed.py identity || die "users and endpoints"
    touch databases-made
    say "users and endpoints"
fi
wait_for_port 5672 127.0.0.1
say "message queue answers"
