"""Shows what every thread of this program is doing.

Importing this module changes nothing: the agent sleeps until it is asked, by
`sleeper_agent_activate PID`, by gdb, or from Python:

    >>> import sleeper_agent
    >>> print sleeper_agent._get_state_info()

A program started under `sa-run`, or with libsleeper.so in LD_PRELOAD, needs no
import: the library carries the text of this file and runs the same functions.
For Python 2.6 and 2.7.
"""

# Where the library runs this text it has put both modules in place: an import
# statement waits for the import lock, and people also ask about programs that hang
# while importing.
if __name__ != '_sleeper_agent_carried':
    import linecache
    import sys

# Marks the frames of the agent itself, in every copy of this text.
_SLEEPER_AGENT = True
# A program's globals may be of a class that redefines `in`.
_holds = dict.__contains__

# A deeper stack is cut in the middle to this many frames.
_DEEPEST = 10000

# All but the tab, which source lines have.
_CONTROLS = (
    '\x00\x01\x02\x03\x04\x05\x06\x07\x08\n\x0b\x0c\r\x0e\x0f'
    '\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f'
    '\x7f')


def _get_state_info():
    """Return every thread's stack as one str.

    For each thread, by identifier: `### Thread IDENT:` and a newline, then the
    frames as traceback.format_stack prints them, outermost first; two newlines
    stand between threads. The agent's own frames are left out.
    """
    threads, places, order, path = _collect()
    return _compose(threads, places, _read(places, order))


def _collect(frames=None):
    """Take down where each thread is. Does no input or output, and lets no other
    thread run. frames is a dictionary such as sys._current_frames() returns; that
    function is asked where none is given.

    Returns (threads, places, order, path). threads is a sorted list of (ident,
    calls), where calls has for each frame, outermost first, its index in places;
    or None and a number where that many frames are left out. A place is (file
    name, function, line, what linecache needs of its globals). order lists the
    indices of places, file by file. path is the text in sys.path.

    The result keeps none of the program's objects alive but strings and module
    loaders, so that no other object lives longer because of us, or dies on our
    thread.
    """
    # Not in a local variable: this very frame is among the frames, and a frame
    # that can reach itself stays until the garbage collector comes.
    threads, places = _stacks(
        sys._current_frames() if frames is None else frames)
    for index, (ident, calls) in enumerate(threads):
        if len(calls) > _DEEPEST:
            half = _DEEPEST // 2
            threads[index] = ident, (
                calls[:half] + [None, len(calls) - 2 * half] + calls[-half:])
    threads.sort()
    # No key function: out of memory, Python's sort loses the list.
    order = [(place[0], index) for index, place in enumerate(places)]
    order.sort()
    order = [index for filename, index in order]
    path = sys.path
    if type(path) is not list:
        path = ()
    path = [one for one in path if type(one) is str]
    return threads, places, order, path


def _stacks(frames):
    """Return (threads, places) as _collect does, but with threads in no order and
    all of their calls."""
    threads = []
    places = []
    indices = {}
    for ident, frame in frames.items():
        while frame is not None and _holds(frame.f_globals, '_SLEEPER_AGENT'):
            frame = frame.f_back
        calls = []
        outermost = None
        while frame is not None:
            # By id: code objects that differ in their file only are equal.
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
        # What the agent's worker calls, such as linecache, belongs to the agent.
        if outermost is not None and not _holds(
                outermost.f_globals, '_SLEEPER_AGENT'):
            calls.reverse()
            threads.append((ident, calls))
    return threads, places


def _origin(namespace):
    """Return what linecache looks at in a module's globals, or None."""
    if not _holds(namespace, '__loader__'):
        return None
    return {'__name__': dict.get(namespace, '__name__'),
            '__loader__': dict.get(namespace, '__loader__')}


def _read(places, order, known=()):
    """Return each place's line of source, '' where it cannot be had. order lists
    the indices of places, file by file; known has the lines that are known
    already, by index."""
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
        except:  # A module's loader may raise anything.
            pass
    if not cached:
        linecache.cache.pop(current, None)
    return sources


def _compose(threads, places, sources):
    """Return the state as text."""
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
