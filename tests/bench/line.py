"""A long line to a server near by:  line.py TARGET_PORT [--mbit 20] [--rtt-ms 80] [--drop-every S]

Listens on a free port of loopback (its number is the first line of output) and passes connections on.
Each connection gets so many Mbit/s in each direction and so long a way there and back; opening one
takes a round trip too. With --drop-every, all connections are reset every so many seconds, the first
time after --drop-first seconds; new ones are accepted at once. SIGUSR1 sets that clock to zero.

Linux has this in its kernel (netem), where a machine allows it; this needs no rights.
"""

import argparse
import asyncio
import collections
import signal
import socket
import struct
import time

PIECE = 16 * 1024


class Lane:
    """One direction: takes bytes at the line's rate, gives them out after the line's delay."""

    def __init__(self, source, sink, rate, delay_s, first_s):
        self.source, self.sink, self.rate, self.delay_s = source, sink, rate, delay_s
        self.free_at = time.monotonic() + first_s
        self.pieces = collections.deque()
        self.more = asyncio.Event()

    async def take(self):
        loop = asyncio.get_running_loop()
        while True:
            wait = self.free_at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            try:  # what is there already only waited for us: the line was not idle, however late we are
                data = self.source.recv(PIECE)
            except BlockingIOError:
                data = await loop.sock_recv(self.source, PIECE)
                self.free_at = max(self.free_at, time.monotonic())
            self.free_at += len(data) / self.rate
            self.pieces.append((self.free_at + self.delay_s, data))
            self.more.set()
            if not data:
                return

    async def give(self):
        loop = asyncio.get_running_loop()
        while True:
            if not self.pieces:
                self.more.clear()
                await self.more.wait()
            due, data = self.pieces.popleft()
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if not data:
                return
            await loop.sock_sendall(self.sink, data)


class Line:
    def __init__(self, options):
        self.options = options
        self.rate = options.mbit * 1e6 / 8
        self.connections = set()  # tasks
        self.begin = time.monotonic()

    async def connection(self, near):
        loop = asyncio.get_running_loop()
        far = socket.socket()
        far.setblocking(False)
        way = self.options.rtt_ms / 2000
        jobs = []
        try:
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(far, ("127.0.0.1", self.options.target))
            there = Lane(near, far, self.rate, way, 2 * way)
            back = Lane(far, near, self.rate, way, 0)
            jobs = [asyncio.ensure_future(job)
                    for job in (there.give(), back.give(), there.take(), back.take())]
            # Whoever closes first closes both: no uploader half-closes.
            await asyncio.wait(jobs[:2], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for sock in (near, far):  # a reset, not an orderly end
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            near.close()
            far.close()

    async def drop_now_and_then(self):
        due = self.options.drop_first
        begin = self.begin
        while True:
            await asyncio.sleep(0.05)
            if begin != self.begin:
                begin, due = self.begin, self.options.drop_first
            if time.monotonic() - begin >= due:
                due += self.options.drop_every
                for task in list(self.connections):
                    task.cancel()

    def restart(self):
        self.begin = time.monotonic()

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.restart)
        door = socket.socket()
        # A window of about what is under way on such a line, so that nobody sends far ahead of it.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        door.bind(("127.0.0.1", 0))
        door.listen(128)
        door.setblocking(False)
        print(door.getsockname()[1], flush=True)
        if self.options.drop_every:
            self.dropper = asyncio.ensure_future(self.drop_now_and_then())
        while True:
            near, _ = await loop.sock_accept(door)
            near.setblocking(False)
            task = asyncio.ensure_future(self.connection(near))
            self.connections.add(task)
            task.add_done_callback(self.connections.discard)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target", type=int)
    parser.add_argument("--mbit", type=float, default=20)
    parser.add_argument("--rtt-ms", type=float, default=80)
    parser.add_argument("--drop-every", type=float, default=0)
    parser.add_argument("--drop-first", type=float, default=0)
    asyncio.run(Line(parser.parse_args()).run())


if __name__ == "__main__":
    main()
