# Sourced by init.sh: both networks of this network namespace, each with an uplink to the machine outside. Nothing is forwarded.
ip link set lo up
echo 0 >/proc/sys/net/ipv4/ip_forward
ip link add br-ex type bridge
ip link set up-ex master br-ex
ip address add "$API/24" dev br-ex
# nova plugs servers into a bridge that it names after their network. neutron's agent moves the uplink and its address there.
ip address add "$CAMPUS_NET.1/24" dev up-campus
for interface in up-ex up-campus br-ex; do ip link set "$interface" up; done

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
