"""The deb and the rpm, by nfpm.

All goes below /usr, and the library into a folder of its own.
"""

import json
import os
import subprocess
import tempfile
import time

import about
import tree

PRERM = about.ROOT / 'py-shim/packages/prerm.sh'
NFPM = about.ROOT / '.tools/nfpm/bin/nfpm'
LIBRARY = '/usr/lib/sleeper-agent/libsleeper.so'
# Folders that are ours alone, and go with the package.
FOLDERS = ('/usr/lib/sleeper-agent', '/usr/share/sleeper-agent', '/usr/share/doc/sleeper-agent')


def write(entries, packager, folder):
    """Write the package for `deb` or `rpm` into the folder, and return its path."""
    date = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(about.date()))
    owner = {'owner': 'root', 'group': 'root', 'mtime': date}
    contents = [
        {'dst': path, 'type': 'dir', 'file_info': dict(owner, mode=0o755)} for path in FOLDERS]
    for one in entries:
        content = {'src': one.source, 'dst': place(one, packager)}
        if one.place == tree.MODULE:
            link = os.path.relpath(LIBRARY, os.path.dirname(content['dst']))
            content.update(src=link, type='symlink', file_info=owner)
        else:
            content['file_info'] = dict(owner, mode=one.mode)
        contents.append(content)
    if packager == 'rpm':
        # What Python 2 makes of the module goes with the package: for the deb, prerm.sh sees to that.
        contents += [
            {'dst': '/usr/%s%s' % (tree.SHIM, letter), 'type': 'ghost', 'file_info': owner}
            for letter in 'co']
    # nfpm reads YAML, of which JSON is a part.
    description = {
        'name': about.NAME,
        'arch': 'amd64',
        'platform': 'linux',
        'version': about.version(),
        'release': '1',
        'section': 'devel',
        'priority': 'optional',
        'maintainer': about.AUTHOR,
        'description': '%s\n%s' % (about.SUMMARY, about.DESCRIPTION),
        'license': about.LICENSE,
        'mtime': date,
        'disable_globbing': True,
        'contents': contents,
        'suggests': ['gdb'] if packager == 'deb' else [],
        'scripts': {'preremove': str(PRERM)} if packager == 'deb' else {},
        # The oldest rpms read no other compression, and a package has no business with this machine's name.
        'rpm': {'summary': about.SUMMARY, 'compression': 'gzip', 'buildhost': 'localhost'},
    }
    with tempfile.TemporaryDirectory() as temporary:
        config = os.path.join(temporary, 'nfpm.yaml')
        with open(config, 'w') as file:
            json.dump(description, file)
        path = os.path.join(folder, file_name(packager))
        command = [
            str(NFPM), 'package', '--config', config, '--packager', packager, '--target', path]
        environment = dict(os.environ, SOURCE_DATE_EPOCH=str(about.date()))
        ended = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ended.returncode:
        raise SystemExit(
            'packages: nfpm made no %s: %s' % (packager, ended.stdout.decode().strip()))
    return path


def place(entry, packager):
    """Where a file stands on the system."""
    if entry.place == tree.LIBRARY:
        return LIBRARY
    path = '/usr/' + entry.place
    if packager == 'deb':
        # Where Debian's zsh looks for what packages bring, and Debian's policy for the license.
        path = path.replace('/zsh/site-functions/', '/zsh/vendor-completions/')
        path = path.replace('/doc/sleeper-agent/LICENSE', '/doc/sleeper-agent/copyright')
    return path


def file_name(packager):
    """The package's file name, as each system writes it."""
    if packager == 'deb':
        return '%s_%s-1_amd64.deb' % (about.NAME, about.version())
    return '%s-%s-1.x86_64.rpm' % (about.NAME, about.version())
