"""Does next to nothing, or imports a lot, and ends."""
# life: brief
# variants: trivial imports
import sys

if sys.argv[1] == 'imports':
    import BaseHTTPServer
    import cPickle
    import ConfigParser
    import decimal
    import email.message
    import json
    import logging.handlers
    import multiprocessing
    import optparse
    import unittest
    import urllib2
    import xml.dom.minidom
    assert json.loads(json.dumps([1, {'a': None}])) == [1, {'a': None}]
    assert cPickle.loads(cPickle.dumps(decimal.Decimal('1.5'))) * 2 == 3
assert sum(range(1000)) == 499500
sys.stdout.write('intact\n')
