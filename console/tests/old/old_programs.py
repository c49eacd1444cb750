#!/usr/bin/env python3
"""Programs of the C++ Lars, written from docs/COMPAT.md alone: a caller, an agent, a dns.

Usage: old_programs.py caller LARS DATA GARBAGE PORT PORT PORT
       old_programs.py agent DNS_PORT MODID CMDID
       old_programs.py dns PORT MODID.CMDID=IP:PORT,IP:PORT ...

`caller` goes through its scenarios against a running `lars up --compat` and prints one line for each that came true. `agent`
asks for a module and prints a line for each route that it hears. `dns` serves fixed routes until its input ends.
Needs nothing but Python.
"""

import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

GET_ROUTE, ROUTE, STATUS, GET_HOST, HOST, REPORT, CALLER_GET_ROUTE, CALLER_ROUTE = range(1, 9)
OK, OVERLOADED, SYSTEM, NOT_FOUND = range(4)
# A test's limit; a real caller waits without one.
PATIENCE = 10.0


# Protobuf: varints, and fields that are one varint or some bytes.


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def integer(field, number):
    return varint(field << 3) + varint(number) if number else b""


def nested(field, body):
    return varint(field << 3 | 2) + varint(len(body)) + body


def read_varint(body, place):
    number = shift = 0
    while True:
        byte = body[place]
        place += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, place


def fields(body):
    place = 0
    while place < len(body):
        key, place = read_varint(body, place)
        if key & 7 == 0:
            value, place = read_varint(body, place)
        elif key & 7 == 2:
            length, place = read_varint(body, place)
            value, place = body[place : place + length], place + length
        else:
            raise ValueError(f"wire type {key & 7}")
        yield key >> 3, value


def int32(number):
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number >= 1 << 31 else number


# Messages.


def ip_number(text):
    return int32(int.from_bytes(socket.inet_aton(text), "big"))


def ip_text(number):
    return socket.inet_ntoa((number & 0xFFFFFFFF).to_bytes(4, "big"))


def host_body(node):
    ip, port = node.split(":")
    return integer(1, ip_number(ip)) + integer(2, int(port))


def read_host(body):
    found = dict(fields(body))
    return f"{ip_text(found.get(1, 0))}:{found.get(2, 0)}"


def frame(number, body):
    return struct.pack("<ii", number, len(body)) + body


def read_route(body):
    modid = cmdid = 0
    nodes = []
    for field, value in fields(body):
        if field == 1:
            modid = int32(value)
        elif field == 2:
            cmdid = int32(value)
        elif field == 3:
            nodes.append(read_host(value))
    return modid, cmdid, nodes


def module_body(module, first=1):
    return integer(first, module[0]) + integer(first + 1, module[1])


class Caller:
    """A caller: it sends a module to one of three ports, and waits for the answer with its own sequence."""

    def __init__(self, ports):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE)
        self.ports, self.seq = ports, 0

    def send(self, module, datagram):
        self.socket.sendto(datagram, ("127.0.0.1", self.ports[sum(module) % 3]))

    def receive(self, wanted):
        datagram = self.socket.recv(70_000)
        number, length = struct.unpack("<ii", datagram[:8])
        assert (number, length) == (wanted, len(datagram) - 8), (number, length, len(datagram))
        return datagram[8:]

    def get_host(self, module):
        self.seq = self.seq + 1 & 0xFFFFFFFF
        self.send(module, frame(GET_HOST, integer(1, self.seq) + module_body(module, 2)))
        while True:
            found = dict(fields(self.receive(HOST)))
            # Answers to older questions are passed over.
            if found.get(1, 0) == self.seq:
                break
        assert (found.get(2, 0), found.get(3, 0)) == module
        code = found.get(4, 0)
        return code, read_host(found[5]) if 5 in found else None

    def get_route(self, module):
        self.send(module, frame(CALLER_GET_ROUTE, module_body(module)))
        modid, cmdid, nodes = read_route(self.receive(CALLER_ROUTE))
        assert (modid, cmdid) == module
        return nodes

    def register(self, module):
        """As callers do it: up to three times, 50 ms apart, until the list is not empty."""
        for _ in range(3):
            nodes = self.get_route(module)
            if nodes:
                return nodes
            time.sleep(0.05)
        return []

    def report(self, module, node, retcode):
        body = module_body(module) + nested(3, host_body(node)) + integer(4, retcode)
        self.send(module, frame(REPORT, body))

    def picks(self, module, count):
        found = {}
        for _ in range(count):
            code, node = self.get_host(module)
            key = node if code == OK else code
            found[key] = found.get(key, 0) + 1
        return found


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.005)


