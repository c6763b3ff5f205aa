"""Finds greenlets, those of gevent and eventlet among them, and what they wait for.

Compiled when greenlets are first asked for. It runs under the GIL, as the snippet
does, on objects that may be of any class: so it calls no method of theirs, compares
none of them, and looks at attributes by the library's _attributes alone. The details
that it returns hold nothing but numbers, text, None, lists and dictionaries of its
own. Attributes that C code computes are read only where that code is known: that of
greenlet (greenlet.c of 0.4.17 and 1.1.3, greenlet.cpp of 2.0.2) and gevent (20.9).
No attribute is looked up through an object's own class.
"""

_SLEEPER_AGENT = True

# The most greenlets that are looked at, and the most of each kind of object that
# they wait for: together a sixth of a second where it was measured.
_MOST_GREENLETS = 10000

# The time by which each part has to be done, in thousandths of the time that there
# is: the program stands still for it. A part must not use up the time of the next
# ones, or much would be found and nothing shown.
_OBJECTS_UNTIL, _GREENLETS_UNTIL, _ROOTS_UNTIL, _LINKED_UNTIL = 500, 600, 650, 780

# Longer stacks are not followed to their outermost frame.
_LONGEST_STACK = 10000

# Modules that may have the class of greenlets.
_MODULES = 'greenlet', 'greenlet._greenlet'


def _find_suspended(frames):
    """Return (stacks, details, whole) of suspended greenlets and generators. stacks
    has their innermost frames, by numbers below zero; frames has those of threads,
    as sys._current_frames() returns them. whole is whether there was time for all."""
    # None of our own frames is in frames, so nothing here can reach itself.
    stacks = {}
    # Generators are searched for after greenlets.
    time = _Time(_imported() and 500 or 1000)
    greenlets = _unless_nonsense(_find, frames, stacks, time)
    time_left = _Time(1000)
    coroutines = _unless_nonsense(_find_generators, frames, stacks, time_left)
    return stacks, {'greenlets': greenlets, 'coroutines': coroutines}, not (
        time.is_cut or time_left.is_cut)


class _Time(object):
    """The time from now on, until so many thousandths of all are used up."""

    __slots__ = 'begun', 'end', 'is_cut'

    def __init__(self, end):
        self.begun = _used()
        self.end = end
        self.is_cut = False

    def at(self, thousandths):
        """Return at how many thousandths of all so many of this time are used up."""
        return self.begun + (self.end - self.begun) * thousandths // 1000

    def within(self, things, until):
        """Yield as many of the things as there is time for, and some in any case."""
        end = self.at(until)
        for index, thing in enumerate(things):
            if index and index % _IN_ANY_CASE == 0 and _used() >= end:
                self.is_cut = True
                break
            yield thing


# How many objects are looked at between two looks at the clock, and in any case.
_IN_ANY_CASE = 32


def _unless_nonsense(find, frames, stacks, time):
    try:
        return find(frames, stacks, time)
    except (SystemExit, KeyboardInterrupt):
        raise
    except:  # Some of the objects are nonsense.
        return None


