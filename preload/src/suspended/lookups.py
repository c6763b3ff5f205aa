# How the other texts look at objects. Compiled as one text with greenlets.py.

# Longer text is cut.
_LONGEST = 1000

# Larger numbers are nonsense; the commands do not read them.
_LARGEST = 2 ** 62

# The library puts its own functions in place of these.


def _attributes(thing):
    """Return the dictionary that holds an object's own attributes, or None."""
    return None


def _variables(frame):
    """Return a function's local variables, as (name, value)."""
    return ()


def _item(dictionary, name):
    """Return what a dictionary has under a name, as a tuple of one, or None."""
    return None


def _called(frame):
    """Return what a frame is calling as (id of the object, name of the attribute),
    if that is known; else None."""
    return None


def _entered(frames):
    """Return the objects whose `with` blocks each frame of a list, or one that called
    it, is in, as (frame of the list, object, file, line that the other one is at)."""
    return ()


def _links(things):
    """Return the functions named `switch` in lists that these things hold, as
    (thing, what the function is bound to)."""
    return ()


def _held_by(things):
    """Return what the objects in a list hold, as the garbage collector sees it:
    nothing but the C code of their types runs. Less, once the time is used up."""
    return []


def _used():
    """Return how many thousandths of the time for all of this are used up."""
    return 0


def _module(name):
    """Return the names of a module that the program has imported, or {}."""
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
    """Return a value if it is a sensible number, or 0."""
    kind = type(value)
    if (kind is int or kind is long) and -_LARGEST < value < _LARGEST:
        return value
    return 0


def _within(value, most):
    """Return a number, not below zero and not above most."""
    if value > 0:
        return int(value < most and value or most)
    return 0


def _deque():
    return _module('collections').get('deque')


class _Old:
    pass


def _class_attributes(owner):
    """Return the dictionary of a class's own attributes, or {}: look only, it is
    the class's."""
    if type(owner) is type(_Old) or type(owner) is type:
        return _attributes(owner) or {}
    return {}
