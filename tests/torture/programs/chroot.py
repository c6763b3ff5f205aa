"""Has moved into a folder without libraries, sources or /proc."""
# needs: root
import os
import time
import torment


def work():
    names = set(os.listdir('/'))
    torment.check('proc' not in names and 'usr' not in names, 'not another root: %r' % names)
    torment.check(open('/data').read() == 'its own\n', 'the data has changed')
    torment.crowd(3, lambda number: time.sleep(0.02))


torment.say('before the move')
open(os.path.join(torment.FOLDER, 'data'), 'w').write('its own\n')
# As an administrator makes it: for what has to come from outside.
os.mkdir(os.path.join(torment.FOLDER, 'tmp'))
os.chmod(os.path.join(torment.FOLDER, 'tmp'), 01777)
os.chdir(torment.TASKS)
os.chroot(torment.FOLDER)
torment.TASKS, torment.FOLDER = '.', '/'
torment.steady(work)
