"""Users in the guest: a script that creates, changes and removes accounts, and the table that it reads.

The script is idempotent, and runs at the end of the first boot, after packages were installed, and after every live update. It
changes only accounts that it created, which it lists in a file of its own. Its optional argument is a directory to use instead of
``/``, for tests: accounts are then changed in the files below ``etc`` there.
"""

from collections.abc import Iterable

from pragmaspec.frozen import Frozen
from pragmaspec.guest.guest_file import ROOT_ONLY, GuestFile
from pragmaspec.guest.setup.scripts import NodeSetup, SetupScript, run_with_failure_noted, script_file, unit_file

USERS = SetupScript(
    name="pragmaspec-users",
    description="Users of this cluster",
    ordering=("After=local-fs.target", "Before=ssh.service sshd.service"),
)
USERS_TABLE = "/etc/pragmaspec/users"

USERS_SCRIPT_TEXT = f"""\
#!/bin/sh
# Written by pragmaspec: creates, changes and removes the users in {USERS_TABLE}.
set -u
umask 022
root=${{1-}}
table=$root{USERS_TABLE}
own=$root/var/lib/pragmaspec/users
begin='# pragmaspec: keys of the spec'
end='# pragmaspec: end'
status=0
attempted=

fail() {{
  echo "pragmaspec-users: $1" >&2
  status=1
}}

field() {{
  awk -F: -v name="$1" -v number="$2" '$1 == name {{ print $number; exit }}' "$root/etc/passwd"
}}

has() {{
  [ -z "$root" ] && command -v "$1" >/dev/null
}}

# Replaces a file of accounts without a moment in which it is incomplete.
edit() {{
  file=$root/etc/$1
  if [ ! -e "$file" ]; then return 0; fi
  cp -p "$file" "$file.pragmaspec" && cat >"$file.pragmaspec" && mv -f "$file.pragmaspec" "$file"
}}

create() {{
  name=$1 uid=$2 shell=$3
  if awk -F: -v uid="$uid" '$3 == uid {{ found = 1 }} END {{ exit !found }}' "$root/etc/passwd"; then
    fail "user $name cannot be created: another account has the uid $uid"
    return 1
  fi
  if has useradd; then
    useradd -U -m -u "$uid" -s "$shell" -p '*' "$name" || {{ fail "user $name cannot be created"; return 1; }}
    return
  fi
  {{ cat "$root/etc/group"; echo "$name:x:$uid:"; }} | edit group
  if [ -e "$root/etc/shadow" ]; then {{ cat "$root/etc/shadow"; echo "$name:*:19000:0:99999:7:::"; }} | edit shadow; fi
  {{ cat "$root/etc/passwd"; echo "$name:x:$uid:$uid::/home/$name:$shell"; }} | edit passwd
  if [ ! -d "$root/home/$name" ]; then
    mkdir -p "$root/home"
    mkdir -m 0755 "$root/home/$name" && chown "$uid:$uid" "$root/home/$name"
  fi
}}

remove() {{
  name=$1 number=$(field "$1" 3)
  rm -f "$root/etc/sudoers.d/pragmaspec-$name"
  if [ -z "$number" ]; then return; fi
  if has pkill; then pkill -KILL -u "$number"; fi
  if has userdel; then
    userdel -f "$name" 2>/dev/null || fail "user $name cannot be removed"
    if has groupdel && grep -q "^$name:" /etc/group; then groupdel "$name" 2>/dev/null; fi
    return
  fi
  for file in passwd shadow group; do
    if [ -e "$root/etc/$file" ]; then grep -v "^$name:" "$root/etc/$file" | edit "$file"; fi
  done
}}

# Runs as the user, whose directories could otherwise redirect what root writes.
write_keys='
umask 077
mkdir -p "$1/.ssh" || exit 1
file=$1/.ssh/authorized_keys
others=$(sed "/^$2\\$/,/^$3\\$/d" "$file" 2>/dev/null)
keys=$(cat)
{{ if [ -n "$others" ]; then echo "$others"; fi; echo "$2"; echo "$keys"; echo "$3"; }} >"$file.new" && mv -f "$file.new" "$file"
'

authorize() {{
  name=$1 keys=$2 home=$(field "$1" 6)
  if has runuser; then
    echo "$keys" | runuser -u "$name" -- sh -c "$write_keys" sh "$home" "$begin" "$end"
  elif [ -L "$root$home" ] || [ -L "$root$home/.ssh" ] || [ -L "$root$home/.ssh/authorized_keys" ]; then
    echo "a directory is a link" >&2
    false
  else
    echo "$keys" | sh -c "$write_keys" sh "$root$home" "$begin" "$end" &&
      chown -R "$(field "$name" 3):$(field "$name" 4)" "$root$home/.ssh"
  fi || fail "the keys of user $name cannot be written"
}}

# Images for clusters often lack sudo, because root can log in. One attempt is enough for all users.
install_sudo() {{
  if [ -n "$attempted" ]; then return 1; fi
  attempted=yes
  if has apt-get; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -o DPkg::Lock::Timeout=60 update
    apt-get -q -o DPkg::Lock::Timeout=60 -y --no-install-recommends install sudo
  elif has dnf; then
    dnf -q -y install sudo
  elif has yum; then
    yum -q -y install sudo
  elif has zypper; then
    zypper -q -n install sudo
  elif has apk; then
    apk -q add sudo
  fi </dev/null >&2
  [ -d "$root/etc/sudoers.d" ]
}}

set_sudo() {{
  name=$1 rule=$root/etc/sudoers.d/pragmaspec-$1
  if [ "$2" != sudo ]; then
    rm -f "$rule"
  elif [ ! -d "$root/etc/sudoers.d" ] && ! install_sudo; then
    fail "user $name cannot have sudo: the image lacks the package sudo, and it cannot be installed now; add it to packages"
  else
    (umask 0337 && echo "$name ALL=(ALL) NOPASSWD: ALL" >"$rule.new" && mv -f "$rule.new" "$rule")
  fi
}}

set_up() {{
  name=$1 uid=$2 sudo=$3 shell=$4
  if [ "$shell" = - ]; then if [ -x "$root/bin/bash" ]; then shell=/bin/bash; else shell=/bin/sh; fi; fi
  now=$(field "$name" 3)
  if [ -n "$now" ] && ! grep -qx "$name" "$own"; then
    fail "user $name is left alone: an account of that name exists, which pragmaspec has not created"
    return
  fi
  if [ -n "$now" ] && [ "$now" != "$uid" ]; then remove "$name"; now=; fi
  if [ -z "$now" ]; then
    echo "$name" >>"$own"
    create "$name" "$uid" "$shell" || return
    if [ -d "$root/home/$name" ] && [ "$(stat -c %u "$root/home/$name")" != "$uid" ]; then
      chown -R "$uid:$uid" "$root/home/$name"
    fi
  elif [ "$(field "$name" 7)" != "$shell" ]; then
    awk -F: -v OFS=: -v name="$name" -v shell="$shell" '$1 == name {{ $7 = shell }} {{ print }}' "$root/etc/passwd" | edit passwd
  fi
  set_sudo "$name" "$sudo"
  authorize "$name" "$(awk -v name="$name" '$1 == "user" {{ on = $2 == name; next }} on {{ sub(/^key /, ""); print }}' "$table")"
}}

if [ ! -r "$table" ]; then exit 0; fi
mkdir -p "${{own%/*}}" && touch "$own"
for name in $(sort -u "$own"); do
  if ! grep -q "^user $name " "$table"; then remove "$name"; fi
done
while read -r kind name uid sudo shell; do
  if [ "$kind" = user ]; then set_up "$name" "$uid" "$sudo" "$shell" </dev/null; fi
done <"$table"
for name in $(sort -u "$own"); do if [ -n "$(field "$name" 3)" ]; then echo "$name"; fi; done >"$own.new"
mv -f "$own.new" "$own"
exit $status
"""


