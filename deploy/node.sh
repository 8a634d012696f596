#!/bin/sh
# What a machine of a cluster does: node.sh COMMAND. The `ray up` files call nothing else.
#
#   setup           builds .venv from requirements.lock, or leaves it where it is up to date
#   setup-cloud     the same on a new Ubuntu machine, with a Python of its own and what deploy/requirements.txt adds
#   head            keeps Redis running, then starts Ray's head
#   worker          joins the head at $RAY_HEAD_IP
#   run COMMAND...  a command of .venv on the head, with the token's mode and the address of Redis in its environment:
#                   node.sh run twoclips train half-cheetah --address auto
#   stop-redis      ends Redis; its files stay in ~/.twoclips/redis, and `head` starts it on them again
#
# Secrets are files in ~/.twoclips (secrets.sh) and ~/.ray/auth_token. They reach programs by the environment or by a
# file's name, never as an argument, which every user of the machine can read.
set -eu
cd "$(dirname "$0")/.."
. deploy/cluster.env
state=$HOME/.twoclips
export RAY_AUTH_MODE=token
export PATH="$PWD/.venv/bin:$PATH"

own_address() { # that by which the head is reached; on the head itself the machine's first
    if [ -n "${RAY_HEAD_IP:-}" ]; then
        ip -o route get "$RAY_HEAD_IP" | sed 's/.* src \([^ ]*\).*/\1/'
    else
        hostname -I | cut -d ' ' -f 1
    fi
}

redis_runs() { # by its title: after a reboot another process may have its number
    grep -qs -- "-server 127.0.0.1:$REDIS_PORT" "/proc/$(cat "$state/redis/redis.pid" 2>/dev/null)/cmdline"
}

start_redis() {
    deploy/secrets.sh "$state"
    mkdir -p "$state/redis"
    redis_runs && return
    server=$(.venv/bin/python -P -c 'from cluster.redis_server import find_server; print(find_server())')
    # on the first address this machine reaches it, on the second the others
    "$server" "$PWD/deploy/redis.conf" --port "$REDIS_PORT" --bind 127.0.0.1 "$(own_address)" \
        --dir "$state/redis" --aclfile "$state/users.acl" --logfile "$state/redis/redis.log" \
        --pidfile "$state/redis/redis.pid" --daemonize yes
}

setup() { # the arguments are for make
    make "$@" .venv/.ready
    # for `ray down`, which calls `ray stop` by its name alone, and for whoever logs in
    grep -qsF "$PWD/.venv/bin" "$HOME/.bashrc" ||
        echo "export RAY_AUTH_MODE=token PATH=\"$PWD/.venv/bin:\$PATH\"" >>"$HOME/.bashrc"
}

case ${1:-} in
setup) setup ;;
setup-cloud)
    # all nodes of a cluster need one version of Python, whatever their images have
    sudo apt-get -o DPkg::Lock::Timeout=300 -qq update
    sudo DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq install -y \
        --no-install-recommends make python3-venv libegl1
    python="$HOME/.python"
    if [ ! -x "$python/bin/python" ]; then
        python3 -m venv "$HOME/.uv"
        "$HOME/.uv/bin/pip" install --quiet "uv==$UV_VERSION"
        "$HOME/.uv/bin/uv" venv --quiet --seed --python "$PYTHON_VERSION" "$python"
    fi
    setup PYTHON="$python/bin/python"
    .venv/bin/pip install --quiet -r deploy/requirements.txt
    ;;
head)
    start_redis
    ulimit -n 65536 2>/dev/null || true
    exec ray start --head --node-ip-address "$(own_address)" --port "$RAY_PORT" --dashboard-host 127.0.0.1 \
        --dashboard-port "$DASHBOARD_PORT" --disable-usage-stats --autoscaling-config "$HOME/ray_bootstrap_config.yaml"
    ;;
worker)
    ulimit -n 65536 2>/dev/null || true
    exec ray start --address "$RAY_HEAD_IP:$RAY_PORT" --node-ip-address "$(own_address)"
    ;;
run)
    shift
    address=$(own_address):$REDIS_PORT
    TWOCLIPS_REDIS="redis://driver:$(cat "$state/driver.password")@$address"
    TWOCLIPS_REDIS_REWARD="redis://reward:$(cat "$state/reward.password")@$address"
    export TWOCLIPS_REDIS TWOCLIPS_REDIS_REWARD
    exec "$@"
    ;;
stop-redis)
    if redis_runs; then kill "$(cat "$state/redis/redis.pid")"; fi
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
