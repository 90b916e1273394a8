#!/usr/bin/env bash
# Installs the Debian packages that tests use if they are there. Without them these tests are skipped, and say why.
#
#   scripts/ci_packages.sh           installs what is missing; needs root
#   scripts/ci_packages.sh --list    prints the names
set -euo pipefail

packages=(
    openssh-server openssh-client # hosts of a cluster
    iproute2 procps               # their network and processes
    openmpi-bin libopenmpi-dev    # mpirun, and Horovod with MPI
    slurm-wlm munge               # Slurm
    debootstrap                   # the image's steps in a chroot
    ccache                        # nothing is compiled twice that has not changed
    chromium-headless-shell       # the page of awsdet serve; 96 MB to fetch, 306 MB on disk
)

case ${1:-} in
    --list) printf '%s\n' "${packages[@]}" && exit ;;
    "") ;;
    *) echo "$0: unknown argument $1" >&2 && exit 2 ;;
esac
missing=()
for package in "${packages[@]}"; do
    # The status has three words: the package may also be removed with its configuration left behind.
    [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "$0: not root, so ${missing[*]} stay missing; their tests are skipped" >&2
    exit 0
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get -qq update && apt-get -qq install --no-install-recommends "${missing[@]}" >/dev/null; }; then
    echo "$0: ${missing[*]} could not be installed (apt-get's message is above); their tests are skipped" >&2
fi