class ClusterUser(Frozen, frozen=True):
    """A user of all nodes of a cluster. ``login_shell`` None: bash, or sh where there is none."""

    name: str
    uid: int
    ssh_keys: tuple[str, ...]
    sudo: bool = False
    login_shell: str | None = None


def users_setup(users: tuple[ClusterUser, ...]) -> NodeSetup | None:
    """Return the setup of ``users``, or None if there are none."""
    if not users:
        return None
    files = (users_table_file(users), script_file(USERS, USERS_SCRIPT_TEXT), unit_file(USERS))
    return NodeSetup(script=USERS, files=files, written=files, run_command=run_with_failure_noted(USERS))


def users_table_file(users: Iterable[ClusterUser]) -> GuestFile:
    """Return the table of ``users``."""
    return GuestFile(path=USERS_TABLE, mode=ROOT_ONLY, content=users_table(users))


def users_table(users: Iterable[ClusterUser]) -> str:
    """Return the table: a line ``user NAME UID sudo|- SHELL|-`` per user, followed by a line ``key LINE`` per key."""
    return "".join(
        f"user {user.name} {user.uid} {'sudo' if user.sudo else '-'} {user.login_shell or '-'}\n"
        + "".join(f"key {line}\n" for key in user.ssh_keys for line in key.splitlines() if line.strip())
        for user in sorted(users, key=lambda user: user.name)
    )
