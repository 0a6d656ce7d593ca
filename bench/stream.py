"""`python -m bench.stream PORT DIR`: sends a tree, as tar in zstd, to whoever connects."""

from __future__ import annotations

import socket
import subprocess
import sys


def main() -> int:
    port, directory = int(sys.argv[1]), sys.argv[2]
    tar = 'tar --numeric-owner --acls --xattrs --xattrs-include="*" -C "$0" -c . | zstd -q -3'
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                subprocess.run(
                    ["sh", "-c", tar, directory], stdout=connection.fileno(), check=False
                )


if __name__ == "__main__":
    sys.exit(main())
