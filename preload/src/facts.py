"""What the commands make their other formats of, beside the state's text.

Runs under the GIL, as the snippet does, on objects that may be of any class: so
it calls nothing of theirs, compares nothing of theirs, and looks at attributes
by _attributes alone, which is the library's. What it returns holds nothing but
numbers, text, None, lists and dictionaries of its own.
"""

_SLEEPER_AGENT = True

# Longer text is cut.
_LONGEST = 1000

# Larger numbers are nonsense, and the commands need not read them.
_LARGEST = 2 ** 62


def _more(frames):
    """Return what there is to tell of each thread beside its stack, by
    identifier. frames is what sys._current_frames() returns."""
    told = {}
    threading = _module('threading')
    active = threading.get('_active')
    if type(active) is not dict:
        active = {}
    for ident, thread in active.items():
        if _number(ident) and ident in frames:
            attributes = _attributes(thread) or {}
            told[ident] = {
                'name': _text(attributes.get('_Thread__name')),
                'daemon': attributes.get('_Thread__daemonic') is True,
                'main': type(thread) is threading.get('_MainThread')}
    waits = {}
    known = _Known(threading)
    for ident, frame in frames.items():
        try:
            waits[ident] = _wait(frame, known)
        except (SystemExit, KeyboardInterrupt):
            raise
        except:  # Of nonsense there is nothing to tell.
            pass
    _tell_importers(frames, waits, known)
    threads = dict([(id(thread), ident) for ident, thread in active.items()])
    holds = _holds(frames, threading, known)
    _tell_waits(told, frames, waits, threads, holds)
    for ident, held in holds.items():
        told.setdefault(ident, {})['holds'] = held
    return told


# The library's own are put in place of these, if it knows how frames are laid
# out here.


def _attributes(thing):
    """Return the dictionary that holds an object's own attributes, or None."""
    return None


def _variables(frame):
    """Return a function's local variables, as (name, value)."""
    return ()


def _item(dictionary, name):
    """Return what a dictionary has under a name, as a tuple of one, or None."""
    if type(dictionary) is dict and name in dictionary:
        return dictionary[name],
    return None


def _variable(frame, name):
    """Return the value of a function's local variable, as a tuple of one, or
    None."""
    return None


def _exits(frames, code):
    """Return what is to be called at the ends of the blocks that threads are in,
    as (identifier, frame, what): __exit__ of `with` blocks, and others. And the
    code itself, of each frame that runs it."""
    return ()


def _having(frames, objects):
    """Return which threads have one of these in a variable, as (identifier,
    object)."""
    return ()


def _module(name):
    """Return what a module that the program has imported holds, or {}."""
    return _attributes(_loaded(name)) or {}


def _loaded(name):
    """Return a module that the program has imported, or None."""
    found = _item(sys.modules, name)
    if found and type(found[0]) is type(sys):
        return found[0]
    return None


def _text(value):
    """Return a value if it is text, cut where it is long, or None."""
    if type(value) is str or type(value) is unicode:
        return value[:_LONGEST]
    return None


def _number(value):
    """Return a value if it is a number as there may be, or 0."""
    kind = type(value)
    if (kind is int or kind is long) and -_LARGEST < value < _LARGEST:
        return value
    return 0


def _tell(collected, sources, tasks, holder):
    """Return all of it, or None if there is no thread. tasks is what the kernel
    says of the threads; holder is the identifier of the one that held the GIL
    when it was asked for, or 0."""
    threads, places, order, path, more = collected
    if not threads:
        return None
    return {
        'python': sys.version,
        'threads': threads,
        'places': [
            (filename, name, line, _text(source) or '') for (
                filename, name, line, origin), source in zip(places, sources)],
        'more': more,
        'tasks': tasks,
        'holder': holder}
