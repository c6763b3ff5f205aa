# What greenlets wait for. Compiled as one text with greenlets.py, behind it.

# What gevent's greenlets wait for: the module, the class, and what it is called
# here. Such an object holds the functions that switch to the greenlets waiting for
# it.
_GEVENT = (
    ('gevent.hub', 'Waiter', 'waiter'),
    ('gevent._waiter', 'Waiter', 'waiter'),
    ('gevent.event', 'Event', 'event'),
    ('gevent.event', 'AsyncResult', 'result'),
    ('gevent.lock', 'Semaphore', 'semaphore'),
    ('gevent.queue', 'Queue', 'queue_get'),
    ('gevent.queue', 'Channel', 'channel'),
    ('gevent.libev.corecext', 'io', 'io'),
    ('gevent.libev.corecext', 'child', 'child'),
    ('gevent.libev.corecext', 'signal', 'signal'),
    ('gevent.libev.corecext', 'timer', 'timer'),
    ('gevent.libev.corecext', 'callback', 'turn'))

# Functions that greenlets wait in: the module, the class if it is a method, the
# function, and what is waited for there.
_FUNCTIONS = (
    ('gevent.hub', None, 'sleep', 'sleep'),
    ('eventlet.greenthread', None, 'sleep', 'sleep'),
    ('eventlet.hubs', None, 'trampoline', 'io'),
    ('eventlet.event', 'Event', 'wait', 'event'),
    ('eventlet.greenthread', 'GreenThread', 'wait', 'greenlet'),
    ('eventlet.semaphore', 'Semaphore', 'acquire', 'semaphore'),
    ('threading', '_RLock', 'acquire', 'rlock'),
    ('threading', '_RLock', '_acquire_restore', 'rlock'),
    ('gevent.lock', 'RLock', 'acquire', 'rlock'),
    ('gevent.lock', 'RLock', '_acquire_restore', 'rlock'),
    ('gevent.thread', 'LockType', 'acquire', 'lock'),
    ('eventlet.queue', 'LightQueue', 'get', 'queue_get'),
    ('eventlet.queue', 'LightQueue', 'put', 'queue_put'))

# How many frames of a stack are searched for these, from the innermost.
_FARTHEST = 6

# Attributes that hold the contents of these, which are not waiting for them.
_CONTENTS = {'queue_get': 'queue', 'result': 'value'}

# How deep containers are looked into, and at how many objects in all.
_DEEPEST_HELD = 3
_MOST_HELD = 200000

# Flags of an io watcher (libev, ev.h: EV_READ, EV_WRITE).
_READ, _WRITE = 1, 2


def _linked(greenlets, others, left, time):
    """Return what gevent's greenlets wait for, by id of the greenlet, as (what it
    is, the object, what that object holds of the greenlet). The object holds a
    function that switches to the greenlet, or to a waiter of the greenlet's."""
    waiters = {}
    # By identity: a metaclass may redefine `==`.
    containers = dict.fromkeys(
        [id(one) for one in (list, tuple, dict, set, _deque())])
    for thing, what in time.within(others, _LINKED_UNTIL):
        if what == 'waiter':
            waiters[id(thing)] = id(_in_c(thing, 'greenlet'))
    waits = {}
    for thing, what in time.within(others, _LINKED_UNTIL):
        if what == 'waiter':
            continue
        contents = None
        if what in _CONTENTS:
            # What is in it is not waiting for it.
            contents = _in_c(thing, _CONTENTS[what])
        for held in _held(thing, what, contents, containers, left, time):
            owner = held
            if type(held) is type(_Greenlet.__init__):
                owner = held.im_self
            ident = waiters.get(id(owner))
            if type(held) is type(len) and held.__name__ == 'switch':
                owner = held.__self__
                ident = id(owner)
            elif what == 'timer':
                # gevent.timeout.Timeout, which throws itself into the greenlet.
                if type(held) is type(len) and held.__name__ == 'throw':
                    held = held.__self__
                if id(held) in greenlets:
                    greenlets[id(held)].limited = True
            if ident not in greenlets:
                continue
            # A timer may stand beside what is waited for, and what is to be called
            # next comes first.
            before = waits.get(ident)
            if before is None or before[0] == 'timer' or what == 'turn':
                waits[ident] = what, thing, owner
    # A greenlet of gevent's has the functions to be called at its end in a list.
    for thing, owner in _links([
            one.thing for one in greenlets.values() if not one.dead]):
        if id(owner) in greenlets:
            waits.setdefault(id(owner), ('greenlet', thing, owner))
    return waits


def _held(thing, what, contents, containers, left, time):
    """Return what an object holds, and what is in the containers that it holds;
    without its contents, and without containers that are too large for what is
    left."""
    found = []
    these = [thing]
    for _ in xrange(_DEEPEST_HELD):
        inner = []
        for one in time.within(_held_by(these), _LINKED_UNTIL):
            # An item to be put in, and the greenlet that waits to do so.
            if what != 'timer' and type(one) is tuple and len(one) == 2:
                one = one[1]
            kind = type(one)
            if one is contents:
                continue
            if id(kind) not in containers:
                found.append(one)
            elif len(one) <= left[0]:
                left[0] -= len(one)
                inner.append(one)
            else:
                left[1] = False
        these = inner
        if not inner:
            break
    return found


class _Locks(object):
    """Tells locks from what else programs use `with` for."""

    __slots__ = 'kinds', 'condition'

    def __init__(self):
        self.kinds = {}
        for module, name in _LOCKS:
            kind = _module(module).get(name)
            if _is_type(kind):
                self.kinds[id(kind)] = True
        self.condition = _module('threading').get('_Condition')

    def is_lock(self, thing):
        kind = type(thing)
        if _type_name(kind) == 'lock' and not (
                type.__dict__['__flags__'].__get__(kind) & _HEAP_TYPE):
            # The interpreter's own, also where the program has replaced it.
            return type.__dict__['__module__'].__get__(kind) == 'thread'
        return [one for one in type.__dict__['__mro__'].__get__(kind)
                if id(one) in self.kinds] != []


