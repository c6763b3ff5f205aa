"""Has secrets in variables, lines of source, its command line and that of a child.

usage: secrets.py [ARGUMENT...]

Every secret has `rosebud` in it; every value that is none has `daylight`. Prints `child PID`, then `ready`;
ends with status 7 once it has read a line.
"""

import collections
import subprocess
import sys
import threading

Creds = collections.namedtuple('Creds', 'user password note')


class Derived(Creds):
    """A named tuple of a class of its own."""


class Header(object):
    def __init__(self, name, value):
        self.name = name
        self.value = value
        self.shown = 'daylight'


class Account(object):
    def __init__(self):
        self.owner = 'daylight'
        self.jwt = 'rosebud'
        self.apiKey = u'rosebud'
        self.url = 'postgres://u:rosebud@h/db'


def wait(event, password=None, where=None):
    event.wait(1000)


def holds(event):
    pw = 'rosebud'
    auth = ('user', 'rosebud')
    otp = 'rosebud'
    bearer = u'rosebud'
    session = 'rosebud'
    key = 'a3f5c9e1rosebud7d4f607'
    api_key = 'rosebud'
    pair = ('password', 'rosebud')
    headers = [('Authorization', 'rosebud'), ('Accept', 'daylight')]
    lists = [['X-Api-Key', 'rosebud'], ['Accept', 'daylight']]
    entry = Creds('daylight', 'rosebud', 'daylight')
    derived = Derived('daylight', 'rosebud', 'daylight')
    named = {'name': 'password', 'value': 'rosebud', 'shown': 'daylight'}
    of_json = {u'key': u'api_token', u'value': u'rosebud', u'shown': u'daylight'}
    header = Header('Authorization', 'rosebud')
    plain = Header('Accept', 'daylight')
    account = Account()
    dsn = 'host=daylight password=rosebud user=daylight'
    address = 'https://daylight/?token=rosebud&page=daylight'
    arguments = ['mysql', '--password', 'rosebud', '--user', 'daylight']
    joined = ['mysql', '--password=rosebud', '--user=daylight']
    environment = ['DB_PASSWORD=rosebud', 'HOME=daylight']
    variables = {'AWS_SECRET_ACCESS_KEY': 'rosebud', 'PWD': '/daylight'}
    bearing = 'Bearer rosebud'
    token_of_web = 'eyJrosebudx.eyJzdWIiOiIx.rosebud'
    pem = '-----BEGIN RSA PRIVATE KEY-----\nrosebud\n-----END RSA PRIVATE KEY-----'
    of_hub = 'ghp_rosebud0123456789ab'
    # No secrets.
    author, monkey, keys, token_count = 'daylight', 'daylight', ['daylight'], 'daylight'
    fields = ('username', 'password', 'daylight')
    cache_key, password_file = 'user:daylight', '/run/daylight'
    wait(event, password='rosebud', where='daylight')
    return locals()


class Shows(object):
    """What its own repr says."""

    def __repr__(self):
        return "<Shows password='rosebud' at daylight, postgres://u:rosebud@h>"


def main():
    event = threading.Event()
    thread = threading.Thread(target=holds, args=(event,))
    thread.setDaemon(True)
    thread.start()
    code = 'import time; time.sleep(1000)'
    child = subprocess.Popen([sys.executable, '-c', code, '--password=rosebud', 'daylight'])
    waiter = threading.Thread(target=child.wait)
    waiter.setDaemon(True)
    waiter.start()
    shows = Shows()
    sys.stdout.write('child %d\nready\n' % child.pid)
    sys.stdout.flush()
    line = sys.stdin.readline()
    child.kill()
    # A thread that wakes up while the interpreter ends would complain.
    event.set()
    thread.join()
    waiter.join()
    sys.exit(7 if line and shows else 1)


main()