def _find(frames, stacks, time):
    """Add the innermost frames of suspended greenlets to stacks, and return the
    details of greenlets; None where they cannot be found."""
    if type(sys.modules) is not dict:
        return None
    if not [name for name in _MODULES if _item(sys.modules, name)]:
        return {}
    kind = _greenlet_type()
    if kind is None:
        return None
    if not _has_collector():
        return None
    attributes = _class_attributes(kind)
    look = [attributes[name].__get__ for name in ('gr_frame', 'parent', 'dead')]
    look.append(attributes['__nonzero__'])
    kinds = [kind]
    names = ['greenlet']
    for module, name, what in _GEVENT:
        one = _module(module).get(name)
        # The package's own, and not what the program may have put in its place.
        if _is_type(one) and one not in kinds and _is_of_package(one, module):
            kinds.append(one)
            names.append(what)
    found = _instances(tuple(kinds), _MOST_GREENLETS, time.at(_OBJECTS_UNTIL))
    if found is None:
        return None
    found, left_out, whole = found
    if not whole:
        time.is_cut = True
    greenlets = {}
    others = [one for one in found if one[1] != 0]
    found = [thing for thing, index in found if index == 0]
    for thing in time.within(found, _GREENLETS_UNTIL):
        greenlets[id(thing)] = _Greenlet(look, thing)
    left_out_of_them = left_out[0][0] + len(found) - len(greenlets)
    for one in time.within(list(greenlets.values()), _ROOTS_UNTIL):
        _add_roots(one, look, greenlets)
    _add_threads(greenlets, frames)
    # How many more objects in containers may be looked at, and whether all were.
    left = [_MOST_HELD, whole and [one for one in left_out if one[0]] == []]
    others = [(thing, names[index]) for thing, index in others]
    waits = _linked(greenlets, others, left, time)
    _add_states(greenlets, waits, frames, left[1] and not time.is_cut)
    details, not_described = _details(greenlets, waits, stacks, time)
    details['left_out'] = left_out_of_them + not_described
    return details


class _Greenlet(object):
    """A greenlet, as it is while nobody else runs."""

    __slots__ = (
        'thing', 'frame', 'parent', 'dead', 'active', 'root', 'thread', 'state',
        'holds', 'limited')

    def __init__(self, look, thing):
        self.thing = thing
        # active: whether it has a place on its thread's C stack, that is, whether it
        # has started.
        self.frame, self.parent, self.dead, self.active = [
            one(thing) for one in look]
        # An id, not an object: nothing here may be able to reach itself.
        self.root = 0
        self.thread = 0
        self.state = None
        # (object, file, line) of the locks whose `with` blocks it is in.
        self.holds = []
        # Whether a timer ends its wait.
        self.limited = False


def _greenlet_type():
    """Return the class that all greenlets derive from, or None."""
    for name in _MODULES:
        one = _module(name).get('greenlet')
        if not _is_type(one):
            continue
        for base in type.__dict__['__mro__'].__get__(one):
            # A class written in Python has no such descriptors of its own.
            if type(base) is type and [
                    name for name in ('gr_frame', 'parent', 'dead')
                    if type(_class_attributes(base).get(name))
                    is not _descriptor()] == []:
                if type(_class_attributes(base).get('__nonzero__')) is (
                        type(object.__dict__['__str__'])):
                    return base
    return None


def _descriptor():
    """Return the type of attributes that C functions compute."""
    return type(type(_find).__dict__['func_code'])


def _is_type(thing):
    # A class with a metaclass is left alone: that may run code of the program's.
    return type(thing) is type


def _is_of_package(kind, module):
    """Return whether a class was defined in the package that has this module."""
    owner = type.__dict__['__module__'].__get__(kind)
    return type(owner) is str and (
        owner.split('.')[0] == module.split('.')[0])


def _has_collector():
    """Return whether the garbage collector is the interpreter's own: a program that
    replaces its functions may keep other things of its own in order too."""
    for name in ('get_objects', 'get_referents'):
        function = (_attributes(gc) or {}).get(name)
        if type(function) is not type(len) or function.__name__ != name or (
                function.__self__ is not None):
            return False
    return True


def _add_roots(one, look, greenlets):
    """Find the greenlet at the end of a greenlet's chain of parents: the one that
    its thread began with."""
    chain = []
    while one.root == 0:
        chain.append(one)
        if one.parent is None or len(chain) > _MOST_GREENLETS:
            one.root = id(one.thing)
            break
        if id(one.parent) not in greenlets:
            greenlets[id(one.parent)] = _Greenlet(look, one.parent)
        one = greenlets[id(one.parent)]
    for other in chain:
        other.root = one.root


