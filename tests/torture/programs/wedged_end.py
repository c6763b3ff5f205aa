"""Ends while the agent hangs in the file system."""
# life: brief
# deadline: 0.5
# may say: the agent got the GIL, but was not done within
import os
import sys
import time
import torment

PATH = os.path.join(torment.FOLDER, 'hung_%d.py' % os.getpid())
open(PATH, 'w').write('def run(turns):\n    return sum([sum(range(100)) for _ in range(turns)])\n')
sys.path.insert(0, torment.FOLDER)
hung = __import__('hung_%d' % os.getpid())
os.unlink(PATH)
os.mkfifo(PATH)
end = time.time() + 0.8
while time.time() < end:
    torment.check(hung.run(100) == 495000, 'wrong sum')
os.unlink(PATH)
torment.intact()
