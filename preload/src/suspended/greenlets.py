"""What there is to tell of greenlets: of the module greenlet itself, and of what
gevent and eventlet make of them.

Compiled when it is first asked for. It runs under the GIL, as the snippet does, on
objects that may be of any class: so it calls nothing of theirs, compares nothing of
theirs, and looks at attributes by _attributes alone, which is the library's. What it
returns holds nothing but numbers, text, None, lists and dictionaries of its own.
What C code does for an attribute is known for greenlet (greenlet.c of 0.4.17 and
1.1.3, greenlet.cpp of 2.0.2) and gevent (20.9); no attribute is looked at by way of
an object's own class.
"""

_SLEEPER_AGENT = True

# So many greenlets are looked at, and so many of each kind of things that they wait
# for: a sixth of a second where it was measured.
_MOST_GREENLETS = 10000

# Where it is looked for a class that derives from others.
_MODULES = 'greenlet', 'greenlet._greenlet'


def _find_suspended(frames):
    """Return (stacks, details) of suspended greenlets and generators. stacks has
    their innermost frames, by numbers below zero; frames has those of threads,
    as sys._current_frames() returns them."""
    # Among the frames is none of ours: nothing here can reach itself by them.
    stacks = {}
    greenlets = _unless_nonsense(_find, frames, stacks)
    coroutines = _unless_nonsense(_find_generators, frames, stacks)
    return stacks, {'greenlets': greenlets, 'coroutines': coroutines}


def _unless_nonsense(find, frames, stacks):
    try:
        return find(frames, stacks)
    except (SystemExit, KeyboardInterrupt):
        raise
    except:  # Some of it is nonsense.
        return None


def _find(frames, stacks):
    """Add the innermost frames of suspended greenlets to stacks, and return the
    details of greenlets; None where they cannot be found."""
    if type(sys.modules) is not dict:
        return None
    if not [name for name in _MODULES if _item(sys.modules, name)]:
        return {}
    kind = _greenlet_type()
    if kind is None:
        return None
    objects = _objects()
    if objects is None or _references() is None:
        return None
    attributes = _class_attributes(kind)
    look = [attributes[name].__get__ for name in ('gr_frame', 'parent', 'dead')]
    look.append(attributes['__nonzero__'])
    kinds = [kind]
    names = ['greenlet']
    for module, name, what in _GEVENT:
        one = _module(module).get(name)
        # Their own, and not what the program may have put in their place.
        if _is_type(one) and one not in kinds and _is_of_package(one, module):
            kinds.append(one)
            names.append(what)
    found = _instances(objects, tuple(kinds), _MOST_GREENLETS)
    if found is None:
        return None
    found, left_out = found
    greenlets = {}
    others = []
    for thing, index in found:
        if index == 0:
            greenlets[id(thing)] = _Greenlet(look, thing)
        else:
            others.append((thing, names[index]))
    for one in list(greenlets.values()):
        _add_roots(one, look, greenlets)
    _add_threads(greenlets, frames)
    # How many more containers' contents are looked at, and whether all were.
    left = [_MOST_HELD, [one for one in left_out if one[0]] == []]
    waits = _linked(greenlets, others, left)
    _add_states(greenlets, waits, frames, left[1])
    details = _details(greenlets, waits, stacks)
    details['left_out'] = left_out[0][0]
    return details


class _Greenlet(object):
    """What is looked at of one, while nobody else runs."""

    __slots__ = (
        'thing', 'frame', 'parent', 'dead', 'active', 'root', 'thread', 'state')

    def __init__(self, look, thing):
        self.thing = thing
        # active is whether it has a place on its thread's stack of C: it has
        # begun.
        self.frame, self.parent, self.dead, self.active = [
            one(thing) for one in look]
        # Not itself: nothing here shall be able to reach itself.
        self.root = 0
        self.thread = 0
        self.state = None


def _greenlet_type():
    """Return the class that all greenlets derive from, or None."""
    for name in _MODULES:
        one = _module(name).get('greenlet')
        if not _is_type(one):
            continue
        for base in type.__dict__['__mro__'].__get__(one):
            # A class of Python's has no such descriptors of its own.
            if type(base) is type and [
                    name for name in ('gr_frame', 'parent', 'dead')
                    if type(_class_attributes(base).get(name))
                    is not _descriptor()] == []:
                if type(_class_attributes(base).get('__nonzero__')) is (
                        type(object.__dict__['__str__'])):
                    return base
    return None