def _add_holds(greenlets):
    """Find the locks whose `with` blocks suspended greenlets are in."""
    of_frames = dict([
        (id(one.frame), one) for one in greenlets.values()
        if one.state == 'suspended' and one.frame is not None])
    locks = _Locks()
    for frame, thing, file, line in _entered([
            one.frame for one in of_frames.values()]):
        if type(thing) is locks.condition:
            thing = (_attributes(thing) or {}).get('_Condition__lock')
        if locks.is_lock(thing):
            of_frames[id(frame)].holds.append((thing, file, line))


# Classes of locks.
_LOCKS = (
    ('threading', '_RLock'),
    ('threading', '_Semaphore'),
    ('gevent.lock', 'Semaphore'),
    ('gevent.lock', 'RLock'),
    ('eventlet.semaphore', 'Semaphore'))

# Py_TPFLAGS_HEAPTYPE (Include/object.h): a class that Python code has made.
_HEAP_TYPE = 1 << 9


def _known_functions():
    """Return what is waited for in the functions of _FUNCTIONS that the program
    has, by id of their code."""
    known = {}
    for module, owner, name, what in _FUNCTIONS:
        held = _module(module)
        if owner is not None:
            held = _class_attributes(held.get(owner))
        function = held.get(name)
        if type(function) is type(_find):
            known[id(function.func_code)] = what
    return known


def _greenlet_wait(one, linked, known, greenlets):
    """Return what a suspended greenlet waits for, or None."""
    if linked is not None and linked[0] == 'turn':
        return {'for': 'turn'}
    wait = None
    frame = one.frame
    for _ in xrange(_FARTHEST):
        if frame is None:
            break
        what = known.get(id(frame.f_code))
        if what is not None:
            wait = _framed(what, dict(_variables(frame)), greenlets)
        frame = frame.f_back
    if wait is None and linked is not None:
        wait = _of_gevent(*linked)
    if wait is None and one.frame is not None:
        # What gevent's C code keeps is out of sight.
        called = _called(one.frame)
        if called is not None and (
                called[0] in greenlets and called[1] in ('join', 'get')):
            wait = {'for': 'greenlet', 'id': called[0]}
    if wait is not None and one.limited:
        wait['limited'] = True
    return wait


def _framed(what, variables, greenlets):
    """Return what is waited for in one of _FUNCTIONS, from its variables."""
    thing = variables.get('self')
    held = _attributes(thing) or {}
    wait = {'for': what}
    if what == 'sleep':
        seconds = variables.get('seconds')
        if type(seconds) is float or type(seconds) is int:
            if seconds <= 0:
                return {'for': 'turn'}
            wait['milliseconds'] = _within(seconds * 1000, 1e12)
        return wait
    if what == 'io':
        wait['fd'] = _number(variables.get('fileno'))
        wait['read'] = variables.get('read') is True
        wait['write'] = variables.get('write') is True
        return wait
    wait['id'] = id(thing)
    if what == 'rlock':
        owner = held.get('_RLock__owner', _in_c(thing, '_owner'))
        # A number may have become that of another greenlet.
        ident = type(owner) is int and owner or id(owner)
        if ident in greenlets and greenlets[ident].state != 'dead' and (
                owner is greenlets[ident].thing or [
                    1 for lock, _, _ in greenlets[ident].holds if lock is thing]):
            wait['owner'] = ident
        wait['count'] = _number(held.get('_RLock__count', _in_c(thing, '_count')))
    if what == 'greenlet' and wait['id'] not in greenlets:
        return None
    if what == 'semaphore':
        wait['value'] = _number(held.get('counter'))
    if what == 'queue_get' or what == 'queue_put':
        _tell_queue(wait, held.get('maxsize'), held.get('queue'))
    return wait


def _tell_queue(wait, most, queue):
    wait['most'] = _within(_number(most), _LARGEST)
    if type(queue) is list or type(queue) is _deque():
        wait['size'] = len(queue)


def _of_gevent(what, thing, owner):
    """Return what is waited for, where that is an object of gevent's."""
    wait = {'for': what}
    if what == 'io':
        events = _number(_in_c(thing, 'events'))
        wait['fd'] = _number(_in_c(thing, 'fd'))
        wait['read'] = events & _READ != 0
        wait['write'] = events & _WRITE != 0
        return wait
    if what in ('timer', 'child', 'signal'):
        return wait
    wait['id'] = id(thing)
    if what == 'semaphore':
        wait['value'] = _number(_in_c(thing, 'counter'))
        most = _number(_in_c(thing, '_initial_value'))
        if most > 0:
            wait['most'] = most
    if what == 'queue_get':
        # A greenlet that waits to put something in has an ItemWaiter.
        if _text(type.__dict__['__name__'].__get__(type(owner))) == 'ItemWaiter':
            wait['for'] = 'queue_put'
        _tell_queue(wait, _in_c(thing, 'maxsize'), _in_c(thing, 'queue'))
    return wait


def _in_c(thing, name):
    """Return an attribute that is the object's own or that a C function computes;
    else None."""
    held = _attributes(thing) or {}
    if name in held:
        return held[name]
    for kind in type.__dict__['__mro__'].__get__(type(thing)):
        found = _class_attributes(kind).get(name)
        if found is not None:
            if type(found) is _descriptor() or (
                    type(found) is type(_Slot.__dict__['slot'])):
                return found.__get__(thing)
            return None
    return None


class _Slot(object):
    __slots__ = 'slot',
