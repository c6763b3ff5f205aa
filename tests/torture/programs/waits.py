"""Waits over and over in one way; no wait ends early, late or with an error."""
# variants: sleep select poll pipe connection child lock changing_user alarm pause
import os
import sys

import torment

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../targets'))
import waiting


def is_over():
    return os.path.exists(os.path.join(torment.FOLDER, 'stop'))


def fail(what):
    raise torment.Broken(what)


def leave():
    # Threads of this program still wait.
    torment.say('intact')
    os._exit(0)


waiting.is_over = is_over
waiting.fail = fail
waiting.leave = leave
waiting.main()
