"""A server whose answers take a known time: it says how long each took by its own clock. Standard library alone.

`python calibrate_server.py DELAY_MS` prints its port, answers every request on 127.0.0.1 after DELAY_MS, and ends
when its standard input does. Body of an answer: ns from the kernel's stamp of the request to just before its sending.
"""

from __future__ import annotations

import heapq
import select
import socket
import struct
import sys
import time

_TIMESTAMPS = 35 if sys.platform == "linux" else 0
"""SO_TIMESTAMPNS, where there is one."""
_WAIT_S = 10.0


def main() -> None:
    """Serve until the end of standard input."""
    delay_ns = round(float(sys.argv[1]) * 1e6)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - what its owner reads
    clients: set[socket.socket] = set()
    open_answers: list[tuple[int, int, int, socket.socket]] = []  # due, number, received, whose
    number = 0
    while True:
        wait_s = max(0.0, (open_answers[0][0] - time.time_ns()) / 1e9) if open_answers else _WAIT_S
        ready, _, _ = select.select([sys.stdin, listener, *clients], [], [], wait_s)
        if sys.stdin in ready:
            return
        if listener in ready:
            clients.add(_accepted(listener))
        for client in clients.intersection(ready):
            received = _received(client)
            if not received:
                clients.discard(client)
                client.close()
                continue
            number += 1
            heapq.heappush(open_answers, (received + delay_ns, number, received, client))
        while open_answers and open_answers[0][0] <= time.time_ns():
            _, _, received, client = heapq.heappop(open_answers)
            if client in clients:
                _answer(client, received)


def _accepted(listener: socket.socket) -> socket.socket:
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if _TIMESTAMPS:
        client.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
    return client


def _received(client: socket.socket) -> int:
    """When the request in the socket came in (UTC ns); 0 where the client closed."""
    try:
        if not _TIMESTAMPS:
            return time.time_ns() if client.recv(4096) else 0
        data, ancillary, _, _ = client.recvmsg(4096, socket.CMSG_SPACE(16))
    except OSError:
        return 0
    if not data:
        return 0
    if not ancillary:  # the kernel begins to stamp a moment after the first socket asks for it
        return time.time_ns()
    seconds, rest = struct.unpack("qq", ancillary[0][2])
    return int(seconds) * 1_000_000_000 + int(rest)


def _answer(client: socket.socket, received_ns: int) -> None:
    known = b"%015d" % (time.time_ns() - received_ns)
    try:
        client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + known)
    except OSError:
        client.close()


if __name__ == "__main__":
    main()
