"""Many connections on the loopback, served by way of select."""
import select
import socket
import torment

COUNT = 40


def serve(listener):
    connections, served = [], 0
    while served < COUNT:
        for one in select.select([listener] + connections, [], [], 20)[0]:
            if one is listener:
                connections.append(listener.accept()[0])
                continue
            data = one.recv(4096)
            if data:
                one.sendall(data.upper())
            else:
                connections.remove(one)
                one.close()
                served += 1


def talk(address, number):
    crowd = [socket.create_connection(address, 20) for _ in range(COUNT // 4)]
    for turn in range(10):
        for one in crowd:
            one.sendall('line %d of %d\n' % (turn, number))
        for one in crowd:
            expected = 'LINE %d OF %d\n' % (turn, number)
            got = ''
            while len(got) < len(expected):
                got += one.recv(4096)
            torment.check(got == expected, 'got %r' % got)
    for one in crowd:
        one.close()


def work():
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    listener.listen(COUNT)
    address = listener.getsockname()
    torment.crowd(5, lambda number: number and talk(address, number) or number == 0 and serve(listener))
    listener.close()


torment.steady(work)