def _descriptor():
    """Return the type of attributes that functions of C's answer for."""
    return type(type(_find).__dict__['func_code'])


def _is_type(thing):
    # A metaclass may have ideas of its own.
    return type(thing) is type


def _is_of_package(kind, module):
    """Return whether a class is of the package that the module is in."""
    owner = type.__dict__['__module__'].__get__(kind)
    return type(owner) is str and (
        owner.split('.')[0] == module.split('.')[0])


def _objects():
    """Return gc.get_objects, or None where the program has replaced it."""
    return _of_collector('get_objects')


def _references():
    """Return gc.get_referents: what objects hold, as the garbage collector sees
    it. That runs nothing but the C code of their types."""
    return _of_collector('get_referents')


def _of_collector(name):
    function = (_attributes(gc) or {}).get(name)
    if type(function) is type(len) and function.__name__ == name and (
            function.__self__ is None):
        return function
    return None


def _add_roots(one, look, greenlets):
    """Find the greenlet that a greenlet's chain of parents ends with. That is
    the one that its thread had from the beginning."""
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
    """Find out which threads the greenlets are of."""
    dictionaries = dict([
        (dictionary, ident) for ident, dictionary in _thread_dictionaries()])
    hub = _module('gevent.hub').get('Hub')
    references = _references()
    threads = {}
    for one in greenlets.values():
        if one.parent is None:
            # To 0.4 and 1 it holds its thread's dictionary (run_info).
            for thing in references(one.thing):
                ident = dictionaries.get(id(thing))
                if ident and type(thing) is dict:
                    threads[id(one.thing)] = ident
    for one in greenlets.values():
        # gevent's hub has it written down.
        if hub is not None and type(one.thing) is hub and one.active:
            held = _attributes(one.thing) or {}
            ident = _number(held.get('thread_ident'))
            if ident in frames:
                threads.setdefault(one.root, ident)
    for one in greenlets.values():
        one.thread = threads.get(one.root, 0)


def _add_states(greenlets, waits, frames, whole):
    """Find out which of the greenlets are suspended, and which is the current
    one of each thread; whole is whether all have been looked at."""
    unknown = {}
    for ident, one in greenlets.items():
        if one.dead:
            one.state = 'dead'
        elif not one.active:
            one.state = 'not started'
        elif one.frame is not None or ident in waits:
            one.state = 'suspended'
        else:
            # The current one's frames are the thread's; others without any are
            # in functions of C's (gevent is made of these).
            unknown.setdefault(one.thread, []).append(one)
    unknown.pop(0, None)
    for thread, candidates in unknown.items():
        current = candidates
        frame = frames.get(thread)
        if not whole or frame is not None and len(candidates) > 1:
            # Not by what remains.
            current = []
        if current == [] and frame is not None:
            while frame.f_back is not None:
                frame = frame.f_back
            loop = dict(_variables(frame)).get('self')
            current = [one for one in candidates if one.thing is loop]
        if len(current) == 1:
            for one in candidates:
                one.state = 'suspended'
            current[0].state = 'current'


def _details(greenlets, waits, stacks):
    """Return the details of greenlets, and add the frames of the suspended ones."""
    suspended = {}
    current = {}
    not_started = {}
    known = _known_functions()
    for ident, one in greenlets.items():
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
        except:  # Some of it is nonsense.
            wait = None
        if wait is not None:
            described['wait'] = wait
        suspended[-ident] = described
        if one.frame is not None:
            stacks[-ident] = one.frame
    return {'stacks': suspended, 'current': current, 'not_started': not_started}


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
        'runs': type(run) is type(_find) and _text(run.func_name) or None}


# The library's own are put in place of these, if it knows how frames are laid
# out here.


def _instances(objects, kinds, most):
    """Return which of the objects that gc.get_objects returns are of these
    classes, or of derived ones, or functions of this code, as a list of (object,
    index of the class or code), no more than most of each; and, as a list of
    tuples of one, how many more of each there are. Or return None."""
    return None


def _thread_dictionaries():
    """Return where each thread's own dictionary is (PyThreadState.dict), as
    (identifier, id)."""
    return ()
