#!/bin/sh
# Makes a cluster's secrets, once: secrets.sh FOLDER [TEMPLATE]
#
#   ray_token                      who has it may run anything on the cluster
#   driver.password, reward.password, pages.password, admin.password      of the users of Redis, one a role
#   grafana.password               of Grafana's user admin
#   users.acl                      users.acl of this folder with the passwords' digests: what Redis reads
#
# Files that are there are kept; only their owner can read them. Nothing is printed. To change a password, remove its
# file and run this again, then restart Redis.
set -eu
umask 077
folder=${1:?'where to? secrets.sh FOLDER'}
template=${2:-$(dirname "$0")/users.acl}
mkdir -p "$folder"

secret() { # a file with 256 random bits in hexadecimal digits, unless it is there
    [ -s "$folder/$1" ] || head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$folder/$1"
}

secret ray_token
secret grafana.password
cp "$template" "$folder/users.acl"
for role in driver reward pages admin; do
    secret "$role.password"
    digest=$(sha256sum <"$folder/$role.password" | cut -d ' ' -f 1)
    sed "s/@$role@/$digest/" "$folder/users.acl" >"$folder/users.acl.new"
    mv "$folder/users.acl.new" "$folder/users.acl"
done
