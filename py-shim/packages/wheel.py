"""The wheel: PEP 427, for pip from version 8 on.

The commands are among its scripts, and the library and the pages among its data, which pip puts below the
environment's own prefix: `sa-run` finds the library in `../lib`.
"""

import base64
import hashlib
import os
import zipfile

import about
import tree

PYTHONS = ('py2', 'py3')
# Old to new. See README.md for who needs which.
PLATFORMS = (
    'manylinux1_x86_64', 'manylinux2010_x86_64', 'manylinux2014_x86_64',
    'musllinux_1_1_x86_64', 'linux_x86_64')

METADATA = """\
Metadata-Version: 2.1
Name: %(name)s
Version: %(version)s
Summary: %(summary)s
Author: %(author)s
License: %(license)s
Platform: linux
Classifier: Environment :: Console
Classifier: License :: OSI Approved :: BSD License
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Python :: 2.6
Classifier: Programming Language :: Python :: 2.7
Classifier: Programming Language :: Rust
Classifier: Topic :: Software Development :: Debuggers
Classifier: Topic :: System :: Monitoring
Description-Content-Type: text/plain

%(description)s"""


def write(entries, folder):
    """Write the wheel into the folder, and return its path."""
    stem = '%s-%s' % (about.NAME.replace('-', '_'), about.version())
    path = os.path.join(
        folder, '%s-%s-none-%s.whl' % (stem, '.'.join(PYTHONS), '.'.join(PLATFORMS)))
    info = stem + '.dist-info/'
    files = [(place(stem, one), contents(one), one.mode) for one in entries]
    files += [
        (info + 'LICENSE', (about.ROOT / 'LICENSE').read_bytes(), 0o644),
        (info + 'METADATA', metadata().encode(), 0o644),
        (info + 'WHEEL', wheel().encode(), 0o644)]
    files.sort()
    record = [
        '%s,sha256=%s,%d\n' % (name, digest(data), len(data)) for name, data, mode in files]
    record.append(info + 'RECORD,,\n')
    files.append((info + 'RECORD', ''.join(record).encode(), 0o644))
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in files:
            member = zipfile.ZipInfo(name, about.fields_of_date())
            member.create_system = 3  # Unix: the modes below count.
            member.external_attr = (0o100000 | mode) << 16
            archive.writestr(member, data, zipfile.ZIP_DEFLATED, 9)
    return path


def place(stem, entry):
    """Where a file stands in the wheel."""
    if entry.place in (tree.SHIM, tree.MODULE):
        return os.path.basename(entry.place)
    if entry.place.startswith('bin/'):
        return '%s.data/scripts/%s' % (stem, entry.place[len('bin/'):])
    return '%s.data/data/%s' % (stem, entry.place)


def contents(entry):
    """The bytes of a file: a wheel knows no links."""
    with open(entry.source, 'rb') as file:
        return file.read()


def metadata():
    """The text of METADATA."""
    return METADATA % {
        'name': about.NAME, 'version': about.version(), 'summary': about.SUMMARY,
        'author': about.AUTHOR, 'license': about.LICENSE, 'description': about.DESCRIPTION}


def wheel():
    """The text of WHEEL."""
    tags = [
        'Tag: %s-none-%s\n' % (python, platform) for python in PYTHONS for platform in PLATFORMS]
    return 'Wheel-Version: 1.0\nGenerator: %s\nRoot-Is-Purelib: false\n%s' % (
        about.NAME, ''.join(tags))


def digest(data):
    """The SHA-256 as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')
