"""Makes the packages of what `make install` has put into a folder.

usage: python3 py-shim/packages TREE FOLDER

TREE has bin, lib and share; the packages go into FOLDER. Prints their paths and sizes. Without nfpm it makes
the wheel and the tarball, says what is missing, and ends with status 1.
"""

import os
import sys

import native
import tarball
import tree
import wheel


def main():
    if len(sys.argv) != 3:
        raise SystemExit('usage: python3 py-shim/packages TREE FOLDER')
    entries, folder = tree.read(sys.argv[1]), sys.argv[2]
    os.makedirs(folder, exist_ok=True)
    tell(wheel.write(entries, folder))
    tell(tarball.write(entries, folder))
    if not os.access(native.NFPM, os.X_OK):
        raise SystemExit(
            'packages: there is no deb and no rpm, as nfpm is missing: py-shim/packages/nfpm.sh'
            ' installs it')
    for packager in ('deb', 'rpm'):
        tell(native.write(entries, packager, folder))


def tell(path):
    print('%8d  %s' % (os.path.getsize(path), path))


main()
