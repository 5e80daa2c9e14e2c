#!/bin/sh
# A file unlinked through the bind that is then lazily unmounted.
#
# As root: unshare -m sh deleted_unlinked_tmpfs_rdwr_whole.sh DIR
# It prints its PID and stops itself. Continued (kill -CONT PID), also after a checkpoint and
# a restore, it checks itself, and exits with 0, or with 1 and says what differs.
# Exported by zdtm-detached from the scenario deleted/unlinked@tmpfs,rdwr,whole.
held='3'
facts='mode %f, links %h, owner %u:%g, device %t:%T'

failed=

fail() {
	echo "FAIL: $*" >&2
	failed=1
}

# The path of a held object.
path() {
	case $1 in cwd | root) echo "/proc/$$/$1" ;; *) echo "/proc/$$/fd/$1" ;; esac
}

mount_of() {
	sed -n 's/^mnt_id:[[:space:]]*//p' "/proc/$$/fdinfo/$1"
}

visible() {
	grep -q "^$(mount_of "$1") " "/proc/$$/mountinfo"
}

# Everything that must be the same of all objects.
look() {
	for one in $held; do
		object=$(path "$one")
		echo "$one: link $(readlink "$object")"
		stat -L -c "$facts" "$object"
		[ ! -f "$object" ] || echo "content $(sha256sum <"$object")"
		case $one in cwd | root) continue ;; esac
		grep -E '^(pos|flags):' "/proc/$$/fdinfo/$one"
		if visible "$one"; then echo visible; else echo 'not in mountinfo'; fi
		for other in $held; do
			case $other in cwd | root) continue ;; esac
			[ "$(mount_of "$one")" != "$(mount_of "$other")" ] || echo "on one mount with $other"
			[ ! "$object" -ef "$(path "$other")" ] || echo "one file with $other"
		done
	done
}

# What a path leads to from an object: the link, or the error.
reached() {
	if error=$(LC_ALL=C stat -L "$(path "$1")/$2" 2>&1 >/dev/null); then
		(exec 9<"$(path "$1")/$2" && readlink /proc/self/fd/9)
	else
		echo "${error##*: }"
	fi
}

# holds CLAIM TEST...
holds() {
	claim=$1
	shift
	"$@" || fail "not so: $claim"
}

not() {
	! "$@"
}

# contains OBJECT FORMAT: exactly these bytes.
contains() {
	# shellcheck disable=SC2059 # every byte of the content is in the format
	printf "$2" | cmp -s - "$(path "$1")"
}

[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir "$1" && cd "$1" && top=$(pwd -P) || exit 2
shift
set -e
# mount tmpfs a
[ -e "$top"/'a' ] || mkdir "$top"/'a'
mount -t tmpfs tmpfs "$top"/'a'
# write a/f "hello"
printf 'hello' >"$top"/'a/f'
# bind a b
[ -e "$top"/'b' ] || if [ -d "$top"/'a' ]; then mkdir "$top"/'b'; else : >"$top"/'b'; fi
mount --bind "$top"/'a' "$top"/'b'
# fd0 = open b/f rdwr
exec 3<>"$top"/'b/f'
# unlink b/f
unlink "$top"/'b/f'
# umount-lazy b
umount -l "$top"/'b'
set +e

claims() {
	holds 'assert fd0 detached' not visible 3
	holds 'assert fd0 link "/f (deleted)"' [ "$(readlink "$(path 3)")" = '/f (deleted)' ]
	holds 'assert fd0 links 0' [ "$(stat -L -c %h "$(path 3)")" = 0 ]
	holds 'assert fd0 content "hello"' contains 3 'hello'
	:
}

claims
before=$(look)
[ -z "$failed" ] || exit 1
echo $$
kill -STOP $$

after=$(look)
[ "$before" = "$after" ] || fail "was:
$before
is:
$after"
claims
exit ${failed:-0}
