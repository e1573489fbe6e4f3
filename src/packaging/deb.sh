#!/usr/bin/env bash
# Usage: deb.sh [PROGRAM [DIRECTORY]]
#
# Makes loadbalancer_VERSION_ARCH.deb in DIRECTORY (default target) from PROGRAM, by default the
# release build. Needs cargo, dpkg-deb, binutils and gzip; uses no network once the crates are there.
set -euo pipefail
cd "$(dirname "$0")/../.."

program=${1:-}
directory=${2:-target}
if [ -z "$program" ]; then
    cargo build --release --locked
    program=${CARGO_TARGET_DIR:-target}/release/loadbalancer
fi
version=$("$program" -V | cut -d ' ' -f 2)
architecture=$(dpkg --print-architecture)
maintainer=${DEBFULLNAME:-The loadbalancer authors}
maintainer="$maintainer <${DEBEMAIL:-loadbalancer@packages.invalid}>"
# What makes two builds of one source equal, byte for byte.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
share=$root/usr/share
install -D -m 755 -s "$program" "$root/usr/bin/loadbalancer"
install -D -m 644 src/packaging/loadbalancer.service "$root/lib/systemd/system/loadbalancer.service"
install -D -m 644 src/packaging/loadbalancer@.service \
    "$root/lib/systemd/system/loadbalancer@.service"
install -D -m 644 src/packaging/default "$root/etc/default/loadbalancer"
install -D -m 644 src/packaging/logrotate "$root/etc/logrotate.d/loadbalancer"

install -d "$share/man/man1" "$share/bash-completion/completions" \
    "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d" "$share/doc/loadbalancer"
"$program" --man | gzip -9n > "$share/man/man1/loadbalancer.1.gz"
"$program" --completions bash > "$share/bash-completion/completions/loadbalancer"
"$program" --completions zsh > "$share/zsh/vendor-completions/_loadbalancer"
"$program" --completions fish > "$share/fish/vendor_completions.d/loadbalancer.fish"

{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n'
    printf 'Files: *\nCopyright: %s\nLicense: MIT\n' "$(sed -n 's/^Copyright (c) //p' LICENSE)"
    sed -e '1,/^Copyright/d' LICENSE | sed -e '/./,$!d' -e 's/^$/./' -e 's/^/ /'
} > "$share/doc/loadbalancer/copyright"
{
    printf 'loadbalancer (%s) unstable; urgency=medium\n\n  * See /usr/share/doc/loadbalancer.\n\n' \
        "$version"
    printf ' -- %s  %s\n' "$maintainer" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n > "$share/doc/loadbalancer/changelog.gz"
find "$root" -type f ! -path '*/bin/*' -exec chmod 644 {} +

install -d "$root/DEBIAN"
printf '/etc/default/loadbalancer\n/etc/logrotate.d/loadbalancer\n' > "$root/DEBIAN/conffiles"
# The C library is the only one it needs; the version is that of the symbols it uses.
libc=$(objdump -T "$program" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -V | tail -1)
cat > "$root/DEBIAN/control" <<END
Package: loadbalancer
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Section: net
Priority: optional
Depends: libc6 (>= ${libc:-2.28}), libgcc-s1
Suggests: logrotate
Installed-Size: $(du -ks "$root/usr" | cut -f 1)
Description: load balancer you just run, without a configuration file
 It balances HTTP request by request, or TCP connection by connection, over
 the servers of its command line or of a list file. It checks their health,
 retries what may be retried, queues what is too much, and logs in one line
 what happened and why.
END
# Nothing is started: the command line is still that of the example. What runs goes on after an
# upgrade. DPKG_ROOT: as when another system's packages are installed.
cat > "$root/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
END
cat > "$root/DEBIAN/prerm" <<'END'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    systemctl stop loadbalancer.service 'loadbalancer@*.service' || true
fi
END
cat > "$root/DEBIAN/postrm" <<'END'
#!/bin/sh
set -e
root=${DPKG_ROOT:-}
if [ "$1" = remove ]; then
    # What `systemctl enable` made; not for a unit of the administrator's own.
    for link in "$root"/etc/systemd/system/*.wants/loadbalancer.service \
        "$root"/etc/systemd/system/*.wants/loadbalancer@*.service; do
        case $(readlink "$link" || true) in
            /lib/systemd/system/* | /usr/lib/systemd/system/*) rm -f "$link" ;;
        esac
    done
fi
if [ "$1" = purge ]; then
    # The second is where systemd keeps the logs of a service with DynamicUser.
    rm -rf "$root/var/log/loadbalancer" "$root/var/log/private/loadbalancer"
fi
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
END
chmod 755 "$root/DEBIAN/"{postinst,prerm,postrm}

package=$directory/loadbalancer_${version}_$architecture.deb
mkdir -p "$directory"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
printf '%s\n' "$package"
