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
_CONTROLS = (
    '\x00\x01\x02\x03\x04\x05\x06\x07\x08\n\x0b\x0c\r\x0e\x0f'
    '\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f'
    '\x7f')


def _get_state_info():
    """Return every thread's stack as one str.

    For each thread, by identifier: `### Thread IDENT:` and a newline, then the
    frames as traceback.format_stack prints them, outermost first; two newlines
    stand between threads. The frames of the agent itself are left out.
    """
    collected = _collect()
    return _compose(collected, _read(collected))


def _collect(frames=None, more=None):
    """Take down where each thread is; no input, no output, nothing that lets
    another thread run. frames is what sys._current_frames() returns, which is
    asked where none are given.

    Returns (threads, places, order, path, more). threads is a sorted list of (ident,
    calls), and calls holds for each frame, outermost first, its index in
    places; or None and a number where so many frames are left out. A place is
    (file name, function, line, what linecache wants of its globals). order is
    the indices of places, file by file. path is what is text of sys.path. more
    is what the function that was given for it returns of frames, or None.

    Nothing of the program's is held on to but strings and module loaders, so
    that no object of its own lives longer for our sake, or dies on our thread.
    """
    # Not by way of a local name: among the frames is this very one, and a frame
    # that can reach itself stays until the garbage collector comes.
    (threads, places), more = _look(
        sys._current_frames() if frames is None else frames, more)
    for index, (ident, calls) in enumerate(threads):
        if len(calls) > _DEEPEST:
            half = _DEEPEST // 2
            threads[index] = ident, (
                calls[:half] + [None, len(calls) - 2 * half] + calls[-half:])
    threads.sort()
    # Not by a key: where memory runs out, Python's sorting loses it.
    order = [(place[0], index) for index, place in enumerate(places)]
    order.sort()
    order = [index for filename, index in order]
    path = sys.path
    if type(path) is not list:
        path = ()
    path = [one for one in path if type(one) is str]
    return threads, places, order, path, more


def _look(frames, more):
    return _stacks(frames), more and more(frames)


def _stacks(frames):
    """Return (threads, places) as _collect does; threads in no order, and their
    calls however many there are. Where it can, the library does this itself."""
    threads = []
    places = []
    indices = {}
    for ident, frame in frames.items():
        while frame is not None and _holds(frame.f_globals, '_SLEEPER_AGENT'):
            frame = frame.f_back
        calls = []
        outermost = None
        while frame is not None:
            # By id: code objects that differ only in their file are equal.
            key = id(frame.f_code), frame.f_lineno
            if key not in indices:
                indices[key] = len(places)
                code = frame.f_code
                places.append((
                    code.co_filename, code.co_name, frame.f_lineno,
                    _origin(frame.f_globals)))
            calls.append(indices[key])
            outermost = frame
            frame = frame.f_back
        # What the agent's worker calls, say linecache, is the agent's too.
        if outermost is not None and not _holds(
                outermost.f_globals, '_SLEEPER_AGENT'):
            calls.reverse()
            threads.append((ident, calls))
    return threads, places


def _origin(namespace):
    """Return what linecache looks at of a module's globals, if there is any."""
    if not _holds(namespace, '__loader__'):
        return None
    return {'__name__': dict.get(namespace, '__name__'),
            '__loader__': dict.get(namespace, '__loader__')}


def _read(collected, known=()):
    """Return each place's line of source, '' where there is none to be had.
    known has those that are known already, by index."""
    threads, places, order, path, more = collected
    sources = [''] * len(places)
    current = None
    cached = True
    for index in order:
        if index in known:
            sources[index] = known[index]
            continue
        filename, name, line, origin = places[index]
        try:
            if filename != current:
                # The cache is the program's: leave in it what was there.
                if not cached:
                    linecache.cache.pop(current, None)
                current = filename
                cached = filename in linecache.cache
                linecache.checkcache(filename)
            source = linecache.getline(filename, line, origin)
            if type(source) is str or type(source) is unicode:
                sources[index] = source
        except (SystemExit, KeyboardInterrupt):
            raise
        except:  # A module's loader may raise whatever it likes.
            pass
    if not cached:
        linecache.cache.pop(current, None)
    return sources


def _compose(collected, sources):
    """Return as text what was collected and read."""
    threads, places, order, path, more = collected
    lines = []
    for index, (filename, name, line, origin) in enumerate(places):
        text = '  File "%s", line %d, in %s\n' % (
            _printable(filename), line, _printable(name))
        source = _printable(sources[index].strip())
        if source:
            text += '    %s\n' % source
        lines.append(text)
    texts = []
    for ident, calls in threads:
        if None in calls:
            cut = calls.index(None)
            stack = [lines[call] for call in calls[:cut]]
            stack.append('  ... %d frames left out ...\n' % calls[cut + 1])
            stack.extend([lines[call] for call in calls[cut + 2:]])
        else:
            stack = [lines[call] for call in calls]
        texts.append('### Thread %s:\n%s' % (ident, ''.join(stack)))
    return '\n\n'.join(texts)


def _printable(text):
    """Return text as a str without control characters, which could drive a
    terminal, or end the text early."""
    if type(text) is unicode:
        text = text.encode('utf-8', 'replace')
    if len(text.translate(None, _CONTROLS)) == len(text):
        return text
    return ''.join([
        char in _CONTROLS and '\\x%02x' % ord(char) or char for char in text])


if __name__ != '_sleeper_agent_carried':
    import _sleeper_agent_activation
