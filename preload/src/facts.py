"""What the commands make their other formats of, beside the state's text.

Runs under the GIL, as the snippet does, on objects that may be of any class: so
it calls nothing of theirs, compares nothing of theirs, and looks at attributes
by _attributes alone, which is the library's. What it returns holds nothing but
numbers, text, None, lists and dictionaries of its own.
"""

_SLEEPER_AGENT = True

# Longer text is cut.
_LONGEST = 1000


def _more(frames):
    """Return what there is to tell of each thread beside its stack, by
    identifier. frames is what sys._current_frames() returns."""
    told = {}
    threading = _module('threading')
    active = threading.get('_active')
    if type(active) is not dict:
        return told
    for ident, thread in active.items():
        if type(ident) not in (int, long) or ident not in frames:
            continue
        attributes = _attributes(thread) or {}
        told[ident] = {
            'name': _text(attributes.get('_Thread__name')),
            'daemon': attributes.get('_Thread__daemonic') is True,
            'main': type(thread) is threading.get('_MainThread')}
    return told


def _module(name):
    """Return what a module that the program has imported holds, or {}."""
    modules = sys.modules
    module = type(modules) is dict and modules.get(name)
    return module and type(module) is type(sys) and _attributes(module) or {}


def _text(value):
    """Return a value if it is text, cut where it is long, or None."""
    if type(value) is str or type(value) is unicode:
        return value[:_LONGEST]
    return None


def _tell(collected, sources, tasks, holder):
    """Return all of it as a str, or '' if there is no thread. tasks is what the kernel says of the threads;
    holder is the identifier of the one that held the GIL when it was asked for,
    or 0."""
    threads, places, order, path, more = collected
    if not threads:
        return ''
    return _FACTS + marshal.dumps({
        'python': sys.version,
        'threads': threads,
        'places': [
            (filename, name, line, source) for (filename, name, line, origin),
            source in zip(places, sources)],
        'more': more,
        'tasks': tasks,
        'holder': holder}, 0)
