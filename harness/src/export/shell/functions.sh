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