class CallerScenarios:
    def __init__(self, lars, data, garbage, ports):
        self.lars, self.data, self.garbage = lars, data, garbage
        self.seed = int(os.environ.get("LARS_SEED", random.randrange(1 << 32)))
        self.ports, self.caller = ports, Caller(ports)

    def route(self, verb, module, node):
        command = [self.lars, "route", verb, str(module[0]), str(module[1]), node, "--data", self.data]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def added(self, module, nodes):
        for node in nodes:
            self.route("add", module, node)
        until("registered", lambda: sorted(self.caller.register(module)) == sorted(nodes))

    def registration(self):
        module = (1, 1)
        assert self.caller.get_host(module) == (NOT_FOUND, None)
        self.route("add", module, "10.0.0.1:7777")
        assert until("registered", lambda: self.caller.register(module)) == ["10.0.0.1:7777"]
        assert self.caller.get_host(module) == (OK, "10.0.0.1:7777")
        # A high address is negative on the wire.
        self.added((1, 11), ["192.168.0.1:80"])
        assert self.caller.get_host((1, 11)) == (OK, "192.168.0.1:80")
        assert self.caller.get_host((0, 0)) == (NOT_FOUND, None)

    def round_robin(self):
        module, nodes = (1, 2), ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]
        self.added(module, nodes)
        assert self.caller.picks(module, 30) == dict.fromkeys(nodes, 10)
        order = [self.caller.get_host(module)[1] for _ in range(6)]
        assert order[:3] == order[3:] and sorted(order[:3]) == nodes, order
        # Any port serves any module.
        for shift in (1, 2):
            other = Caller(self.ports[shift:] + self.ports[:shift])
            assert other.picks(module, 30) == dict.fromkeys(nodes, 10)

    def overload_and_recovery(self):
        module, good, bad = (1, 3), "10.0.0.1:1", "10.0.0.2:1"
        self.added(module, [good, bad])
        for _ in range(14):
            self.caller.report(module, bad, 1)
        assert self.caller.picks(module, 110)[bad] == 55
        self.caller.report(module, bad, 1)
        until("overloaded after 15 failures running", lambda: self.caller.picks(module, 110).get(bad) == 10)
        for _ in range(15):
            self.caller.report(module, bad, 0)
        until("back after 15 successes running", lambda: self.caller.picks(module, 110).get(bad) == 55)
        for node in (good, bad):
            for _ in range(15):
                self.caller.report(module, node, 1)
        until("all are overloaded", lambda: self.caller.picks(module, 22).get(OVERLOADED) == 20)

    def removal(self):
        module, nodes = (1, 4), ["10.0.0.1:1", "10.0.0.2:1"]
        self.added(module, nodes)
        self.route("remove", module, nodes[0])
        until("one is left", lambda: self.caller.picks(module, 10) == {nodes[1]: 10})
        assert self.caller.get_route(module) == [nodes[1]]
        self.route("remove", module, nodes[1])
        until("none is left", lambda: self.caller.get_host(module) == (NOT_FOUND, None))
        assert self.caller.get_route(module) == []

    def ten_thousand_nodes(self):
        module = (1, 5)
        nodes = [f"10.1.{place // 250}.{place % 250 + 1}:80" for place in range(10_000)]
        rows = ",".join(f'{{"modid": 1, "cmdid": 5, "node": "{node}"}}' for node in nodes)
        command = [self.lars, "route", "import", "-", "--data", self.data]
        subprocess.run(command, input=f"[{rows}]".encode(), check=True, stdout=subprocess.DEVNULL)
        cut = until("registered", lambda: self.caller.register(module))
        # As many as a datagram holds, the first ones, the same each time.
        assert 5_456 <= len(cut) < 10_000 and cut == nodes[: len(cut)], len(cut)
        assert self.caller.get_route(module) == cut
        # Picks know them all.
        assert set(self.caller.picks(module, 10_000)) == set(nodes)

    def wrong_seq(self):
        module = (1, 6)
        self.added(module, ["10.0.0.1:1"])
        # Two questions whose answers nobody waited for: the next answer is found behind them.
        for seq in (1_000_000, 0):
            self.caller.send(module, frame(GET_HOST, integer(1, seq) + module_body(module, 2)))
        assert self.caller.get_host(module) == (OK, "10.0.0.1:1")
        self.caller.seq = 0xFFFFFFFE
        assert self.caller.get_host(module) == (OK, "10.0.0.1:1")

    def random_datagrams(self):
        module = (1, 7)
        self.added(module, ["10.0.0.1:1"])
        # Two who send it: the one must hear nothing. What the other sends may by chance be a question; it does not
        # read what answers that.
        other, wild = Caller(self.ports), Caller(self.ports)
        random.seed(self.seed)
        print("seed:", self.seed, file=sys.stderr, flush=True)
        for place in range(self.garbage):
            body = random.randbytes(random.randrange(40))
            kind = place % 5
            if kind == 0:
                datagram = body
            elif kind == 1:
                # A length that is wrong.
                length = random.choice([-(1 << 31), -1, len(body) - 1, len(body) + 1, 65_527, (1 << 31) - 1])
                datagram = struct.pack("<ii", random.randrange(10), length) + body
            elif kind == 2:
                # A good frame of what is not answered.
                datagram = frame(random.choice([0, 1, 2, 3, 5, 6, 8, 9, -1, 1 << 30]), body)
            elif kind == 3:
                wild.send((0, place), frame(random.choice([GET_HOST, CALLER_GET_ROUTE]), body))
                continue
            else:
                # A question whose body is cut in the middle of a number.
                datagram = frame(random.choice([GET_HOST, CALLER_GET_ROUTE]), b"\x08" + b"\xff" * 3)
            other.socket.sendto(datagram, ("127.0.0.1", self.ports[place % 3]))
            if place % 100 == 0:
                assert self.caller.get_host(module) == (OK, "10.0.0.1:1"), place
                assert self.caller.get_route(module) == ["10.0.0.1:1"], place
        other.socket.settimeout(0.2)
        try:
            raise AssertionError(other.socket.recv(100))
        except socket.timeout:
            pass

    def run(self):
        for scenario in (
            self.registration,
            self.round_robin,
            self.overload_and_recovery,
            self.removal,
            self.ten_thousand_nodes,
            self.wrong_seq,
            self.random_datagrams,
        ):
            scenario()
            print("came true:", scenario.__name__, flush=True)


