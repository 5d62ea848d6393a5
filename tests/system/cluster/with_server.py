"""python -m cluster.with_server COMMAND…: runs a command with a PostgreSQL server of its own.

`HOOKYARD_TEST_POSTGRES` is its URL. The server ends with the command.
"""

import os
import shutil
import subprocess
import sys

from cluster.harness import scratch
from cluster.postgres import Server
from proxies import free_port


def main(command):
    folder = scratch()
    # Tests run in parallel, with a store or two each.
    server = Server("tests", folder, free_port(), max_connections=400)
    try:
        server.create()
        server.start()
        url = f"postgres://postgres@127.0.0.1:{server.port}/postgres"
        return subprocess.run(command, env=os.environ | {"HOOKYARD_TEST_POSTGRES": url}).returncode
    finally:
        server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
