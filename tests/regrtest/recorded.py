"""Runs one of CPython's own tests with test.regrtest, and records how each of its methods ended.

    python recorded.py RECORD NAME [OPTION OF REGRTEST...]

RECORD gets a line for each event: what, which, more, separated by tabs. The test's output would
not do: many tests print in the middle of it. The file is opened and closed for each line, so that
the test finds no descriptor of ours.
"""
import os
import sys
import unittest


class Record(object):
    """Writes the record. It keeps its own references to functions that tests replace."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.process = os.getpid()
        self.calls = os.getpid, os.open, os.write, os.close
        self.how = os.O_WRONLY | os.O_APPEND | os.O_CREAT

    def line(self, what, which, more=''):
        getpid, openfile, write, close = self.calls
        # A child that a test forked may come here too.
        if getpid() == self.process:
            which, more = [self.plain(one) for one in (which, more)]
            descriptor = openfile(self.path, self.how, int('644', 8))
            write(descriptor, '%s\t%s\t%s\n' % (what, which, more))
            close(descriptor)

    @staticmethod
    def plain(something):
        try:
            return str(something).encode('string_escape')
        except Exception:  # some tests raise what cannot be shown
            return type(something).__name__


def spy(record, result):
    """Records a unittest result."""

    def follow(method, what):
        told = getattr(result, method, None)
        if told is None:  # 2.6 knows only some of them
            return

        def tell(test, *more):
            kind = why = ''
            if method in ('addError', 'addFailure', 'addExpectedFailure') and more:
                kind = ' ' + getattr(more[0][0], '__name__', str(more[0][0]))
                why = more[0][1]
            elif more:
                why = more[0]
            record.line(what + kind, test.id(), why)
            return told(test, *more)
        setattr(result, method, tell)

    follow('startTest', 'start')
    follow('addSuccess', 'ok')
    follow('addFailure', 'FAIL')
    follow('addError', 'ERROR')
    follow('addSkip', 'skipped')
    follow('addExpectedFailure', 'expected failure')
    follow('addUnexpectedSuccess', 'unexpected success')
    return result


def main():
    record = Record(sys.argv[1])
    name, options = sys.argv[2], sys.argv[3:]
    del sys.path[0]  # the folder of this file
    from test import regrtest
    make_result = unittest.TextTestRunner._makeResult
    unittest.TextTestRunner._makeResult = lambda runner: spy(record, make_result(runner))

    names = {}
    for what in ('PASSED', 'FAILED', 'ENV_CHANGED', 'SKIPPED', 'RESOURCE_DENIED', 'INTERRUPTED',
                 'TEST_DID_NOT_RUN'):
        names[getattr(regrtest, what, None)] = what.lower().replace('_', ' ')
    if not hasattr(regrtest, 'PASSED'):  # 2.6
        names = {1: 'passed', 0: 'failed', -1: 'skipped', -2: 'resource denied'}
    runtest = regrtest.runtest

    def run(*arguments, **more):
        result = runtest(*arguments, **more)
        number = result
        if isinstance(result, tuple):
            number = result[0]
        record.line('result', names.get(number, number))
        return result

    regrtest.runtest = run
    sys.argv = [regrtest.__file__.replace('.pyc', '.py'), '-v'] + options + [name]
    # As regrtest does at its end when it runs as a script.
    getattr(regrtest, 'main_in_temp_cwd', regrtest.main)()


if __name__ == '__main__':
    main()
