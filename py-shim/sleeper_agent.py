"""Tells what every thread of this program is doing.

Importing this module wakes nothing and changes nothing: the agent sleeps until
it is asked, by `sleeper_agent_activate PID`, by gdb, or from Python:

    >>> import sleeper_agent
    >>> print sleeper_agent._get_state_info()

A program started under `sa-run`, or with libsleeper.so in LD_PRELOAD, needs no
import at all: the library carries the text of this very file and runs the same
functions. Valid on Python 2.6 and 2.7.
"""

# The library that carries this text has put both names in place already: an
# import statement waits for the import lock, and a program that hangs while
# importing is one that people ask about.
if __name__ != '_sleeper_agent_carried':
    import linecache
    import sys

# Marks the frames of the agent itself, in every copy of this text.
_SLEEPER_AGENT = True
# A program's globals may be of a class with ideas of its own about `in`.
_holds = dict.__contains__

# A deeper stack is cut in the middle to this many frames.
_DEEPEST = 10000

# All but the tabulator, which belongs to source lines as they are written.
_CONTROLS = ''.join(map(chr, list(range(9)) + list(range(10, 32)) + [127]))


def _get_state_info():
    """Return every thread's stack as one str.

    For each thread, by identifier: `### Thread IDENT:` and a newline, then the
    frames as traceback.format_stack prints them, outermost first; two newlines
    stand between threads. The frames of the agent itself are left out.
    """
    return _format(_collect())


def _collect(frames=None):
    """Take down where each thread is; no input, no output, nothing that lets
    another thread run. frames is what sys._current_frames() returns, which is
    asked where none are given.

    Returns (threads, places): threads is a sorted list of (ident, calls), and
    calls holds for each frame, outermost first, its index in places, or None
    where frames are left out; a place is (code, line, globals). Frames are
    let go of before returning, so that none outlives its function for our sake.
    """
    threads = []
    places = []
    indices = {}
    if frames is None:
        frames = sys._current_frames()
    for ident, frame in frames.items():
        while frame is not None and _holds(frame.f_globals, '_SLEEPER_AGENT'):
            frame = frame.f_back
        calls = []
        namespace = None
        while frame is not None:
            code = frame.f_code
            line = frame.f_lineno
            namespace = frame.f_globals
            # By id: code objects that differ only in their file are equal.
            key = (id(code), line)
            index = indices.get(key)
            if index is None:
                index = indices[key] = len(places)
                places.append((code, line, namespace))
            calls.append(index)
            frame = frame.f_back
        # What the agent's worker calls, say linecache, is the agent's too.
        if namespace is None or _holds(namespace, '_SLEEPER_AGENT'):
            continue
        calls.reverse()
        if len(calls) > _DEEPEST:
            half = _DEEPEST // 2
            calls = calls[:half] + [None, len(calls) - 2 * half] + calls[-half:]
        threads.append((ident, calls))
    threads.sort()
    return threads, places


def _format(collected):
    """Return as text what _collect took down. Reads source files."""
    threads, places = collected
    cached = dict.fromkeys(linecache.cache)
    checked = {}
    lines = []
    for code, line, namespace in places:
        filename = code.co_filename
        text = '  File "%s", line %d, in %s\n' % (
            _printable(filename), line, _printable(code.co_name))
        source = _source(filename, line, namespace, checked)
        if source:
            text += '    %s\n' % source
        lines.append(text)
    # The cache is the program's: leave in it what was there.
    for filename in list(linecache.cache):
        if filename not in cached:
            linecache.cache.pop(filename, None)

    texts = []
    for ident, calls in threads:
        if None in calls:
            cut = calls.index(None)
            stack = (
                ''.join(map(lines.__getitem__, calls[:cut])),
                '  ... %d frames left out ...\n' % calls[cut + 1],
                ''.join(map(lines.__getitem__, calls[cut + 2:])))
        else:
            stack = map(lines.__getitem__, calls)
        texts.append('### Thread %s:\n%s' % (ident, ''.join(stack)))
    return '\n\n'.join(texts)


def _source(filename, line, namespace, checked):
    """Return one stripped line of source, '' where there is none to be had.

    checked holds the files already compared with the disk in this answer.
    """
    try:
        if filename not in checked:
            checked[filename] = True
            linecache.checkcache(filename)
        return _printable(linecache.getline(filename, line, namespace).strip())
    except:  # A module's loader may raise whatever it likes, strings included.
        return ''


def _printable(text):
    """Return text as a str without control characters, which could drive a
    terminal, or end the text early."""
    if isinstance(text, unicode):
        text = text.encode('utf-8', 'replace')
    if len(text.translate(None, _CONTROLS)) == len(text):
        return text
    return ''.join([
        char in _CONTROLS and '\\x%02x' % ord(char) or char for char in text])


if __name__ != '_sleeper_agent_carried':
    import _sleeper_agent_activation
