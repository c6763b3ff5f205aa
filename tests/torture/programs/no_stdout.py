"""Standard output is closed, and its number taken by a file."""
# variants: object descriptor
# prints: file
import os
import sys
import torment

path = os.path.join(torment.FOLDER, 'own')
sent = []


def work():
    sent.append('line %d of its own\n' % len(sent))
    os.write(mine, sent[-1])
    torment.check(open(path).read() == ''.join(sent), 'something else is in the file')
    if len(sent) > 500:
        os.ftruncate(mine, 0)
        del sent[:]


mine = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
torment.check(mine == 3, 'descriptors of others')
torment.ready(work)
if torment.variant == 'object':
    sys.stdout.close()
else:
    os.dup2(mine, 1)
    os.close(mine)
    mine = 1
while torment.goes_on():
    work()
del sent[:]
torment.intact(into_file=True)
