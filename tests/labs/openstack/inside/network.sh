# Sourced by init.sh: bridges of this network namespace, each with an uplink to the machine outside. Nothing is forwarded.
ip link set lo up
echo 0 >/proc/sys/net/ipv4/ip_forward
while read -r bridge uplink address; do
    ip link add "$bridge" type bridge
    ip link set "$uplink" master "$bridge"
    ip link set "$uplink" up
    ip address add "$address/24" dev "$bridge"
    ip link set "$bridge" up
done <<BRIDGES
br-ex up-ex $API
br-campus up-campus $CAMPUS_NET.1
BRIDGES

# ebtables over nf_tables cannot delete a rule with --among-src. neutron's agent does that whenever a port is set up again (stop and
# start, reboot, resize), and after the error it begins again for ever, so that no later port becomes active. The rule that remains
# allows the same MAC address.
cat >/usr/local/sbin/ebtables <<'WRAPPER'
#!/bin/sh
/usr/sbin/ebtables "$@"
code=$?
case " $* " in *" -D "*among-src*) exit 0 ;; esac
exit $code
WRAPPER
chmod 755 /usr/local/sbin/ebtables