def _add_threads(greenlets, frames):
    """Find out which thread each greenlet belongs to."""
    dictionaries = dict([
        (dictionary, ident) for ident, dictionary in _thread_dictionaries()])
    hub = _module('gevent.hub').get('Hub')
    threads = {}
    for one in greenlets.values():
        if one.parent is None:
            # In greenlet 0.4 and 1 it holds its thread's dictionary (run_info).
            for thing in _held_by([one.thing]):
                ident = dictionaries.get(id(thing))
                if ident and type(thing) is dict:
                    threads[id(one.thing)] = ident
    for one in greenlets.values():
        # gevent's hub keeps its thread's identifier.
        if hub is not None and type(one.thing) is hub and one.active:
            held = _attributes(one.thing) or {}
            ident = _number(held.get('thread_ident'))
            if ident in frames:
                threads.setdefault(one.root, ident)
    for one in greenlets.values():
        one.thread = threads.get(one.root, 0)


def _add_states(greenlets, waits, frames, whole):
    """Find out which greenlets are suspended, and which one is each thread's
    current greenlet; whole is whether all objects were looked at."""
    unknown = {}
    for ident, one in greenlets.items():
        if one.dead:
            one.state = 'dead'
        elif not one.active:
            one.state = 'not started'
        elif one.frame is not None or ident in waits:
            one.state = 'suspended'
        else:
            # The current greenlet's frames are the thread's. Other greenlets without
            # frames are in C functions, as gevent's often are.
            unknown.setdefault(one.thread, []).append(one)
    unknown.pop(0, None)
    for thread, candidates in unknown.items():
        current = candidates
        frame = frames.get(thread)
        if not whole or frame is not None and len(candidates) > 1:
            # Ruling the others out would prove nothing.
            current = []
        if current == [] and frame is not None:
            for _ in xrange(_LONGEST_STACK):
                if frame.f_back is None:
                    break
                frame = frame.f_back
            loop = dict(_variables(frame)).get('self')
            current = [one for one in candidates if one.thing is loop]
        if len(current) == 1:
            for one in candidates:
                one.state = 'suspended'
            current[0].state = 'current'


def _details(greenlets, waits, stacks, time):
    """Return the details of greenlets, and for how many there was no time; add the
    frames of the suspended ones."""
    suspended = {}
    current = {}
    not_started = {}
    known = _known_functions()
    _add_holds(greenlets)
    looked_at = 0
    for ident, one in time.within(greenlets.items(), 1000):
        looked_at += 1
        if one.state == 'dead':
            continue
        if one.state == 'not started':
            not_started[one.thread] = not_started.get(one.thread, 0) + 1
            continue
        described = _described(one)
        if one.state == 'current':
            current[one.thread] = described
            continue
        try:
            wait = _greenlet_wait(one, waits.get(ident), known, greenlets)
        except (SystemExit, KeyboardInterrupt):
            raise
        except:  # Some of what it waits for is nonsense.
            wait = None
        if wait is not None:
            described['wait'] = wait
        suspended[-ident] = described
        if one.frame is not None:
            stacks[-ident] = one.frame
    return {
        'stacks': suspended, 'current': current,
        'not_started': not_started}, len(greenlets) - looked_at


def _described(one):
    kind = type(one.thing)
    held = _attributes(one.thing) or {}
    run = held.get('_run')
    if type(run) is type(_Greenlet.__init__):
        run = run.im_func
    return {
        'id': id(one.thing),
        'thread': one.thread,
        'parent': one.parent is not None and id(one.parent) or 0,
        'suspended': one.state == 'suspended',
        'kind': _text(type.__dict__['__name__'].__get__(kind)),
        'name': _text(held.get('name')),
        'runs': type(run) is type(_find) and _text(run.func_name) or None,
        'holds': [[id(lock), file, line] for lock, file, line in one.holds]}


# The library puts its own functions in place of these.


def _instances(kinds, most, until):
    """Return (found, left out, whole), or None. kinds are classes and code objects.
    found lists (object, index of its kind), for at most so many objects of each
    kind as most says: instances of the class or of a derived one, or functions
    with this code. left out lists for each kind (how many more there are,). whole
    is whether all objects were searched before until thousandths of the time were
    used up."""
    return None


def _thread_dictionaries():
    """Return (identifier, id of PyThreadState.dict) of each thread."""
    return ()
