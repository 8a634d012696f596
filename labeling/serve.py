"""Serves the labeling pages of one run until it is told to end: `python -m labeling.serve --help`.

`twoclips train --labeler human` and `twoclips label` start it; more of them may be started by hand beside one Redis,
since it keeps nothing between two requests.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket

import uvicorn

from labeling.server import PoolConfig, make_app
from reward_service.address import REDIS_VARIABLE
from reward_service.client import connect


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", help=f"address of the run's Redis [default: what {REDIS_VARIABLE} says]")
    parser.add_argument("--run-id", required=True, help="name of the run in Redis (the file run_id of its folder)")
    parser.add_argument("--task", required=True, help="the run's task")
    parser.add_argument("--lease-s", type=float, default=60.0, help="seconds that a pair waits for its answer")
    parser.add_argument("--host", default="127.0.0.1", help="address; beyond this machine's own only with invites")
    parser.add_argument("--name", action="append", default=[], help="host name of a proxy before it; may be repeated")
    parser.add_argument("--fd", type=int, help="descriptor of a listening socket to serve on")
    parser.add_argument("--port", type=int, default=8765, help="port, where there is no --fd")
    given = parser.parse_args()
    address = given.redis or os.environ.get(REDIS_VARIABLE)
    if not address:
        parser.error(f"where is the run's Redis? give --redis, or set {REDIS_VARIABLE}")
    logging.getLogger("uvicorn.access").disabled = True
    config = PoolConfig(given.run_id, given.task, lease_s=given.lease_s)
    for name in (given.host, *given.name):
        config = config.reached_at(name)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(config, connect(address)),
            host=given.host,
            port=given.port,
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,  # people answer every few seconds: their connections should last that long
            timeout_graceful_shutdown=2,
        )
    )
    server.run(sockets=None if given.fd is None else [socket.socket(fileno=given.fd)])


if __name__ == "__main__":
    main()
