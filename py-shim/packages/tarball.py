"""The tarball, which runs from where it is unpacked: `sa-run` finds the library in `../lib`."""

import gzip
import io
import os
import tarfile

import about


def write(entries, folder):
    """Write the tarball into the folder, and return its path."""
    stem = '%s-%s-linux-x86_64' % (about.NAME, about.version())
    path = os.path.join(folder, stem + '.tar.gz')
    files = {one.place: one for one in entries}
    more = {name: about.ROOT / name for name in ('LICENSE', 'README.md')}
    folders = {''}
    for place in files:
        while place:
            place = os.path.dirname(place)
            folders.add(place)
    # Neither the archive's name nor the time of day gets into the file.
    with open(path, 'wb') as file, \
            gzip.GzipFile('', 'wb', 9, file, about.date()) as packed, \
            tarfile.open(fileobj=packed, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        for place in sorted([*folders, *files, *more]):
            member = tarfile.TarInfo(os.path.join(stem, place).rstrip('/'))
            member.mtime = about.date()
            member.uname = member.gname = 'root'
            data = b''
            if place in folders:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif place in more:
                member.mode, data = 0o644, more[place].read_bytes()
            elif files[place].link is not None:
                member.type, member.mode = tarfile.SYMTYPE, 0o777
                member.linkname = files[place].link
            else:
                member.mode = files[place].mode
                with open(files[place].source, 'rb') as source:
                    data = source.read()
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path