def read_frame(stream):
    def exactly(count):
        data = b""
        while len(data) < count:
            more = stream.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    number, length = struct.unpack("<ii", exactly(8))
    return number, exactly(length)


def agent(port, module):
    """Asks once, then hears."""
    stream = socket.create_connection(("127.0.0.1", port))
    stream.sendall(frame(GET_ROUTE, module_body(module)))
    while True:
        number, body = read_frame(stream)
        assert number == ROUTE, number
        modid, cmdid, nodes = read_route(body)
        print(f"{modid}.{cmdid}", *sorted(nodes), flush=True)


def dns(port, routes):
    """Serves fixed routes."""
    listener = socket.create_server(("127.0.0.1", port))
    print("listening", flush=True)

    def serve(stream):
        try:
            while True:
                number, body = read_frame(stream)
                found = dict(fields(body))
                module = (int32(found.get(1, 0)), int32(found.get(2, 0)))
                hosts = b"".join(nested(3, host_body(node)) for node in routes.get(module, []))
                if number == GET_ROUTE:
                    stream.sendall(frame(ROUTE, module_body(module) + hosts))
        except (EOFError, OSError):
            stream.close()

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


def module_of(text):
    modid, cmdid = text.split(".")
    return int(modid), int(cmdid)


def main(what, *rest):
    if what == "caller":
        lars, data, garbage, *ports = rest
        CallerScenarios(lars, data, int(garbage), [int(port) for port in ports]).run()
    elif what == "agent":
        port, modid, cmdid = map(int, rest)
        agent(port, (modid, cmdid))
    elif what == "dns":
        port, *given = rest
        routes = {}
        for text in given:
            module, nodes = text.split("=")
            routes[module_of(module)] = nodes.split(",")
        dns(int(port), routes)
    else:
        raise SystemExit(__doc__)


main(*sys.argv[1:])
